//! Deployments: a ReplicaSet for the template, with the Deployment's replicas,
//! and a status from its pods. A new template replaces the old at once, where
//! the real controller rolls.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::{all, counts, merge, owned, owner_reference};
use crate::kubernetes::{Shared, meta, store::Key};

const DEPLOYMENTS: &str = "deployments.apps";
const REPLICA_SETS: &str = "replicasets.apps";
const HASH: &str = "pod-template-hash";

pub(super) fn reconcile(shared: &Shared) {
    for (key, deployment) in all(shared, DEPLOYMENTS) {
        if !meta::is_terminating(&deployment) {
            reconcile_one(shared, &key, &deployment);
        }
    }
}

fn reconcile_one(shared: &Shared, key: &Key, deployment: &Value) {
    let replicas = meta::number(deployment, "/spec/replicas").unwrap_or(1);
    let hash = template_hash(deployment);
    let name = format!("{}-{hash}", key.name);
    let sets = owned(shared, REPLICA_SETS, deployment);
    for set in &sets {
        let wanted = if meta::name(set) == name { replicas } else { 0 };
        if meta::number(set, "/spec/replicas") != Some(wanted) {
            let key = Key::new(REPLICA_SETS, &key.namespace, meta::name(set));
            merge(shared, &key, &json!({ "spec": { "replicas": wanted } }));
        }
    }
    if !sets.iter().any(|set| meta::name(set) == name) {
        let _ = shared.create(replica_set(deployment, &name, &hash, replicas));
    }
    let pods: Vec<_> = sets
        .iter()
        .flat_map(|set| owned(shared, "pods", set))
        .collect();
    let (present, ready) = counts(&pods);
    let is_available = ready >= replicas;
    let status = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": present,
        "updatedReplicas": present,
        "readyReplicas": omit_zero(ready),
        "availableReplicas": omit_zero(ready),
        "unavailableReplicas": omit_zero((replicas - ready).max(0)),
        "conditions": [{
            "type": "Available",
            "status": if is_available { "True" } else { "False" },
            "reason": if is_available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" },
        }],
    });
    merge(shared, key, &json!({ "status": status }));
}

/// Go leaves zeros out of a status (`omitempty`): null takes them away.
fn omit_zero(number: i64) -> Value {
    if number == 0 {
        Value::Null
    } else {
        number.into()
    }
}

fn replica_set(deployment: &Value, name: &str, hash: &str, replicas: i64) -> Value {
    let spec = &deployment["spec"];
    let mut template = spec["template"].clone();
    let mut selector = spec["selector"].clone();
    template["metadata"]["labels"][HASH] = hash.into();
    selector["matchLabels"][HASH] = hash.into();
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": meta::get(deployment, "namespace"),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": { "replicas": replicas, "selector": selector, "template": template },
    })
}

fn template_hash(deployment: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    deployment["spec"]["template"].to_string().hash(&mut hasher);
    format!("{:010x}", hasher.finish() & 0xff_ffff_ffff)
}
