//! Scenarios in any cluster: the API server double, or with `make test-kube` the cluster of the
//! current kubeconfig.

mod access;
mod addresses;
mod cluster;
mod pods;
mod proxies;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use tailback_tests::{
    eventually_within,
    http::{self, Client},
    load::under_load,
    process::Tailback,
};

use crate::{
    access::{all_rules, rules_without_patch},
    cluster::{Cluster, NAME},
};

const BODY: &[u8] = include_bytes!("../../../examples/infer.json");

/// A real cluster takes time, and refused requests are not retried at once.
fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(Duration::from_secs(120), what, condition);
}

fn infer(proxy: &Tailback) -> u16 {
    let path = format!("/v2/models/{NAME}/infer");
    let mut client = Client::connect(proxy.address).unwrap();
    client.call("POST", &path, &[], BODY).unwrap().status
}

fn leads(proxy: &Tailback) -> bool {
    proxy.metric("tailback_leader") == 1.0
}

#[test]
fn a_deployment_follows_its_traffic_from_none_to_many_and_back() {
    let cluster = Cluster::start(0);
    if cluster.run_pods("20").is_none() {
        return;
    }
    cluster.grant(&all_rules());
    let proxy = cluster.serve("minReplicas: 0", &[]);
    let callers = AtomicU32::new(1);
    let load = under_load(proxy.address, NAME, BODY, &callers, || {
        eventually("the first pod", || proxy.ready(NAME) == 1);
        callers.store(24, Ordering::Relaxed);
        eventually("three pods", || proxy.ready(NAME) == 3);
        assert_eq!(cluster.replicas(), 3);
        eventually("answers", || {
            proxy.model(NAME)["completed"].as_u64() > Some(300)
        });
        callers.store(0, Ordering::Relaxed);
        eventually("none asked for", || cluster.replicas() == 0);
    });
    assert!(load.answered > 100, "{load:?}");
    assert_eq!(load.failed, 0);
    eventually("no pods", || cluster.pods() == 0);
    assert!(!proxy.log().contains("somebody else"), "{}", proxy.log());
}

#[test]
fn of_two_proxies_one_scales_for_both_and_the_other_goes_on_when_it_is_killed() {
    let cluster = Cluster::start(0);
    let Some(hosts) = cluster.hosts() else {
        return;
    };
    if cluster.run_pods("20").is_none() {
        return;
    }
    cluster.grant(&all_rules());
    let [mut a, mut b] = hosts.map(|host| {
        let admin = format!("{host}:0");
        cluster.serve(
            "minReplicas: 0",
            &[
                ("TAILBACK_ADMIN", &admin),
                ("TAILBACK_KUBE_PEERS", "peers"),
                ("TAILBACK_KUBE_NAMESPACE", &cluster.namespace),
            ],
        )
    });
    cluster.list_peers(&[a.admin, b.admin]);
    eventually("one leader", || leads(&a) != leads(&b));
    if leads(&b) {
        (a, b) = (b, a);
    }
    // The proxy that gets the request does not lead: it wakes the leader.
    assert_eq!(infer(&b), 200);
    let callers = AtomicU32::new(1);
    let load = under_load(b.address, NAME, BODY, &callers, || {
        // Killed, so that it does not release the Lease.
        drop(a);
        eventually("the other leads", || leads(&b));
        callers.store(24, Ordering::Relaxed);
        eventually("three pods", || b.ready(NAME) == 3);
        assert_eq!(cluster.replicas(), 3);
    });
    assert_eq!(load.failed, 0, "{load:?}");
}

