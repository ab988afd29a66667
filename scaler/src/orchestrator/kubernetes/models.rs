//! Discovers models in the cluster: Seldon's `Model` resources, and Deployments and StatefulSets
//! with an annotation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::{
    Api,
    core::{ApiResource, DynamicObject},
};
use tailback_config::{ClusterKind, ClusterObject};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    cluster::Cluster,
    watch::{Only, Scope, WatchEvent, watch},
};

/// Changes within this time are reported together.
const TOGETHER: Duration = Duration::from_millis(200);

/// The kinds that are watched: group, version, kind, resource.
const KINDS: &[(&str, &str, &str, &str)] = &[
    ("mlops.seldon.io", "v1alpha1", "Model", "models"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
];

/// Calls `tell` with all objects in `namespace` (`None`: in all namespaces) that may describe
/// models. The first call comes when every kind has been listed or refused, later ones whenever an
/// object changes. Never returns. While a watch fails, its objects stay as last known.
pub async fn models(namespace: Option<String>, tell: impl Fn(Vec<ClusterObject>)) {
    let cluster = Arc::new(Cluster::default());
    let mut watches = JoinSet::new();
    let (sender, mut changes) = mpsc::unbounded_channel();
    for (at, kind) in KINDS.iter().enumerate() {
        let (of_kind, mut inbox) = mpsc::unbounded_channel();
        watches.spawn(watch(
            cluster.clone(),
            scope(kind, namespace.as_deref()),
            of_kind,
        ));
        let sender = sender.clone();
        watches.spawn(async move {
            while let Some(change) = inbox.recv().await {
                if sender.send((at, change)).is_err() {
                    return;
                }
            }
        });
    }
    let mut known: Vec<BTreeMap<(String, String), ClusterObject>> =
        vec![BTreeMap::new(); KINDS.len()];
    let mut asked = vec![false; KINDS.len()];
    let mut tell_at = None;
    loop {
        tokio::select! {
            Some((at, change)) = changes.recv() => {
                if !std::mem::replace(&mut asked[at], true) && asked.iter().all(|asked| *asked) {
                    tell_at = Some(Instant::now());
                }
                if take(&mut known[at], KINDS[at].2, change) == Difference::Some {
                    tell_at = tell_at.or(Some(Instant::now() + TOGETHER));
                }
            }
            () = sleep_until(tell_at.unwrap_or_else(Instant::now)),
                if tell_at.is_some() && asked.iter().all(|asked| *asked) => {
                tell_at = None;
                tell(known.iter().flat_map(BTreeMap::values).cloned().collect());
            }
        }
    }
}

/// Whether an event has changed the known objects.
#[derive(PartialEq, Eq)]
enum Difference {
    None,
    Some,
}

fn take(
    known: &mut BTreeMap<(String, String), ClusterObject>,
    kind: &str,
    change: WatchEvent<DynamicObject>,
) -> Difference {
    let describe = |object: &DynamicObject| {
        let described = describe(kind, object);
        let key = (described.namespace.clone(), described.name.clone());
        (key, described)
    };
    let different = match change {
        WatchEvent::All(all) => {
            let all: BTreeMap<_, _> = all.iter().map(describe).collect();
            let different = *known != all;
            *known = all;
            different
        }
        WatchEvent::Applied(object) => {
            let (key, object) = describe(&object);
            known.insert(key, object.clone()) != Some(object)
        }
        WatchEvent::Deleted(object) => known.remove(&describe(&object).0).is_some(),
        // The watch has logged it.
        WatchEvent::Trouble(_) => false,
    };
    match different {
        true => Difference::Some,
        false => Difference::None,
    }
}

fn describe(kind: &str, object: &DynamicObject) -> ClusterObject {
    let count = |field: &str| {
        let value = object.data.get("spec")?.get(field)?.as_u64()?;
        Some(u32::try_from(value).unwrap_or(u32::MAX))
    };
    let metadata = &object.metadata;
    ClusterObject {
        kind: match kind {
            "Model" => ClusterKind::SeldonModel {
                min: count("minReplicas"),
                max: count("maxReplicas"),
            },
            kind => ClusterKind::Workload {
                api_version: "apps/v1".into(),
                kind: kind.into(),
            },
        },
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
    }
}

fn scope(kind: &(&str, &str, &str, &str), namespace: Option<&str>) -> Scope<DynamicObject> {
    let &(group, version, kind, resource) = kind;
    let api_resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: format!("{group}/{version}"),
        kind: kind.into(),
        plural: resource.into(),
    };
    let within = namespace.map(str::to_owned);
    Scope {
        api: Box::new(move |client| match &within {
            Some(namespace) => Api::namespaced_with(client, namespace, &api_resource),
            None => Api::all_with(client, &api_resource),
        }),
        only: Only::All,
        group: group.into(),
        resource: resource.into(),
        namespace: namespace.unwrap_or("*").into(),
    }
}
