//! StatefulSets: pods `name-0`, `name-1`, …, each made when those before it are
//! ready unless `podManagementPolicy` is `Parallel`; the last goes first.

use serde_json::Value;

use super::{all, owned, pod_of, report};
use crate::kubernetes::{Shared, meta, registry::Deletion, store::Key};

const STATEFUL_SETS: &str = "statefulsets.apps";

pub(super) fn reconcile(shared: &Shared) {
    for (key, set) in all(shared, STATEFUL_SETS) {
        if !meta::is_terminating(&set) {
            reconcile_one(shared, &key, &set);
        }
    }
}

fn reconcile_one(shared: &Shared, key: &Key, set: &Value) {
    let wanted = meta::number(set, "/spec/replicas").unwrap_or(1);
    let in_order = set["spec"]["podManagementPolicy"] != "Parallel";
    let pods = owned(shared, "pods", set);
    let ordinal = |pod: &Value| {
        let number = meta::name(pod).rsplit('-').next()?;
        number.parse::<i64>().ok()
    };
    for number in 0..wanted {
        match pods.iter().find(|pod| ordinal(pod) == Some(number)) {
            None => {
                let mut pod = pod_of(set);
                let name = format!("{}-{number}", key.name);
                pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] =
                    name.clone().into();
                meta::set(&mut pod, "name", name);
                let _ = shared.create(pod);
                if in_order {
                    break;
                }
            }
            Some(pod) if in_order && !meta::has_condition(pod, "Ready") => break,
            Some(_) => {}
        }
    }
    let last = pods
        .iter()
        .filter(|pod| ordinal(pod) >= Some(wanted))
        .max_by_key(|pod| ordinal(pod));
    if let Some(pod) = last.filter(|pod| !meta::is_terminating(pod)) {
        let key = Key::new("pods", &key.namespace, meta::name(pod));
        let _ = shared.delete(&key, &Deletion::default());
    }
    report(shared, key, set);
}
