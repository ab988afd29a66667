//! A thousand workloads in one namespace: a watch a kind, some connections in all,
//! and each model is scaled by its own requests.

use std::fmt::Write;

use serde_json::json;
use tailback_tests::{
    cluster::{BODY, Cluster, NAMESPACE},
    eventually_within,
    http::{Client, request},
    process::Tailback,
};

const WORKLOADS: usize = 1_000;
/// More than any one thing here takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn name(n: usize) -> String {
    format!("m{n:04}")
}

fn manifests() -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let mut text = format!(
        "{api}
kind: Server
metadata: {{ name: all }}
spec:
  concurrency: 4
  kubernetes:
    namespace: {NAMESPACE}
    kind: Deployment
    name: \"{{model}}\"
    service: {{ name: \"{{model}}\", port: 8080 }}
"
    );
    for n in 0..WORKLOADS {
        let name = name(n);
        write!(
            text,
            "---\n{api}\nkind: Model\nmetadata: {{ name: {name} }}\nspec: {{ server: all, minReplicas: 0, maxReplicas: 3 }}\n"
        )
        .unwrap();
    }
    text
}

fn deployment(n: usize) -> serde_json::Value {
    let name = name(n);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "server", "image": "none" }] },
            },
        },
    })
}

fn replicas(cluster: &Cluster, n: usize) -> u64 {
    let found = cluster.double.get("deployments.apps", NAMESPACE, &name(n));
    let found = found.expect("the Deployment");
    found["spec"]["replicas"].as_u64().unwrap_or(0)
}

/// Sends an inference and does not wait for its answer.
fn send(proxy: &Tailback, n: usize) -> Client {
    let mut client = Client::connect(proxy.address).expect("a connection");
    let path = format!("/v2/models/{}/infer", name(n));
    client
        .send(request("POST", &path, &[], BODY))
        .expect("a request");
    client
}

#[test]
fn a_thousand_workloads_are_followed_by_a_watch_a_kind_and_scaled_each() {
    let cluster = Cluster::without_pods(0);
    for n in 0..WORKLOADS {
        cluster.double.create(deployment(n)).expect("a Deployment");
    }
    let proxy = cluster.serve(&manifests());
    eventually_within(PATIENCE, "all counts", || {
        let page = proxy.page("/models");
        let models = page["models"].as_array().expect("a list");
        models.len() == WORKLOADS
            && models.iter().all(|model| {
                let reason = model["replicas"]["reason"].as_str().unwrap_or_default();
                !reason.is_empty() && reason != "waiting for the orchestrator to report what runs"
            })
    });
    // Many at once.
    let held: Vec<_> = (0..WORKLOADS)
        .step_by(10)
        .map(|n| send(&proxy, n))
        .collect();
    eventually_within(PATIENCE, "a replica of each that has a request", || {
        (0..WORKLOADS)
            .step_by(10)
            .all(|n| replicas(&cluster, n) == 1)
    });
    assert_eq!(replicas(&cluster, 1), 0);

    let asked = cluster.double.asked();
    let of = |verb: &str, resource: &str| {
        let those = asked
            .iter()
            .filter(|asked| asked.verb == verb && asked.resource == resource);
        those.count()
    };
    for resource in ["deployments", "endpointslices"] {
        // They are listed in pages, and a watch ends and begins anew after a minute.
        let (lists, watches) = (of("list", resource), of("watch", resource));
        assert!(lists <= 4 && watches <= 4, "{resource}: {lists}, {watches}");
    }
    let connections = cluster.double.most_connections();
    // 16 calls at once, the watches, and what the pool opens while one is being given back.
    assert!(connections <= 24, "{connections} connections");
    println!("{connections} connections at most");
    drop(held);

    // A change or deletion by hand affects only its own model.
    let patch = json!({ "spec": { "replicas": 2 } });
    cluster
        .double
        .merge("deployments.apps", NAMESPACE, &name(7), &patch)
        .expect("a count");
    eventually_within(PATIENCE, "its count", || {
        proxy.model(&name(7))["replicas"]["desired"] == 2
    });
    assert_eq!(proxy.model(&name(8))["replicas"]["desired"], 0);
}
