//! `TAILBACK_KUBE_…`: models that are found in a cluster.

use super::Reader;
use crate::manifest::is_label;
use crate::{ClusterModels, Endpoint};

impl Reader<'_> {
    /// What the `TAILBACK_KUBE_…` variables of models say together.
    pub(super) fn cluster_models(&mut self) -> Option<Option<ClusterModels>> {
        let namespace = |text: &str| (text == "*" || is_label(text)).then(|| text.to_owned());
        let namespace = self.optional(
            "TAILBACK_KUBE_MODELS",
            namespace,
            "a namespace, or * for all",
        );
        let gateway = |text: &str| {
            let filled = text.replace("{namespace}", "n");
            Endpoint::parse(&filled).map(|_| text.to_owned())
        };
        let gateway = self.value(
            "TAILBACK_KUBE_GATEWAY",
            gateway,
            "http://host or http://host:port (or https), with {namespace} in the host or not",
        )?;
        Some(namespace.map(|namespace| ClusterModels {
            namespace: Some(namespace).filter(|namespace| namespace != "*"),
            gateway,
        }))
    }
}
