//! Workloads in a cluster follow lag: a real proxy and real servers as pods.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tailback_tests::{
    cluster::{BODY, Cluster, NAMESPACE, desired, infer, last_decision, manifests},
    eventually,
    http::{Client, request},
    load::under_load,
};

// === by real traffic ===

#[test]
fn a_deployment_goes_from_none_to_many_and_back_with_its_traffic() {
    let cluster = Cluster::start(0, "20");
    let proxy = cluster.serve(&manifests("minReplicas: 0"));
    let callers = AtomicU32::new(1);
    let load = under_load(proxy.address, "m", BODY, &callers, || {
        eventually("the first pod", || proxy.ready("m") == 1);
        callers.store(24, Ordering::Relaxed);
        eventually("three pods, each with requests", || {
            let replicas = proxy.model("m")["replicas"]["ready"].clone();
            let replicas = replicas.as_array().unwrap();
            let busy = replicas.iter().filter(|r| r["inFlight"].as_u64() > Some(0));
            busy.count() == 3
        });
        assert_eq!(cluster.replicas(), 3);
        let sent = proxy.model("m")["arrived"].as_u64();
        eventually("more requests", || {
            proxy.model("m")["arrived"].as_u64() > sent.map(|n| n + 300)
        });
        callers.store(0, Ordering::Relaxed);
        eventually("no replicas asked for", || cluster.replicas() == 0);
    });
    assert!(load.answered > 100, "{load:?}");
    assert_eq!(load.failed, 0);
    eventually("no pods", || cluster.pods().is_empty());
    eventually("an empty set", || {
        let replicas = proxy.model("m")["replicas"].clone();
        (&replicas["starting"], &replicas["draining"]) == (&json!(0), &json!(0))
    });
    let start_up = proxy.model("m")["replicas"]["startUpSeconds"].as_f64();
    assert!(
        start_up.is_some_and(|s| (0.01..20.0).contains(&s)),
        "{start_up:?}"
    );
    // Only scale requests, each of them taken.
    assert!(cluster.scale_answers().iter().all(|code| *code == 200));
    let log = proxy.log();
    assert!(!log.contains("somebody else"), "{log}");
}

#[test]
fn what_runs_is_taken_over_and_stays_when_the_proxy_goes() {
    let cluster = Cluster::start(2, "0");
    let mut proxy = cluster.serve(&manifests("minReplicas: 0"));
    eventually("both pods", || proxy.ready("m") == 2);
    assert_eq!(infer(proxy.address), 200);
    proxy.signal(Signal::SIGTERM);
    proxy.wait();
    assert_eq!(cluster.replicas(), 2);
    assert!(cluster.scale_answers().is_empty());
}

#[test]
fn a_pod_that_goes_finishes_its_requests_and_gets_no_new_ones() {
    let cluster = Cluster::start(1, "1500");
    let proxy = cluster.serve(&manifests(""));
    eventually("the pod", || proxy.ready("m") == 1);
    thread::scope(|scope| {
        let slow = scope.spawn(|| infer(proxy.address));
        eventually("its request", || {
            proxy.model("m")["replicas"]["ready"][0]["inFlight"] == 1
        });
        cluster.set_replicas(0);
        eventually("draining", || {
            let replicas = proxy.model("m")["replicas"].clone();
            replicas["draining"] == 1 && replicas["ready"] == json!([])
        });
        let held = scope.spawn(|| infer(proxy.address));
        eventually("a held request", || proxy.model("m")["held"] == 1);
        assert_eq!(slow.join().unwrap(), 200);
        cluster.set_replicas(1);
        assert_eq!(held.join().unwrap(), 200, "by another pod");
    });
    eventually("the end of it", || {
        proxy.model("m")["replicas"]["draining"] == 0
    });
}

#[test]
fn busy_pods_survive_a_scale_down() {
    let cluster = Cluster::start(3, "3000");
    let proxy = cluster.serve(&manifests("replicas: 3"));
    eventually("three pods", || proxy.ready("m") == 3);
    thread::scope(|scope| {
        let slow = scope.spawn(|| infer(proxy.address));
        let mut busy = Value::Null;
        eventually("a busy pod", || {
            let ready = proxy.model("m")["replicas"]["ready"].clone();
            let ready = ready.as_array().unwrap();
            let found = ready.iter().find(|one| one["inFlight"] == 1);
            busy = found.map_or(Value::Null, |one| one["name"].clone());
            !busy.is_null()
        });
        proxy.rewrite(&manifests("replicas: 1"));
        eventually("one pod", || cluster.pods().len() == 1);
        assert_eq!(cluster.pods()[0]["metadata"]["name"], busy);
        assert_eq!(slow.join().unwrap(), 200);
    });
    let marked = cluster
        .double
        .asked()
        .into_iter()
        .filter(|asked| asked.resource == "pods" && asked.verb == "patch" && asked.code == 200)
        .filter(|asked| asked.body["metadata"]["annotations"].is_object());
    assert_eq!(marked.count(), 2);
}

