//! Variables that look like ours, and are none.

use crate::suggest::nearest;
use crate::variables::VARIABLES;
use crate::{Env, Error};

/// What the names of our own variables begin with.
const PREFIX: &str = "TAILBACK_";

/// Notes every `TAILBACK_…` that is none of ours: a misspelt setting must not pass for the
/// default. Of `SELDON_…`, Seldon has many that are not for us.
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

/// Whether Kubernetes sets the variable for a Service that is named `tailback` or `tailback-…`:
/// it gives every container of the namespace `{SERVICE}_SERVICE_HOST`, `{SERVICE}_PORT`,
/// `{SERVICE}_PORT_9000_TCP_ADDR` and so on.
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
