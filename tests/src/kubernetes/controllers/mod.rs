//! The controllers of a cluster, which turn Deployments into pods and Services into
//! EndpointSlices as kube-controller-manager does, and a kubelet.
//!
//! Each looks at all objects after every change, which is fast enough for tests.

pub mod deployment;
pub mod endpoints;
pub mod garbage;
pub mod kubelet;
pub mod pod;
pub mod programs;
pub mod replica_set;
pub mod stateful_set;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Shared, meta, store::Key};

pub(super) async fn run(shared: Arc<Shared>) {
    let mut changes = shared.store.changes();
    loop {
        changes.borrow_and_update();
        deployment::reconcile(&shared);
        replica_set::reconcile(&shared);
        stateful_set::reconcile(&shared);
        endpoints::reconcile(&shared);
        garbage::collect(&shared);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// All objects of a resource, in all namespaces.
fn all(shared: &Shared, resource: &str) -> Vec<(Key, Arc<Value>)> {
    let state = shared.store.lock();
    state
        .of(resource)
        .map(|(k, o)| (k.clone(), o.clone()))
        .collect()
}

/// The objects of a resource that `owner` controls.
fn owned(shared: &Shared, resource: &str, owner: &Value) -> Vec<Arc<Value>> {
    let uid = meta::get(owner, "uid");
    let all = shared.list(resource, meta::get(owner, "namespace"));
    all.into_iter()
        .filter(|object| meta::controller(object).is_some_and(|(_, owner)| owner == uid))
        .collect()
}

/// The reference to its controller in a controlled object.
fn owner_reference(owner: &Value) -> Value {
    let mut reference = super::lists::reference(owner);
    reference["controller"] = true.into();
    reference["blockOwnerDeletion"] = true.into();
    reference
}

/// A pod from an owner's template.
fn pod_of(owner: &Value) -> Value {
    let template = &owner["spec"]["template"];
    let metadata = &template["metadata"];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": meta::get(owner, "namespace"),
            "labels": metadata["labels"],
            "annotations": metadata["annotations"],
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    })
}

/// Applies a patch that changes something. A write that conflicts is repeated after the next
/// change.
fn merge(shared: &Shared, key: &Key, patch: &Value) {
    let _ = shared.merge("kube-controller-manager", key, patch);
}

/// Writes the status of a set of pods.
fn report(shared: &Shared, key: &Key, set: &Value) {
    let (present, ready) = counts(&owned(shared, "pods", set));
    let status = json!({
        "observedGeneration": set["metadata"]["generation"],
        "replicas": present,
        "readyReplicas": ready,
        "availableReplicas": ready,
    });
    merge(shared, key, &json!({ "status": status }));
}

/// The counts that go into the status of whatever has pods.
fn counts(pods: &[Arc<Value>]) -> (i64, i64) {
    let active: Vec<&Arc<Value>> = pods.iter().filter(|p| pod::is_active(p)).collect();
    let ready = active
        .iter()
        .filter(|p| meta::has_condition(p, "Ready"))
        .count();
    (active.len() as i64, ready as i64)
}
