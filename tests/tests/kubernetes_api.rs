//! An API server that refuses, is away, compacts its history, or does not exist: requests go on,
//! the error is reported, and scaling resumes.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tailback_tests::{
    cluster::{BODY, Cluster, NAMESPACE, desired, infer, last_decision, manifests},
    eventually,
    kubernetes::{
        failure::Failure,
        faults::{Fault, Times},
        resource::Resource,
    },
    load::under_load,
    process::tailback,
};

// === refusals ===

#[test]
fn conflicts_and_a_busy_server_are_waited_out() {
    let cluster = Cluster::start(0, "0");
    let deployments = &Resource::new("apps", "v1", "deployments", "Deployment");
    let faults = cluster.double.faults();
    let conflict = Failure::conflict(deployments, "llama");
    faults.answer(2, "patch", "deployments/scale", conflict);
    faults.answer(
        1,
        "patch",
        "deployments/scale",
        Failure::too_many_requests(1),
    );
    let proxy = cluster.serve(&manifests("minReplicas: 0"));
    eventually("the count", || desired(&proxy) == 0);
    let start = Instant::now();
    assert_eq!(infer(proxy.address), 200);
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "it was asked to wait"
    );
    assert_eq!(cluster.scale_answers()[..4], [409, 409, 429, 200]);
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again() {
    let cluster = Cluster::start(0, "0");
    let faults = cluster.double.faults();
    faults.add(
        Times::Next(1),
        "patch",
        "deployments/scale",
        Fault::Disconnect,
    );
    faults.answer(1, "patch", "deployments/scale", Failure::internal("etcd"));
    let proxy = cluster.serve(&manifests("minReplicas: 0"));
    eventually("the count", || desired(&proxy) == 0);
    assert_eq!(infer(proxy.address), 200);
    assert!(!proxy.log().contains("somebody else"), "{}", proxy.log());
}

#[test]
fn a_missing_permission_is_named_with_the_rule_that_grants_it() {
    let cluster = Cluster::start(1, "0");
    cluster.double.faults().forbid("patch", "deployments/scale");
    let proxy = cluster.serve(&manifests("replicas: 2"));
    let refused = "patch of deployments/scale (API group \"apps\") in namespace models is not permitted. Add to a Role \
                   in namespace models the rule {apiGroups: [\"apps\"], resources: [\"deployments/scale\"], verbs: [\"patch\"]}";
    eventually("the refusal", || {
        let outcome = last_decision(&proxy)["outcome"].to_string();
        outcome.replace("\\\"", "\"").contains(refused)
    });
    assert_eq!(infer(proxy.address), 200, "what runs serves");
}

