//! The `TAILBACK_KUBE_…` variables: models that are discovered in a cluster, and other proxies.

use super::Reader;
use crate::name::{is_label, is_name};
use crate::{ClusterModels, Endpoint, Peers};

impl Reader<'_> {
    /// Reads the variables about discovered models.
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
        if self.set.contains(&"TAILBACK_KUBE_GATEWAY")
            && !self.set.contains(&"TAILBACK_KUBE_MODELS")
        {
            let expected = "a namespace, or * for all";
            self.lacks("TAILBACK_KUBE_MODELS", expected, "TAILBACK_KUBE_GATEWAY");
        }
        Some(namespace.map(|namespace| ClusterModels {
            namespace: Some(namespace).filter(|namespace| namespace != "*"),
            gateway,
        }))
    }

    /// Reads the variables about other proxies.
    pub(super) fn peers(&mut self) -> Option<Option<Peers>> {
        let name = |text: &str| is_name(text).then(|| text.to_owned());
        let service = self.optional("TAILBACK_KUBE_PEERS", name, NAME);
        let lease = self.value("TAILBACK_KUBE_LEASE", name, NAME)?;
        let namespace = self.optional("TAILBACK_KUBE_NAMESPACE", name, NAME);
        for variable in ["TAILBACK_KUBE_LEASE", "TAILBACK_KUBE_NAMESPACE"] {
            if self.set.contains(&variable) && !self.set.contains(&"TAILBACK_KUBE_PEERS") {
                self.lacks("TAILBACK_KUBE_PEERS", "the name of a Service", variable);
            }
        }
        Some(service.map(|service| Peers {
            service,
            lease,
            namespace,
        }))
    }
}

const NAME: &str = "a name as Kubernetes has them, such as tailback";
