//! Where requests go that do not name a model that is served.

use super::{Reader, parse};
use crate::Routing;
use crate::name::{MODEL_EXPECTED, is_model_name};

impl Reader<'_> {
    /// Reads the variables about requests that name no served model. Whether the models that they
    /// name exist is checked later, with the manifests.
    pub(super) fn routing(&mut self) -> Option<Routing> {
        let name = |text: &str| is_model_name(text).then(|| text.to_owned());
        let default_model = self.optional("TAILBACK_DEFAULT_MODEL", name, MODEL_EXPECTED);
        let fallback_model = self.optional("TAILBACK_FALLBACK_MODEL", name, MODEL_EXPECTED);
        let probes_wake = self.value("TAILBACK_PROBES_WAKE", parse, "true or false")?;
        Some(Routing {
            default_model,
            fallback_model,
            probes_wake,
        })
    }
}