#[test]
fn traffic_flows_while_the_api_server_is_away_and_scaling_resumes() {
    let cluster = Cluster::start(1);
    if cluster.run_pods("20").is_none() {
        return;
    }
    cluster.grant(&all_rules());
    let proxy = cluster.serve("minReplicas: 1", &[]);
    eventually("the pod", || proxy.ready(NAME) == 1);
    let callers = AtomicU32::new(2);
    let load = under_load(proxy.address, NAME, BODY, &callers, || {
        cluster.relay.close();
        let start = Instant::now();
        callers.store(24, Ordering::Relaxed);
        while start.elapsed() < cluster.outage() {
            let before = proxy.model(NAME)["completed"].as_u64();
            eventually("more answers", || {
                proxy.model(NAME)["completed"].as_u64() > before.map(|n| n + 20)
            });
            assert_eq!(cluster.replicas(), 1);
            thread::sleep(Duration::from_millis(200));
        }
        cluster.relay.open();
        eventually("three pods", || proxy.ready(NAME) == 3);
    });
    assert_eq!(load.failed, 0, "{load:?}");
    let log = proxy.log();
    assert!(!log.contains("somebody else"), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(
        log.matches("the Kubernetes API answers again").count(),
        1,
        "{log}"
    );
}

#[test]
fn an_autoscaler_that_fights_is_left_the_count() {
    let cluster = Cluster::start(1);
    if cluster.run_pods("20").is_none() {
        return;
    }
    cluster.grant(&all_rules());
    let proxy = cluster.serve("minReplicas: 1", &[]);
    let said = |what: &str| proxy.log().matches(what).count();
    eventually("the pod", || proxy.ready(NAME) == 1);
    cluster.set_replicas(2, "horizontal-pod-autoscaler");
    eventually("word of it", || {
        said("somebody else set the count to 2") == 1
    });
    eventually("its pods", || proxy.ready(NAME) == 2);
    let callers = AtomicU32::new(24);
    let load = under_load(proxy.address, NAME, BODY, &callers, || {
        eventually("our own wish", || cluster.replicas() == 3);
        cluster.set_replicas(1, "horizontal-pod-autoscaler");
        eventually("the count left to it", || {
            said("somebody else keeps changing the count") == 1
        });
        // Longer than the stability time, after which a count would be asked for.
        thread::sleep(Duration::from_secs(3));
        assert_eq!(cluster.replicas(), 1);
        assert_eq!(said("somebody else keeps changing the count"), 1);
    });
    assert_eq!(load.failed, 0, "{load:?}");
}

#[test]
fn a_verb_that_is_not_allowed_is_named_with_its_resource() {
    let cluster = Cluster::start(0);
    cluster.pretend_pods();
    cluster.grant(&rules_without_patch());
    let proxy = cluster.serve("minReplicas: 1", &[]);
    let open = || std::env::var_os("TAILBACK_TEST_KUBE").is_some() && cluster.replicas() > 0;
    eventually("a clear error", || {
        let log = proxy.log();
        let named = log.contains("patch of deployments/scale") && log.contains(&cluster.namespace);
        named || open()
    });
    if open() {
        eprintln!("SKIPPED, as this cluster lets everyone do everything");
        return;
    }
    assert_eq!(cluster.replicas(), 0);
    // What was refused is no count that is asked for, and is told as a failure.
    eventually("the failure", || {
        proxy
            .failure(NAME)
            .contains("refused: patch of deployments/scale")
    });
    assert_eq!(proxy.model(NAME)["replicas"]["desired"], 0);
    let failing = format!("tailback_model_failing{{model=\"{NAME}\"}}");
    assert_eq!(proxy.metric(&failing), 1.0);
    assert_eq!(
        http::call(proxy.admin, "GET", "/readyz", b"")
            .unwrap()
            .status,
        200
    );
    cluster.grant(&all_rules());
    eventually("a pod once it is allowed", || cluster.replicas() == 1);
    eventually("no failure", || proxy.failure(NAME).is_empty());
}

#[test]
fn one_pod_is_asked_for_where_somebody_set_none_and_requests_wait() {
    let cluster = Cluster::start(1);
    cluster.pretend_pods();
    cluster.grant(&all_rules());
    let proxy = cluster.serve(
        "minReplicas: 0, scaling: { stabilitySeconds: 600, inactiveSeconds: 600 }",
        &[],
    );
    let desired = || proxy.model(NAME)["replicas"]["desired"].as_u64();
    eventually("the count", || desired() == Some(1));
    cluster.set_replicas(0, "somebody");
    eventually("none", || desired() == Some(0));
    let path = format!("/v2/models/{NAME}/infer");
    let held: Vec<_> = (0..24)
        .map(|_| {
            let mut caller = Client::connect(proxy.address).unwrap();
            caller
                .send(http::request("POST", &path, &[], BODY))
                .unwrap();
            caller
        })
        .collect();
    eventually("one", || cluster.replicas() == 1);
    // Several evaluations later, all that wait would have been asked for.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(cluster.replicas(), 1, "{}", proxy.log());
    drop(held);
}

#[test]
fn a_deployment_that_is_made_anew_is_scaled_at_once() {
    let cluster = Cluster::start(0);
    cluster.pretend_pods();
    cluster.grant(&all_rules());
    let proxy = cluster.serve("minReplicas: 0", &[]);
    eventually("the count", || proxy.log().contains("taken over"));
    cluster.delete_deployment();
    eventually("that it is missed", || {
        proxy.failure(NAME).contains("does not exist")
    });
    let mut caller = Client::connect(proxy.address).unwrap();
    let path = format!("/v2/models/{NAME}/infer");
    caller
        .send(http::request("POST", &path, &[], BODY))
        .unwrap();
    // Asked for in vain: the next try would come after a pause.
    thread::sleep(Duration::from_secs(2));
    cluster.make_deployment(0);
    let start = Instant::now();
    eventually("a pod asked for", || cluster.replicas() == 1);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn marks_for_a_scale_down_are_taken_off_by_the_next_that_leads() {
    let cluster = Cluster::start(3);
    if cluster.run_pods("20").is_none() {
        return;
    }
    cluster.grant(&all_rules());
    let proxy = cluster.serve("replicas: 3", &[]);
    eventually("three pods", || proxy.ready(NAME) == 3);
    let names: Vec<_> = cluster.costs().into_iter().map(|(name, _)| name).collect();
    // Those that are alike go by their names: these two stay.
    cluster.mark_pod(&names[1], "-999999");
    cluster.mark_pod(&names[2], "7");
    cluster.rewrite(&proxy, "replicas: 2");
    eventually("two pods, and the old mark to be gone", || {
        let costs = cluster.costs();
        let of = |name: &String| {
            costs
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, cost)| cost.clone())
        };
        of(&names[1]) == Some(None) && of(&names[2]) == Some(Some("7".into())) && costs.len() == 2
    });
}

#[test]
fn pods_that_have_too_little_time_to_finish_are_warned_about_once() {
    let cluster = Cluster::start(1);
    cluster.pretend_pods();
    cluster.grant(&all_rules());
    let proxy = cluster.serve("minReplicas: 1", &[]);
    let warning = || proxy.model(NAME)["replicas"]["warning"].to_string();
    eventually("the warning", || {
        warning().contains("terminationGracePeriodSeconds")
    });
    assert!(warning().contains("killed 20 s after"), "{}", warning());
    let said = proxy.log().matches("terminationGracePeriodSeconds").count();
    assert_eq!(said, 1, "{}", proxy.log());
    cluster.rewrite(&proxy, "minReplicas: 1, timeouts: { totalSeconds: 15 }");
    eventually("no warning", || warning() == "null");
}
