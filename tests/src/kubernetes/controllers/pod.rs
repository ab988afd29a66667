//! Pods: which are active, which are deleted first, and the status that a kubelet writes.

use std::{cmp::Ordering, net::IpAddr};

use serde_json::{Value, json};

use crate::kubernetes::meta;

/// The annotation that influences which of a ReplicaSet's pods are deleted first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Whether it counts as one of its controller's replicas.
#[must_use]
pub fn is_active(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str();
    !meta::is_terminating(pod) && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// The order in which a ReplicaSet deletes its pods (kubernetes,
/// `pkg/controller/controller_utils.go`, `ActivePodsWithRanks`): without a node, pending, not
/// ready, cheap, ready for a short time, restarted, young. The real one also considers how many
/// pods are on a node; here there is one node.
#[must_use]
pub fn least_needed_first(a: &Value, b: &Value) -> Ordering {
    let has_node = |pod: &Value| {
        pod["spec"]["nodeName"]
            .as_str()
            .is_some_and(|n| !n.is_empty())
    };
    let phase = |pod: &Value| match pod["status"]["phase"].as_str() {
        Some("Pending") => 0,
        Some("Running") => 2,
        _ => 1,
    };
    let is_ready = |pod: &Value| meta::has_condition(pod, "Ready");
    let cost = |pod: &Value| {
        let text = pod["metadata"]["annotations"][DELETION_COST].as_str();
        text.and_then(|text| text.parse::<i32>().ok()).unwrap_or(0)
    };
    let restarts =
        |pod: &Value| meta::number(pod, "/status/containerStatuses/0/restartCount").unwrap_or(0);
    has_node(a)
        .cmp(&has_node(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        // Times in RFC 3339 and UTC sort as text; the later is the younger.
        .then_with(|| ready_since(b).cmp(ready_since(a)))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| meta::get(b, "creationTimestamp").cmp(meta::get(a, "creationTimestamp")))
}

fn ready_since(pod: &Value) -> &str {
    meta::list(pod, "/status/conditions")
        .iter()
        .find(|c| c["type"] == "Ready" && c["status"] == "True")
        .and_then(|c| c["lastTransitionTime"].as_str())
        .unwrap_or_default()
}

/// Whether a running pod takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It takes requests.
    Ready,
    /// It takes no requests now.
    NotReady,
}

/// The status of a pod whose containers run at `address`.
#[must_use]
pub fn running(address: IpAddr, readiness: Readiness) -> Value {
    let ready = if readiness == Readiness::Ready {
        "True"
    } else {
        "False"
    };
    let now = meta::now();
    let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastTransitionTime": now });
    json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "startTime": now,
        "conditions": [
            condition("Initialized", "True"),
            condition("ContainersReady", ready),
            condition("Ready", ready),
            condition("PodScheduled", "True"),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_not_ready_go_before_cheap_ones_and_those_before_dear_ones() {
        let pod = |name: &str, ready: &str, cost: &str| {
            json!({
                "metadata": { "name": name, "annotations": { DELETION_COST: cost } },
                "status": {
                    "phase": "Running",
                    "conditions": [{ "type": "Ready", "status": ready }],
                },
            })
        };
        let mut pods = [
            pod("dear", "True", "100"),
            pod("cheap", "True", "-1"),
            pod("plain", "True", "0"),
            pod("unready", "False", "100"),
        ];
        pods.sort_by(least_needed_first);
        let names: Vec<&str> = pods.iter().map(meta::name).collect();
        assert_eq!(names, ["unready", "cheap", "plain", "dear"]);
    }
}