#[test]
fn what_a_leader_before_us_marked_for_scale_down_is_unmarked_and_what_people_set_stays() {
    const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    let cluster = Cluster::start(3, "0");
    let proxy = cluster.serve(&manifests("replicas: 3"));
    eventually("three pods", || proxy.ready("m") == 3);
    let mut names: Vec<_> = cluster
        .pods()
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    // Those that are alike go by their names: these two stay.
    for (name, cost) in [(&names[1], "-999999"), (&names[2], "7")] {
        let patch = json!({ "metadata": { "annotations": { COST: cost } } });
        let merged = cluster.double.merge("pods", NAMESPACE, name, &patch);
        merged.expect("a mark");
    }
    let cost = |name: &str| {
        let pod = cluster.double.get("pods", NAMESPACE, name);
        pod.map(|pod| pod["metadata"]["annotations"][COST].clone())
    };
    proxy.rewrite(&manifests("replicas: 2"));
    eventually("the old mark to be gone", || {
        cost(&names[1]) == Some(Value::Null)
    });
    assert_eq!(cost(&names[2]), Some(json!("7")));
}

#[test]
fn a_scale_down_goes_on_where_pods_may_not_be_marked() {
    let cluster = Cluster::start(3, "0");
    cluster.double.faults().forbid("patch", "pods");
    let proxy = cluster.serve(&manifests("replicas: 3"));
    eventually("three pods", || proxy.ready("m") == 3);
    proxy.rewrite(&manifests("replicas: 1"));
    eventually("one pod", || cluster.pods().len() == 1);
    proxy.rewrite(&manifests("replicas: 0"));
    eventually("no pod", || cluster.pods().is_empty());
    let log = proxy.log();
    let said = log.matches("scale-down may take busy pods").count();
    assert_eq!(said, 1, "{log}");
    assert!(
        log.contains(r#"{apiGroups: [""], resources: ["pods"], verbs: ["patch"]}"#),
        "{log}"
    );
}

// === somebody else ===

#[test]
fn somebody_elses_count_is_taken_over_and_a_fight_is_given_up() {
    let cluster = Cluster::start(1, "20");
    let proxy = cluster.serve(&manifests("minReplicas: 1"));
    eventually("the pod", || proxy.ready("m") == 1);
    cluster.set_replicas(2);
    eventually("two, taken over", || {
        desired(&proxy) == 2 && proxy.ready("m") == 2
    });
    let decision = last_decision(&proxy);
    assert_eq!(
        (&decision["outcome"], &decision["from"], &decision["to"]),
        (&json!("foreign"), &json!(1), &json!(2))
    );
    let callers = AtomicU32::new(24);
    under_load(proxy.address, "m", BODY, &callers, || {
        eventually("our own wish", || cluster.replicas() == 3);
        cluster.set_replicas(1);
        eventually("a fight", || {
            proxy.log().contains("keeps changing the count")
        });
        thread::sleep(Duration::from_secs(3));
        assert_eq!(cluster.replicas(), 1, "left to them");
    });
    let reason = proxy.model("m")["replicas"]["reason"].to_string();
    assert!(reason.contains("HorizontalPodAutoscaler"), "{reason}");
    let log = proxy.log();
    // A pod that goes may be found out of reach as well.
    assert_eq!(log.matches("WARN somebody else").count(), 2, "{log}");
}

#[test]
fn requests_that_wait_wake_a_model_that_somebody_scaled_to_zero() {
    let cluster = Cluster::start(1, "0");
    let mut manifests = manifests("minReplicas: 0");
    manifests += "  scaling: { stabilitySeconds: 600, inactiveSeconds: 600 }\n";
    let proxy = cluster.serve(&manifests);
    eventually("the pod", || proxy.ready("m") == 1);
    cluster.set_replicas(0);
    eventually("none", || desired(&proxy) == 0);
    eventually("no pod", || cluster.pods().is_empty());
    assert_eq!(infer(proxy.address), 200);
}

#[test]
fn a_request_that_comes_in_pieces_wakes_it_as_well() {
    let cluster = Cluster::start(1, "0");
    let mut manifests = manifests("minReplicas: 0");
    manifests += "  scaling: { policy: lag-step, stabilitySeconds: 600, inactiveSeconds: 600 }\n";
    // Not the next look, but the request itself.
    let seldom = [("SELDON_SCALING_STATS_PERIOD_SECONDS", "600")];
    let proxy = cluster.serve_with(&manifests, &seldom);
    eventually("the pod", || proxy.ready("m") == 1);
    cluster.set_replicas(0);
    eventually("none", || desired(&proxy) == 0);
    eventually("no pod", || cluster.pods().is_empty());
    let whole = request("POST", "/v2/models/m/infer", &[], BODY);
    let (head, body) = whole.split_at(whole.len() - BODY.len());
    let mut caller = Client::connect(proxy.address).unwrap();
    caller.send(head).unwrap();
    eventually("its arrival", || {
        let model = proxy.model("m");
        model["inFlight"] == 1 && model["receiving"] == 1
    });
    assert_eq!(cluster.replicas(), 0, "nothing waits yet");
    caller.send(body).unwrap();
    assert_eq!(caller.receive().unwrap().status, 200);
}
