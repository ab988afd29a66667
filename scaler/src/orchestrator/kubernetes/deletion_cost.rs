//! Marks the least busy pods before a scale-down, so that the busy ones stay.
//!
//! Of pods that are otherwise equal, a ReplicaSet first deletes the one with the lowest
//! `controller.kubernetes.io/pod-deletion-cost`. A pod without this annotation costs 0, so only
//! the pods that shall go are marked. A marked pod that stayed is unmarked at the next
//! scale-down, even if a former leader marked it. An empty patch reads a pod's annotations
//! without a further permission. Source: Kubernetes documentation, "ReplicaSet: Pod deletion
//! cost".

use std::{
    collections::BTreeMap,
    sync::Mutex,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use http::Request;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    api_error::ApiError,
    call::call,
    cluster::Cluster,
    endpoints::Pod,
    error::{Action, scale_error},
    members::Running,
    scale::FIELD_MANAGER,
};
use crate::replica::{Replica, health::Standing};

const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The cost of the least busy pod; the next ones get one more each. Lower than people set by hand.
const LOWEST: i32 = -1_000_000;
/// Costs from [`LOWEST`] to this one are set by Tailback.
const HIGHEST: i32 = -900_000;
/// Time limit for marking: the scale-down then goes on without it.
const LIMIT: Duration = Duration::from_secs(3);

/// What to do with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is to be deleted: mark it with this cost.
    Mark(i32),
    /// It stays, and this proxy has marked it: unmark it.
    Unmark,
    /// It stays, and a former leader may have marked it: read the pod, and unmark it if so.
    Look,
}

/// The marks that this proxy has made.
#[derive(Debug, Default)]
pub(super) struct DeletionCosts {
    made: Mutex<BTreeMap<Pod, i32>>,
    /// Whether a failure to mark pods was logged already.
    warned: AtomicBool,
}

impl DeletionCosts {
    /// Marks the least busy pods of `ready`, so that `keep` unmarked ones stay. Failures are
    /// logged and do not stop the scale-down.
    pub(super) async fn mark(
        &self,
        cluster: &Cluster,
        namespace: &str,
        ready: &[Running],
        keep: u32,
    ) {
        let busy: Vec<_> = ready
            .iter()
            .filter_map(|one| Some((one.pod.clone()?, load(&one.replica))))
            .collect();
        let steps = {
            let made = self.made.lock().unwrap_or_else(|e| e.into_inner());
            plan(&busy, keep, &made)
        };
        let writes = steps.iter().map(async |(pod, step)| {
            let written = carry_out(cluster, namespace, pod, *step).await;
            (pod, *step, written)
        });
        let Ok(written) = timeout(LIMIT, join_all(writes)).await else {
            tracing::debug!(namespace, "pods could not be marked in time");
            return;
        };
        let mut made = self.made.lock().unwrap_or_else(|e| e.into_inner());
        for (pod, step, result) in written {
            match (result, step) {
                (Ok(()), Step::Mark(cost)) => drop(made.insert(pod.clone(), cost)),
                // The pod is gone, or another pod has its name.
                (
                    Err(ApiError::Status {
                        code: 404 | 409, ..
                    }),
                    _,
                )
                | (Ok(()), Step::Unmark | Step::Look) => {
                    made.remove(pod);
                }
                (Err(failure), _) => self.complain(failure, namespace),
            }
        }
        // Pods that are gone.
        made.retain(|pod, _| busy.iter().any(|(one, _)| one == pod));
    }

    fn complain(&self, failure: ApiError, namespace: &str) {
        let action = Action::Resource {
            verbs: &["patch"],
            group: "",
            resource: "pods",
            namespace,
        };
        let error = scale_error(failure, &action);
        if self.warned.swap(true, Ordering::Relaxed) {
            tracing::debug!("the least busy pods could not be marked: {error}");
        } else {
            tracing::warn!(
                "scale-down may take busy pods, as the least busy cannot be marked for it: {error}"
            );
        }
    }
}

/// How busy it is. A replica that gets no requests because of its health, or that was chosen to be
/// removed, ranks below an idle one.
fn load(replica: &Replica) -> u32 {
    if replica.health().is_condemned() {
        return 0;
    }
    match replica.health().standing().0 {
        Standing::Healthy | Standing::BackingOff => replica.in_flight().saturating_add(1),
        Standing::Ejected | Standing::Unreachable | Standing::Unhealthy | Standing::Hung => 0,
    }
}

