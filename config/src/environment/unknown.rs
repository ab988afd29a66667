//! Finds misspelt variables.

use crate::suggest::nearest;
use crate::variables::VARIABLES;
use crate::{Env, Error};

/// The prefix of Tailback's own variables.
const PREFIX: &str = "TAILBACK_";

/// Notes every unknown `TAILBACK_…` variable, so that a misspelt setting is not silently ignored.
/// Unknown `SELDON_…` variables are allowed, because Seldon has many that are not for Tailback.
pub(super) fn note(env: &Env, errors: &mut Vec<Error>) {
    let known = || {
        VARIABLES
            .iter()
            .filter_map(|variable| variable.name.strip_prefix(PREFIX))
    };
    for name in env.names().filter(|name| !is_service_link(name)) {
        let Some(word) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if !known().any(|known| known == word) {
            let near = nearest(word, known());
            let hint = near
                .map(|near| format!("; did you mean {PREFIX}{near}?"))
                .unwrap_or_default();
            errors.push(Error::UnknownVariable {
                name: name.to_owned(),
                hint,
            });
        }
    }
}

/// Whether Kubernetes has set the variable for a Service named `tailback` or `tailback-…`. It
/// sets `{SERVICE}_SERVICE_HOST`, `{SERVICE}_PORT`, `{SERVICE}_PORT_9000_TCP_ADDR` and so on in
/// every container of the namespace.
fn is_service_link(name: &str) -> bool {
    let protocol = |text: &str| {
        ["TCP", "UDP", "SCTP"].iter().any(|protocol| {
            text.strip_prefix(protocol)
                .is_some_and(|end| matches!(end, "" | "_PROTO" | "_PORT" | "_ADDR"))
        })
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| {
            rest.split_once('_')
                .is_some_and(|(port, end)| port.parse::<u16>().is_ok() && protocol(end))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_passes_for_what_kubernetes_sets() {
        for variable in VARIABLES {
            assert!(!is_service_link(variable.name), "{}", variable.name);
        }
    }
}
