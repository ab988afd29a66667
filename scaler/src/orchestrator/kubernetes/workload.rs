//! A workload's address in the API, and the state that its object shows. Pure.

use std::time::Duration;

use kube::core::{ApiResource, DynamicObject};

/// Where a workload keeps its desired count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountAt {
    /// In its `spec.replicas`.
    Spec,
    /// Elsewhere: it is read from the scale subresource.
    Scale,
}

/// A workload's address in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub group: String,
    pub version: String,
    pub kind: String,
    /// The plural name, as in paths and Roles: `deployments`.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub count_at: CountAt,
}

impl Workload {
    /// The path of its API group and version.
    pub(super) fn group_path(&self) -> String {
        match &*self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    /// The path of the workload. Its scale subresource is at `/scale` below it.
    pub(super) fn path(&self) -> String {
        format!(
            "{}/namespaces/{}/{}/{}",
            self.group_path(),
            self.namespace,
            self.resource,
            self.name
        )
    }

    /// The path of all workloads of its kind in its namespace.
    pub(super) fn collection(&self) -> String {
        format!(
            "{}/namespaces/{}/{}",
            self.group_path(),
            self.namespace,
            self.resource
        )
    }

    /// The resource as kube-rs needs it for a watch.
    pub(super) fn api_resource(&self) -> ApiResource {
        let api_version = match &*self.group {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        };
        ApiResource {
            group: self.group.clone(),
            version: self.version.clone(),
            api_version,
            kind: self.kind.clone(),
            plural: self.resource.clone(),
        }
    }

    /// Whether its scale-down respects `pod-deletion-cost`, as a ReplicaSet does.
    pub(super) fn weighs_pods(&self) -> bool {
        self.group == "apps" && matches!(&*self.kind, "Deployment" | "ReplicaSet")
    }
}

impl std::fmt::Display for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The part of a workload's object that Tailback needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObservedWorkload {
    /// `spec.replicas`.
    pub replicas: Option<u32>,
    /// How many replicas are ready, by its status.
    pub ready: Option<u32>,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// What is wrong, by its conditions.
    pub failure: Option<String>,
    /// How long its pods have to finish, by its template; `None`: it has no template of a pod.
    pub grace: Option<Duration>,
}

/// What Kubernetes takes for `terminationGracePeriodSeconds`, if a template does not set it.
const GRACE: u64 = 30;

impl ObservedWorkload {
    /// Reads `object`.
    ///
    /// The number of ready replicas is `status.readyReplicas`, else `availableReplicas`, else
    /// `status.replicas` if the condition `Ready` or `ModelReady` is true. (Kubernetes omits
    /// counts of 0. Seldon's `Model` has `availableReplicas` since 2.9, and only conditions
    /// before.)
    pub(super) fn of(object: &DynamicObject) -> Self {
        let count = |part: &str, field: &str| {
            let value = object.data.get(part)?.get(field)?.as_u64()?;
            Some(u32::try_from(value).unwrap_or(u32::MAX))
        };
        let conditions = object
            .data
            .get("status")
            .and_then(|status| status.get("conditions")?.as_array())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let text = |condition: &serde_json::Value, field: &str| {
            let text = condition.get(field).and_then(|value| value.as_str());
            text.unwrap_or_default().to_owned()
        };
        let state = |names: &[&str]| {
            let found = conditions
                .iter()
                .find(|condition| names.contains(&&*text(condition, "type")));
            found.map(|condition| text(condition, "status"))
        };
        let by_condition = || match state(&["ModelReady", "Ready"])?.as_str() {
            "True" => count("status", "replicas"),
            _ => Some(0),
        };
        let wrong = conditions.iter().find(|condition| {
            let (kind, status) = (text(condition, "type"), text(condition, "status"));
            match kind.as_str() {
                "ReplicaFailure" => status == "True",
                "Progressing" | "ModelReady" | "Ready" => {
                    status == "False" && !text(condition, "message").is_empty()
                }
                _ => false,
            }
        });
        let template = object.data.pointer("/spec/template/spec");
        let grace = template.map(|pod| {
            let seconds = pod.get("terminationGracePeriodSeconds");
            Duration::from_secs(seconds.and_then(|value| value.as_u64()).unwrap_or(GRACE))
        });
        Self {
            grace,
            replicas: count("spec", "replicas"),
            ready: count("status", "readyReplicas")
                .or_else(|| count("status", "availableReplicas"))
                .or_else(by_condition),
            version: object.metadata.resource_version.clone().unwrap_or_default(),
            failure: wrong.map(|condition| {
                format!(
                    "{}: {}",
                    text(condition, "reason"),
                    text(condition, "message")
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn observed(spec: Value, status: Value) -> ObservedWorkload {
        let object = json!({
            "apiVersion": "a/v1", "kind": "K", "metadata": { "name": "n", "resourceVersion": "7" },
            "spec": spec, "status": status,
        });
        ObservedWorkload::of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn what_is_ready_is_read_from_what_status_there_is() {
        let condition =
            |kind: &str, status: &str| json!([{ "type": kind, "status": status, "reason": "Why" }]);
        for (status, ready) in [
            (
                json!({ "readyReplicas": 2, "availableReplicas": 1, "replicas": 3 }),
                Some(2),
            ),
            (json!({ "availableReplicas": 1, "replicas": 3 }), Some(1)),
            (json!({ "replicas": 3 }), None),
            (
                json!({ "replicas": 3, "conditions": condition("ModelReady", "True") }),
                Some(3),
            ),
            (
                json!({ "replicas": 3, "conditions": condition("ModelReady", "False") }),
                Some(0),
            ),
            (
                json!({ "replicas": 3, "conditions": condition("Available", "True") }),
                None,
            ),
            (json!(null), None),
            (
                json!({ "readyReplicas": "two", "conditions": [7, null] }),
                None,
            ),
        ] {
            assert_eq!(observed(json!({}), status.clone()).ready, ready, "{status}");
        }
    }

    #[test]
    fn the_time_that_pods_have_to_finish_is_that_of_the_template_or_kubernetes_default() {
        let grace = |spec| {
            observed(spec, json!(null))
                .grace
                .map(|grace| grace.as_secs())
        };
        let pod = |pod: Value| json!({ "template": { "spec": pod } });
        let own = pod(json!({ "terminationGracePeriodSeconds": 7 }));
        assert_eq!(grace(own), Some(7));
        assert_eq!(grace(pod(json!({}))), Some(30));
        assert_eq!(grace(json!({ "template": {} })), None);
        assert_eq!(grace(json!({})), None);
    }

    #[test]
    fn a_workloads_own_error_is_reported() {
        let failed = observed(
            json!({ "replicas": 4 }),
            json!({ "conditions": [
                { "type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "no" },
                { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota" },
            ] }),
        );
        assert_eq!(
            failed.failure.as_deref(),
            Some("FailedCreate: exceeded quota")
        );
        assert_eq!((failed.replicas, &*failed.version), (Some(4), "7"));
    }
}