/// What to do with each pod so that the `keep` busiest stay.
fn plan(busy: &[(Pod, u32)], keep: u32, made: &BTreeMap<Pod, i32>) -> Vec<(Pod, Step)> {
    let mut order: Vec<_> = busy.iter().collect();
    order.sort_by_key(|(pod, in_flight)| (*in_flight, pod.name.clone()));
    let go = busy.len().saturating_sub(keep as usize);
    let costs = (LOWEST..=HIGHEST)
        .map(Some)
        .take(go)
        .chain(std::iter::repeat(None));
    let wanted = order.iter().zip(costs);
    wanted
        .filter_map(|((pod, _), cost)| {
            let step = match (cost, made.get(pod)) {
                (Some(cost), Some(made)) if cost == *made => return None,
                (Some(cost), _) => Step::Mark(cost),
                (None, Some(_)) => Step::Unmark,
                (None, None) => Step::Look,
            };
            Some((pod.clone(), step))
        })
        .collect()
}

async fn carry_out(
    cluster: &Cluster,
    namespace: &str,
    pod: &Pod,
    step: Step,
) -> Result<(), ApiError> {
    let cost = match step {
        Step::Mark(cost) => Some(cost),
        Step::Unmark => None,
        Step::Look => {
            let found = patch(cluster, namespace, pod, json!({})).await?;
            if !is_ours(&found) {
                return Ok(());
            }
            None
        }
    };
    let cost = cost.map(|cost| cost.to_string());
    let annotations = json!({ "annotations": { ANNOTATION: cost } });
    patch(cluster, namespace, pod, annotations).await.map(drop)
}

/// Whether Tailback has marked `pod`. Costs that people set are left alone.
fn is_ours(pod: &Value) -> bool {
    let cost = pod["metadata"]["annotations"][ANNOTATION].as_str();
    let cost = cost.and_then(|cost| cost.parse().ok());
    cost.is_some_and(|cost: i32| (LOWEST..=HIGHEST).contains(&cost))
}

/// Merges `metadata` into the pod's metadata, and returns the pod.
async fn patch(
    cluster: &Cluster,
    namespace: &str,
    pod: &Pod,
    mut metadata: Value,
) -> Result<Value, ApiError> {
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{}?fieldManager={FIELD_MANAGER}",
        pod.name
    );
    // With the UID, the API server refuses to patch another pod of the same name.
    metadata["uid"] = json!(pod.uid);
    let patch = json!({ "metadata": metadata });
    let request = Request::patch(&path)
        .header("content-type", "application/merge-patch+json")
        .body(patch.to_string().into_bytes())
        .map_err(|e| ApiError::Unreachable(e.to_string()))?;
    call(cluster, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Pod {
        Pod {
            name: name.into(),
            uid: name.into(),
        }
    }

    #[test]
    fn the_least_busy_are_marked_and_marks_of_those_that_stay_are_taken_back() {
        let busy = [(pod("a"), 5), (pod("b"), 0), (pod("c"), 2), (pod("d"), 9)];
        let none = BTreeMap::new();
        assert_eq!(
            plan(&busy, 2, &none),
            [
                (pod("b"), Step::Mark(LOWEST)),
                (pod("c"), Step::Mark(LOWEST + 1)),
                (pod("a"), Step::Look),
                (pod("d"), Step::Look),
            ]
        );
        let looks = |(_, step): &(Pod, Step)| *step == Step::Look;
        assert!(plan(&busy, 4, &none).iter().all(looks));
        let made = BTreeMap::from([(pod("b"), LOWEST), (pod("a"), LOWEST + 1)]);
        let steps = plan(&busy, 3, &made);
        assert_eq!(steps[1], (pod("a"), Step::Unmark), "{steps:?}");
        assert_eq!(steps.len(), 3, "b has the right mark already");
        assert_eq!(plan(&busy[..1], 0, &none).len(), 1);
    }

    #[test]
    fn what_is_set_by_hand_is_not_ours() {
        for (cost, ours) in [
            (json!("-1000000"), true),
            (json!("-999990"), true),
            (json!("-5"), false),
            (json!("x"), false),
            (json!(null), false),
        ] {
            let pod = json!({ "metadata": { "annotations": { ANNOTATION: cost } } });
            assert_eq!(is_ours(&pod), ours, "{pod}");
        }
        assert!(!is_ours(&json!({ "metadata": {} })));
    }
}