#[test]
fn what_may_not_be_watched_is_named_on_the_models_page() {
    let cluster = Cluster::start(1, "0");
    let account = cluster.double.service_account(NAMESPACE, "poor");
    let rules = json!([
        { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"] },
    ]);
    cluster.double.grant(NAMESPACE, "poor", &rules);
    cluster.log_in(&account.kubeconfig());
    let proxy = cluster.serve(&manifests("minReplicas: 1"));
    let failure = || {
        proxy.model("m")["replicas"]["failure"]
            .to_string()
            .replace("\\\"", "\"")
    };
    eventually("the refusal", || {
        failure().contains("list and watch of endpointslices (API group \"discovery.k8s.io\")")
    });
    let rules = json!([
        { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"] },
        { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"] },
    ]);
    cluster.double.grant(NAMESPACE, "poor", &rules);
    eventually("the pod", || proxy.ready("m") == 1);
    assert_eq!(proxy.model("m")["replicas"]["failure"], Value::Null);
}

#[test]
fn what_may_be_listed_but_not_watched_is_asked_for_ever_more_seldom() {
    let cluster = Cluster::start(1, "0");
    cluster.double.faults().forbid("watch", "endpointslices");
    let proxy = cluster.serve(&manifests(""));
    eventually("the pod, by the list", || proxy.ready("m") == 1);
    thread::sleep(Duration::from_secs(3));
    let asked = cluster.double.asked();
    let lists = asked
        .iter()
        .filter(|asked| asked.verb == "list" && asked.resource == "endpointslices");
    assert!(lists.count() <= 6);
    let log = proxy.log();
    let said = log.lines().filter(|line| line.contains("endpointslices"));
    assert!(said.count() <= 2, "{log}");
}

#[test]
fn an_invalid_count_is_refused_with_the_servers_words() {
    let cluster = Cluster::start(1, "0");
    let invalid = Failure::invalid("apps", "Deployment", "llama", "spec.replicas", "too many");
    cluster
        .double
        .faults()
        .answer(1, "patch", "deployments/scale", invalid);
    let proxy = cluster.serve(&manifests("replicas: 2"));
    eventually("the refusal", || {
        let outcome = last_decision(&proxy)["outcome"].to_string();
        outcome.contains("refused") && outcome.contains("too many")
    });
}

#[test]
fn a_missing_workload_is_reported_and_followed_once_it_exists() {
    let cluster = Cluster::start(1, "0");
    let deployment = cluster
        .double
        .delete("deployments.apps", NAMESPACE, "llama")
        .unwrap();
    let proxy = cluster.serve(&manifests("minReplicas: 1"));
    eventually("what is missing", || {
        let failure = proxy.model("m")["replicas"]["failure"].to_string();
        failure.contains("Deployment models/llama does not exist")
    });
    let mut deployment = (*deployment).clone();
    for field in [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        deployment["metadata"]
            .as_object_mut()
            .unwrap()
            .remove(field);
    }
    cluster.double.create(deployment).unwrap();
    eventually("the pod", || proxy.ready("m") == 1);
    assert_eq!(infer(proxy.address), 200);
}

// === outages ===

#[test]
fn traffic_flows_on_through_an_outage_and_scaling_resumes() {
    let cluster = Cluster::start(1, "20");
    let proxy = cluster.serve(&manifests("minReplicas: 1"));
    eventually("the pod", || proxy.ready("m") == 1);
    let callers = AtomicU32::new(1);
    let load = under_load(proxy.address, "m", BODY, &callers, || {
        cluster.double.faults().go_down();
        eventually("that it is said", || {
            proxy.model("m")["replicas"]["failure"] != Value::Null
        });
        callers.store(24, Ordering::Relaxed);
        eventually("a wish for more", || {
            proxy.model("m")["replicas"]["wanted"] == 3
        });
        let before = proxy.model("m")["completed"].as_u64().unwrap();
        eventually("traffic", || {
            proxy.model("m")["completed"].as_u64().unwrap() > before + 200
        });
        assert_eq!((proxy.ready("m"), cluster.replicas()), (1, 1));
        eventually("what is asked for is what the cluster took", || {
            desired(&proxy) == 1
        });
        cluster.double.faults().come_back();
        eventually("three pods", || proxy.ready("m") == 3);
        eventually("that all is well", || {
            proxy.model("m")["replicas"]["failure"] == Value::Null
        });
    });
    assert_eq!(load.failed, 0);
    assert!(!proxy.log().contains("somebody else"), "{}", proxy.log());
}

#[test]
fn a_proxy_that_starts_during_an_outage_waits_for_its_end() {
    let cluster = Cluster::start(1, "0");
    cluster.double.faults().go_down();
    let proxy = cluster.serve(&manifests("minReplicas: 1"));
    thread::scope(|scope| {
        let held = scope.spawn(|| infer(proxy.address));
        eventually("a held request", || proxy.model("m")["held"] == 1);
        cluster.double.faults().come_back();
        assert_eq!(held.join().unwrap(), 200);
    });
}

#[test]
fn watches_resume_and_list_again_where_the_past_is_forgotten() {
    let cluster = Cluster::start(1, "0");
    let proxy = cluster.serve(&manifests(""));
    eventually("the pod", || proxy.ready("m") == 1);
    let faults = cluster.double.faults();
    let lists = || {
        cluster
            .double
            .asked()
            .iter()
            .filter(|asked| asked.verb == "list")
            .count()
    };
    let before = lists();
    faults.drop_connections();
    cluster.set_replicas(2);
    eventually("two pods", || proxy.ready("m") == 2);
    assert_eq!(lists(), before, "resumed");
    cluster.double.compact();
    faults.expire_watches();
    cluster.set_replicas(3);
    eventually("three pods", || proxy.ready("m") == 3);
    assert!(lists() > before);
}

#[test]
fn a_new_token_is_read_when_the_old_one_is_refused() {
    let cluster = Cluster::start(0, "0");
    let old = cluster.double.tailback(NAMESPACE);
    let file = cluster.log_in_by_file(&old);
    let proxy = cluster.serve(&manifests("minReplicas: 0"));
    eventually("the count", || desired(&proxy) == 0);
    let new = cluster.double.tailback(NAMESPACE);
    fs::write(file, &new.token).unwrap();
    cluster.double.revoke(&old);
    cluster.double.faults().drop_connections();
    assert_eq!(infer(proxy.address), 200);
}

#[test]
#[ignore = "takes more than a minute"]
fn a_watch_that_went_silent_is_taken_for_dead() {
    let cluster = Cluster::start(1, "0");
    let proxy = cluster.serve(&manifests(""));
    eventually("the pod", || proxy.ready("m") == 1);
    cluster.double.faults().silence_watches();
    cluster.set_replicas(2);
    // Longer than a watch lasts.
    thread::sleep(Duration::from_secs(80));
    eventually("two pods", || proxy.ready("m") == 2);
}

// === no cluster ===

#[test]
fn without_a_cluster_it_does_not_start_and_says_what_it_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    fs::write(&file, manifests("")).unwrap();
    let output = tailback()
        .arg("serve")
        .arg(&file)
        .env("HOME", folder.path())
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for words in [
        "server llama is a Kubernetes workload",
        "KUBECONFIG",
        "KUBERNETES_SERVICE_HOST",
    ] {
        assert!(error.contains(words), "{error}");
    }
    let check = tailback().arg("check").arg(&file).output().unwrap();
    assert!(
        check.status.success(),
        "what is written is checked without a cluster"
    );
}
