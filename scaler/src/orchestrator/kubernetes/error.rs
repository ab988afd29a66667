//! Turns failed calls of the API server into [`ScaleError`]s that say what to do.

use super::{api_error::ApiError, workload::Workload};
use crate::orchestrator::ScaleError;

/// What a call was about.
pub(crate) enum Action<'a> {
    /// A workload: the verb as in a Role, and the subresource.
    Workload {
        verb: &'a str,
        target: &'a Workload,
        subresource: Option<&'a str>,
    },
    /// Other resources in a namespace.
    Resource {
        verbs: &'a [&'a str],
        group: &'a str,
        resource: &'a str,
        namespace: &'a str,
    },
    /// The list of resources of an API, as `group/version`.
    Discover(&'a str),
}

impl Action<'_> {
    fn rule(&self) -> String {
        let rule = |group: &str, resource: &str, verbs: &[&str], namespace: &str| {
            format!(
                "{} of {resource} (API group \"{group}\") in namespace {namespace} is not permitted. Add to a Role in \
                 namespace {namespace} the rule {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [{}]}}",
                verbs.join(" and "),
                verbs
                    .iter()
                    .map(|verb| format!("\"{verb}\""))
                    .collect::<Vec<_>>()
                    .join(", "),
            )
        };
        match self {
            Self::Workload {
                verb,
                target,
                subresource,
            } => {
                let resource = match subresource {
                    Some(sub) => format!("{}/{sub}", target.resource),
                    None => target.resource.clone(),
                };
                rule(&target.group, &resource, &[verb], &target.namespace)
            }
            Self::Resource {
                verbs,
                group,
                resource,
                namespace,
            } => rule(group, resource, verbs, namespace),
            Self::Discover(api) => format!(
                "reading the resources of API {api} is not permitted. Bind the ClusterRole system:discovery"
            ),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Workload { target, .. } => target.to_string(),
            Self::Resource {
                resource,
                namespace,
                ..
            } => format!("{resource} in namespace {namespace}"),
            Self::Discover(api) => format!("API {api}"),
        }
    }
}

/// The [`ScaleError`] for a `failure` of `action`, including what the operator can do about it.
pub(crate) fn scale_error(failure: ApiError, action: &Action<'_>) -> ScaleError {
    let (code, message, name, retry_after) = match failure {
        ApiError::Unreachable(why) => {
            return ScaleError::Failed(format!("the Kubernetes API cannot be reached: {why}"));
        }
        ApiError::Status {
            code,
            message,
            name,
            retry_after,
        } => (code, message, name, retry_after),
    };
    let what = action.what();
    if let (Some(after), 429 | 500..) = (retry_after, code) {
        return ScaleError::Busy {
            why: format!("the Kubernetes API is busy ({code}): {message}"),
            after,
        };
    }
    match (code, action) {
        (401, _) => ScaleError::Failed(format!(
            "the Kubernetes API rejects Tailback's credentials (401): {message}; they are read again before the next try"
        )),
        (403, _) => ScaleError::Forbidden(format!("{} (403: {message})", action.rule())),
        (404, Action::Workload { target, .. }) if name == target.name => {
            ScaleError::Refused(format!("{what} does not exist; create it"))
        }
        (404, Action::Workload { target, .. }) => ScaleError::Refused(format!(
            "{what} does not exist, or there is no scale subresource of {} ({}/{}) in this cluster: {message}",
            target.resource, target.group, target.version
        )),
        (
            404,
            Action::Resource {
                resource, group, ..
            },
        ) => ScaleError::Refused(format!(
            "the cluster has no {resource} (API group \"{group}\"): {message}"
        )),
        (400 | 404 | 405 | 415 | 422, _) => {
            ScaleError::Refused(format!("{what}: {message} ({code})"))
        }
        _ => ScaleError::Failed(format!("{what}: {message} ({code})")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::orchestrator::kubernetes::workload::CountAt;

    fn answer(code: u16, retry_after: Option<u64>, name: &str) -> ScaleError {
        let target = Workload {
            group: "apps".into(),
            version: "v1".into(),
            kind: "Deployment".into(),
            resource: "deployments".into(),
            namespace: "models".into(),
            name: "llama".into(),
            count_at: CountAt::Spec,
        };
        let failure = ApiError::Status {
            code,
            message: "no".into(),
            name: name.into(),
            retry_after: retry_after.map(Duration::from_secs),
        };
        let action = Action::Workload {
            verb: "patch",
            target: &target,
            subresource: Some("scale"),
        };
        scale_error(failure, &action)
    }

    #[test]
    fn a_missing_permission_is_named_with_the_rule_that_grants_it() {
        assert_eq!(
            answer(403, None, "llama").to_string(),
            "refused: patch of deployments/scale (API group \"apps\") in namespace models is not permitted. Add to a \
             Role in namespace models the rule {apiGroups: [\"apps\"], resources: [\"deployments/scale\"], verbs: \
             [\"patch\"]} (403: no)"
        );
    }

    #[test]
    fn failures_that_may_pass_are_distinguished_from_refusals() {
        let busy = |seconds| ScaleError::Busy {
            why: String::new(),
            after: Duration::from_secs(seconds),
        };
        let (refused, failed) = (
            ScaleError::Refused(String::new()),
            ScaleError::Failed(String::new()),
        );
        let forbidden = ScaleError::Forbidden(String::new());
        for (code, retry_after, expected) in [
            (400, None, &refused),
            (401, None, &failed),
            (403, None, &forbidden),
            (404, None, &refused),
            (409, None, &failed),
            (422, None, &refused),
            (429, Some(7), &busy(7)),
            (429, None, &failed),
            (500, None, &failed),
            (503, Some(2), &busy(2)),
            (504, None, &failed),
        ] {
            let found = answer(code, retry_after, "llama");
            assert_eq!(
                std::mem::discriminant(&found),
                std::mem::discriminant(expected),
                "{code}: {found}"
            );
        }
    }

    #[test]
    fn the_error_names_what_is_missing() {
        let found = answer(404, None, "llama").to_string();
        assert_eq!(
            found,
            "refused: Deployment models/llama does not exist; create it"
        );
        let found = answer(404, None, "").to_string();
        assert!(
            found.contains("no scale subresource of deployments (apps/v1)"),
            "{found}"
        );
    }
}
