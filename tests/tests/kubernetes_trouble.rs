//! Trouble between a proxy and its cluster: it is logged once, with what it means, and ends as
//! soon as possible.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tailback_tests::{
    cluster::{BODY, Cluster, NAMESPACE, desired, infer, last_decision, manifests},
    eventually,
    http::Client,
    process::Tailback,
};

const DEPLOYMENTS: &str = "deployments.apps";

fn failure(proxy: &Tailback) -> String {
    proxy.model("m")["replicas"]["failure"].to_string()
}

/// Sends inferences and does not wait for their answers.
fn send(proxy: &Tailback, count: usize) -> Vec<Client> {
    let head = format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    let whole = [head.as_bytes(), BODY].concat();
    let one = |_| {
        let mut client = Client::connect(proxy.address).expect("a connection");
        client.send(&whole).expect("a request");
        client
    };
    (0..count).map(one).collect()
}

// === outages ===

#[test]
fn an_outage_is_logged_once_when_it_begins_and_once_when_it_ends() {
    let cluster = Cluster::start(1, "0");
    let proxy = cluster.serve(&manifests("minReplicas: 0"));
    eventually("the pod", || proxy.ready("m") == 1);
    cluster.double.faults().go_down();
    eventually("that it is said", || {
        proxy.log().contains("the Kubernetes API cannot be reached")
    });
    // Long enough for waits to have grown.
    thread::sleep(Duration::from_secs(12));
    cluster.double.faults().come_back();
    let start = Instant::now();
    eventually("that it is over", || {
        proxy.log().contains("the Kubernetes API answers again")
    });
    eventually("that all is well", || failure(&proxy) == "null");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    let log = proxy.log();
    let of = |level: &str| log.lines().filter(|line| line.contains(level)).count();
    // Unused since: a decision of before may have failed, and says so.
    let said = log.matches("API cannot be reached").count();
    let decisions = log.matches("scale down").count();
    assert!(said <= 1 + decisions, "{log}");
    assert_eq!(
        log.matches("Kubernetes API answers again").count(),
        1,
        "{log}"
    );
    assert_eq!(of("ERROR"), 0, "{log}");
    assert!(of("WARN") <= 1 + decisions, "{log}");
}

#[test]
fn an_answer_to_anybody_wakes_the_watches_that_wait() {
    let cluster = Cluster::start(0, "0");
    let proxy = cluster.serve_with(
        &manifests("minReplicas: 0"),
        // Its Lease is renewed each second or so.
        &[("TAILBACK_KUBE_PEERS", "tailback-admin")],
    );
    eventually("the count", || proxy.metric("tailback_leader") == 1.0);
    cluster.double.faults().go_down();
    thread::sleep(Duration::from_secs(14));
    cluster.double.faults().come_back();
    let start = Instant::now();
    assert_eq!(infer(proxy.address), 200);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
}

// === permissions ===

#[test]
fn a_count_that_is_refused_is_a_failure_and_what_is_desired_is_what_the_cluster_took() {
    let cluster = Cluster::without_pods(1);
    cluster.double.faults().forbid("patch", "deployments/scale");
    let proxy = cluster.serve(&manifests("minReplicas: 1"));
    eventually("the count", || desired(&proxy) == 1);
    let _inside = send(&proxy, 24);
    eventually("the failure", || {
        failure(&proxy).contains("replicas were asked for: refused: patch of deployments/scale")
    });
    assert_eq!(desired(&proxy), 1);
    assert_eq!(proxy.metric("tailback_model_failing{model=\"m\"}"), 1.0);
    let reason = proxy.model("m")["replicas"]["reason"].to_string();
    assert!(reason.contains("scale request refused"), "{reason}");
    let warned = || {
        let log = proxy.log();
        let warning = |line: &&str| line.contains("WARN") && line.contains("is not permitted");
        log.lines().filter(warning).count()
    };
    eventually("the warning", || warned() > 0);
    assert_eq!(warned(), 1, "{}", proxy.log());
    let decision = last_decision(&proxy);
    assert_eq!(decision["from"], 1, "{decision}");
    assert!(decision["outcome"].to_string().contains("failed"));

    cluster.double.faults().clear();
    eventually("more replicas", || cluster.replicas() > 1);
    eventually("that they are desired", || {
        desired(&proxy).as_u64() > Some(1) && failure(&proxy) == "null"
    });
}

#[test]
fn a_permission_that_is_missing_for_a_moment_is_not_logged() {
    let cluster = Cluster::start(0, "0");
    cluster.double.faults().forbid("*", "*");
    let proxy = cluster.serve_with(
        &manifests("minReplicas: 0"),
        &[("TAILBACK_KUBE_PEERS", "tailback-admin")],
    );
    thread::sleep(Duration::from_secs(2));
    cluster.double.faults().clear();
    assert_eq!(infer(proxy.address), 200);
    let log = proxy.log();
    assert!(
        !log.contains("Add to a Role") && !log.contains("WARN"),
        "{log}"
    );
}

// === somebody else ===

#[test]
fn one_replica_is_asked_for_where_somebody_set_none_and_requests_wait() {
    let cluster = Cluster::without_pods(1);
    let mut manifests = manifests("minReplicas: 0");
    manifests += "  scaling: { stabilitySeconds: 600, inactiveSeconds: 600 }\n";
    let proxy = cluster.serve(&manifests);
    eventually("the count", || desired(&proxy) == 1);
    cluster.set_replicas(0);
    eventually("none", || desired(&proxy) == 0);
    let _held = send(&proxy, 24);
    eventually("one", || cluster.replicas() == 1);
    eventually("all of them held", || proxy.model("m")["held"] == 24);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(cluster.replicas(), 1, "{}", proxy.log());
}

#[test]
fn a_workload_made_anew_is_scaled_at_once() {
    let cluster = Cluster::without_pods(0);
    let proxy = cluster.serve(&manifests("minReplicas: 0"));
    eventually("the count", || proxy.log().contains("taken over"));
    let deployment = cluster
        .double
        .delete(DEPLOYMENTS, NAMESPACE, "llama")
        .unwrap();
    eventually("that it is gone", || {
        failure(&proxy).contains("does not exist")
    });
    let _held = send(&proxy, 1);
    eventually("a refusal", || {
        last_decision(&proxy)["outcome"]
            .to_string()
            .contains("refused")
    });
    // In the midst of the pause after it.
    thread::sleep(Duration::from_secs(1));
    let mut anew: Value = (*deployment).clone();
    anew["metadata"] = json!({ "name": "llama", "namespace": NAMESPACE });
    cluster.double.create(anew).unwrap();
    let start = Instant::now();
    eventually("a replica asked for", || cluster.replicas() == 1);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let log = proxy.log();
    assert!(!log.contains("somebody else"), "{log}");
}
