//! Before a scale-down: the least busy pods are marked, so that busy ones stay.
//!
//! A ReplicaSet removes, of pods that are alike otherwise, those of the lowest
//! `controller.kubernetes.io/pod-deletion-cost` first; a pod without one costs 0.
//! So only those that are to go are written to. One that stayed after all is
//! unmarked at the next scale-down. Source: Kubernetes documentation, "ReplicaSet:
//! Pod deletion cost".

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

const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The least busy one's; others follow. Below what anybody sets by hand.
const LOWEST: i32 = -1_000_000;
/// It is worth no longer wait.
const LIMIT: Duration = Duration::from_secs(3);

/// The marks that were made.
#[derive(Debug, Default)]
pub(super) struct DeletionCosts {
    made: Mutex<BTreeMap<Pod, i32>>,
    /// Whether it was said that they cannot be made.
    said: AtomicBool,
}

impl DeletionCosts {
    /// Marks the pods of `ready` that are to go when `keep` stay. What cannot be
    /// marked is not: a scale-down does not wait for it.
    pub(super) async fn mark(
        &self,
        cluster: &Cluster,
        namespace: &str,
        ready: &[Running],
        keep: u32,
    ) {
        let busy: Vec<_> = ready
            .iter()
            .filter_map(|one| Some((one.pod.clone()?, one.replica.in_flight())))
            .collect();
        let marks = {
            let made = self.made.lock().unwrap_or_else(|e| e.into_inner());
            plan(&busy, keep, &made)
        };
        let writes = marks.iter().map(async |(pod, cost)| {
            let written = write(cluster, namespace, pod, *cost).await;
            (pod, *cost, written)
        });
        let Ok(written) = timeout(LIMIT, join_all(writes)).await else {
            tracing::debug!(namespace, "pods could not be marked in time");
            return;
        };
        let mut made = self.made.lock().unwrap_or_else(|e| e.into_inner());
        for (pod, cost, result) in written {
            match (result, cost) {
                (Ok(()), Some(cost)) => drop(made.insert(pod.clone(), cost)),
                // It is gone, or another has its name.
                (
                    Err(ApiError::Status {
                        code: 404 | 409, ..
                    }),
                    _,
                )
                | (Ok(()), None) => {
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
        if self.said.swap(true, Ordering::Relaxed) {
            tracing::debug!("the least busy pods are not marked: {error}");
        } else {
            tracing::warn!(
                "scale-down may take busy pods, as the least busy cannot be marked for it: {error}"
            );
        }
    }
}

/// What to write: the cost of each pod that is to go, and none for those that
/// have one and are to stay.
fn plan(busy: &[(Pod, u32)], keep: u32, made: &BTreeMap<Pod, i32>) -> Vec<(Pod, Option<i32>)> {
    let mut order: Vec<_> = busy.iter().collect();
    order.sort_by_key(|(pod, in_flight)| (*in_flight, pod.name.clone()));
    let go = busy.len().saturating_sub(keep as usize);
    let costs = (LOWEST..).map(Some).take(go).chain(std::iter::repeat(None));
    let wanted = order.iter().zip(costs);
    wanted
        .map(|((pod, _), cost)| (pod.clone(), cost))
        .filter(|(pod, cost)| made.get(pod).copied() != *cost)
        .collect()
}

async fn write(
    cluster: &Cluster,
    namespace: &str,
    pod: &Pod,
    cost: Option<i32>,
) -> Result<(), ApiError> {
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{}?fieldManager={FIELD_MANAGER}",
        pod.name
    );
    let cost = cost.map(|cost| cost.to_string());
    // Of this very pod, not of one that has its name now.
    let patch = json!({ "metadata": { "uid": pod.uid, "annotations": { ANNOTATION: cost } } });
    let request = Request::patch(&path)
        .header("content-type", "application/merge-patch+json")
        .body(patch.to_string().into_bytes())
        .map_err(|e| ApiError::Unreachable(e.to_string()))?;
    call::<Value>(cluster, request).await.map(drop)
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
            [(pod("b"), Some(LOWEST)), (pod("c"), Some(LOWEST + 1))]
        );
        assert_eq!(plan(&busy, 4, &none), []);
        assert_eq!(plan(&busy, 9, &none), []);
        let made = BTreeMap::from([(pod("b"), LOWEST), (pod("a"), LOWEST + 1)]);
        assert_eq!(plan(&busy, 3, &made), [(pod("a"), None)]);
        assert_eq!(plan(&busy[..1], 0, &none).len(), 1);
    }
}
