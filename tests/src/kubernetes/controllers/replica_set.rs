//! ReplicaSets: as many pods as they say, the least needed deleted first.

use std::sync::Arc;

use serde_json::Value;

use super::{all, owned, pod, pod_of, report};
use crate::kubernetes::{Shared, meta, registry::Deletion, store::Key};

const REPLICA_SETS: &str = "replicasets.apps";

pub(super) fn reconcile(shared: &Shared) {
    for (key, set) in all(shared, REPLICA_SETS) {
        if !meta::is_terminating(&set) {
            reconcile_one(shared, &key, &set);
        }
    }
}

fn reconcile_one(shared: &Shared, key: &Key, set: &Value) {
    let wanted = meta::number(set, "/spec/replicas").unwrap_or(1).max(0) as usize;
    let pods = owned(shared, "pods", set);
    let mut active: Vec<&Arc<Value>> = pods.iter().filter(|p| pod::is_active(p)).collect();
    for _ in active.len()..wanted {
        let mut pod = pod_of(set);
        meta::set(&mut pod, "generateName", format!("{}-", key.name));
        let _ = shared.create(pod);
    }
    if active.len() > wanted {
        active.sort_by(|a, b| pod::least_needed_first(a, b));
        for pod in &active[..active.len() - wanted] {
            let key = Key::new("pods", &key.namespace, meta::name(pod));
            let _ = shared.delete(&key, &Deletion::default());
        }
    }
    report(shared, key, set);
}
