//! Several proxies in front of one workload act as one: real binaries, and the API server double.

mod several;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tailback_tests::{
    cluster::{BODY, Cluster, infer, manifests},
    eventually,
    http::Client,
    process::Tailback,
};

use self::several::{Several, lost, order, published, send};

/// How long a Lease lasts, and a try.
const LEASE: Duration = Duration::from_millis(5000 + 1200);

// === counting ===

#[test]
fn every_proxy_counts_what_all_of_them_count() {
    let several = Several::start(Cluster::start(1, "0"), 3, "replicas: 1");
    let counts = |page: &Value| {
        ["arrived", "completed", "inFlight", "held"]
            .map(|field| page[field].as_u64().expect("a count"))
    };
    let agree = || {
        let own = several.proxies.iter().map(|p| counts(&p.model("m")));
        let sum = own.fold([0; 4], |sum, own| std::array::from_fn(|i| sum[i] + own[i]));
        (0..3).all(|index| counts(&several.all(index)) == sum)
    };
    for (index, requests) in [(0, 3), (1, 5), (2, 7)] {
        for _ in 0..requests {
            assert_eq!(infer(several.proxies[index].address), 200);
        }
    }
    eventually("15 to have come and gone", || {
        counts(&several.all(0)) == [15, 15, 0, 0]
    });
    eventually("one sum", agree);
    // Held, as there is no replica any more.
    several.cluster.set_replicas(0);
    eventually("no replica", || {
        several.proxies.iter().all(|p| p.ready("m") == 0)
    });
    let held: Vec<Client> = several.proxies.iter().map(send).collect();
    eventually("three held", || counts(&several.all(2)) == [18, 15, 3, 3]);
    eventually("one sum", agree);
    drop(held);
    eventually("nothing inside", || {
        (0..3).all(|index| several.all(index)["inFlight"] == 0)
    });
    eventually("one sum", agree);
}

#[test]
fn a_proxy_that_joins_late_is_no_burst() {
    let mut several = Several::start(Cluster::start(1, "0"), 1, "minReplicas: 1");
    eventually("a replica", || several.proxies[0].ready("m") == 1);
    // One that has served a lot before it is listed.
    let variables = [("TAILBACK_KUBE_PEERS", "tailback-admin")];
    let late = several
        .cluster
        .serve_with(&manifests("minReplicas: 1"), &variables);
    eventually("its replica", || late.ready("m") == 1);
    let mut client = Client::connect(late.address).expect("a connection");
    for _ in 0..500 {
        let answer = client.call("POST", "/v2/models/m/infer", &[], BODY);
        assert_eq!(answer.expect("an answer").status, 200);
    }
    // What its scaler has not looked at yet would rightly be demand of the last second.
    eventually("its scaler to have seen them", || {
        published(&late)["arrived"] == 500
    });
    several.list(late.admin);
    several.proxies.push(late);
    eventually("its counts", || several.all(0)["arrived"] == 500);
    several.settle();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(
        several.proxies[0].page("/decisions")["decisions"],
        json!([])
    );
    assert_eq!(several.cluster.replicas(), 1);
}

// === waking ===

/// From sending a request at 0 replicas until some are asked for.
fn scale_from_zero(several: &Several, entry: usize) -> Duration {
    // A proxy that starts takes its models for used.
    eventually("no use", || {
        let reason = |p: &Tailback| p.model("m")["replicas"]["reason"].to_string();
        let unused = several.proxies.iter().all(|p| reason(p).contains("unused"));
        unused && several.cluster.replicas() == 0
    });
    let start = Instant::now();
    let _held = send(&several.proxies[entry]);
    eventually("a replica asked for", || several.cluster.replicas() > 0);
    start.elapsed()
}

#[test]
fn scale_from_zero_is_not_slower_with_three_proxies_than_with_one() {
    let alone = Several::start(Cluster::without_pods(0), 1, "minReplicas: 0");
    let alone = scale_from_zero(&alone, 0);
    let three = Several::start(Cluster::without_pods(0), 3, "minReplicas: 0");
    let (leader, follower) = (three.leaders()[0], three.follower());
    let by_follower = scale_from_zero(&three, follower);
    assert!(
        by_follower < alone + Duration::from_millis(100),
        "{by_follower:?} through a follower, {alone:?} alone"
    );
    let leader = &three.proxies[leader];
    // It is recorded once the API server has answered.
    eventually("a record", || {
        leader.page("/decisions")["decisions"] != json!([])
    });
    assert!(leader.metric("tailback_scale_reaction_seconds_count") >= 1.0);
    let decision = leader.page("/decisions")["decisions"][0].clone();
    assert_eq!(
        (&decision["from"], &decision["lag"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(
        three.proxies[follower].page("/decisions")["decisions"],
        json!([])
    );
    eprintln!("scale from zero: {alone:?} alone, {by_follower:?} through a follower");
}

#[test]
fn lag_over_the_threshold_of_all_together_wakes_the_leader() {
    // The threshold is 6 for each replica: none of them reaches it alone.
    let cluster = Cluster::start(1, "600000");
    let several = Several::start(cluster, 3, "minReplicas: 1");
    eventually("a replica", || {
        several.proxies.iter().all(|p| p.ready("m") == 1)
    });
    let _inside: Vec<_> = (0..7).map(|n| send(&several.proxies[n % 3])).collect();
    eventually("more replicas", || several.cluster.replicas() > 1);
}

// === the leader goes ===

#[test]
fn a_leader_that_is_killed_is_followed_within_its_lease() {
    let mut several = Several::start(Cluster::without_pods(0), 3, "minReplicas: 0");
    let leader = several.leaders()[0];
    let address = several.proxies[leader].admin;
    let killed = Instant::now();
    several.proxies[leader].signal(Signal::SIGKILL);
    several.proxies[leader].wait();
    let gone = several.proxies.remove(leader);
    // Held while no proxy leads.
    let held = send(&several.proxies[0]);
    eventually("another leader", || several.leaders().len() == 1);
    let took = killed.elapsed();
    assert!(took < LEASE + Duration::from_secs(1), "{took:?}");
    eventually("a replica asked for", || several.cluster.replicas() > 0);
    let took = killed.elapsed();
    assert!(took < LEASE + Duration::from_secs(1), "{took:?}");
    assert_eq!(several.all(several.leaders()[0])["inFlight"], 1);
    several.unlist(address);
    eventually("one peer less", || {
        several.proxies.iter().all(|p| lost(p) == 0)
    });
    drop((held, gone));
}

#[test]
fn a_leader_that_drains_hands_over_at_once_and_its_requests_count_on() {
    let mut several = Several::start(Cluster::start(1, "5000"), 3, "replicas: 1");
    eventually("a replica", || {
        several.proxies.iter().all(|p| p.ready("m") == 1)
    });
    let leader = several.leaders()[0];
    let mut long = send(&several.proxies[leader]);
    eventually("its request", || {
        (0..3).all(|index| several.all(index)["inFlight"] == 1)
    });
    let asked = Instant::now();
    several.proxies[leader].signal(Signal::SIGTERM);
    eventually("another leader", || {
        let leaders = several.leaders();
        leaders.len() == 1 && leaders[0] != leader
    });
    let took = asked.elapsed();
    // Not at the next look at the Lease, which comes each second or so.
    assert!(took < Duration::from_millis(900), "{took:?}");
    assert_eq!(
        several.all(several.leaders()[0])["inFlight"],
        1,
        "it drains"
    );
    assert_eq!(long.receive().expect("an answer").status, 200);
    drop(long);
    several.proxies[leader].wait();
    several.proxies.remove(leader);
    eventually("nothing inside", || {
        (0..2).all(|index| several.all(index)["inFlight"] == 0)
    });
}

#[test]
fn what_was_left_to_somebody_else_is_left_to_them_by_the_next_leader() {
    let mut several = Several::start(Cluster::without_pods(1), 2, "minReplicas: 1");
    let _inside: Vec<_> = (0..24).map(|n| send(&several.proxies[n % 2])).collect();
    eventually("more replicas", || several.cluster.replicas() > 1);
    several.cluster.set_replicas(1);
    eventually("our own again", || several.cluster.replicas() > 1);
    several.cluster.set_replicas(1);
    let leader = several.leaders()[0];
    eventually("a fight", || {
        several.proxies[leader]
            .log()
            .contains("keeps changing the count")
    });
    let left_alone = |proxy: &Tailback| {
        let reason = proxy.model("m")["replicas"]["reason"].to_string();
        reason.contains("somebody else keeps changing the count")
    };
    let follower = several.follower();
    eventually("the other one to know", || {
        left_alone(&several.proxies[follower])
    });
    several.proxies[leader].signal(Signal::SIGKILL);
    several.proxies[leader].wait();
    let gone = several.proxies.remove(leader);
    eventually("another leader", || several.leaders().len() == 1);
    // It recommends more, and does not ask for it.
    assert!(left_alone(&several.proxies[0]));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(several.cluster.replicas(), 1);
    drop(gone);
}

#[test]
fn what_operators_ask_of_the_leader_the_next_one_goes_on_with_and_nobody_after_it_is_revoked() {
    let mut several = Several::start(Cluster::without_pods(1), 3, "minReplicas: 1");
    let orders = |proxy: &Tailback| {
        let replicas = proxy.model("m")["replicas"].clone();
        let manual = replicas["manual"]["replicas"].as_u64();
        (manual, replicas["paused"].as_bool())
    };
    let all_have = |several: &Several, expected| {
        let mut proxies = several.proxies.iter();
        proxies.all(|proxy| orders(proxy) == expected)
    };
    let (leader, follower) = (several.leaders()[0], several.follower());
    let held = r#"{"replicas": 3, "seconds": 3600}"#;
    let refused = order(&several.proxies[follower], "POST", "/models/m/scale", held);
    assert_eq!(refused, 409);
    let paths = ["/models/m/scale", "/models/m/pause"];
    for (path, body) in paths.into_iter().zip([held, ""]) {
        let status = order(&several.proxies[leader], "POST", path, body);
        assert_eq!(status, 200, "{path}");
        if path == paths[0] {
            eventually("three", || several.cluster.replicas() == 3);
        }
    }
    eventually("all to know", || all_have(&several, (Some(3), Some(true))));
    // It leads no more, and stays for its request.
    let mut long = send(&several.proxies[leader]);
    eventually("it inside", || several.all(leader)["inFlight"] == 1);
    several.proxies[leader].signal(Signal::SIGTERM);
    eventually("another leader", || {
        let leaders = several.leaders();
        leaders.len() == 1 && leaders[0] != leader
    });
    let next = several.leaders()[0];
    assert_eq!(orders(&several.proxies[next]), (Some(3), Some(true)));
    for (method, path) in [("POST", "/models/m/resume"), ("DELETE", "/models/m/scale")] {
        assert_eq!(
            order(&several.proxies[next], method, path, ""),
            200,
            "{path}"
        );
        if method == "POST" {
            assert_eq!(several.cluster.replicas(), 3, "it is held still");
        }
    }
    eventually("nobody to hold it", || {
        all_have(&several, (None, Some(false)))
    });
    several.proxies[leader].signal(Signal::SIGTERM);
    let _ = long.receive();
    several.proxies[leader].wait();
    several.proxies.remove(leader);
}

// === a follower goes ===

#[test]
fn requests_of_a_follower_that_is_killed_count_until_it_is_known_to_be_gone() {
    let mut several = Several::start(Cluster::without_pods(0), 3, "minReplicas: 0");
    let follower = several.follower();
    let held = [
        send(&several.proxies[follower]),
        send(&several.proxies[follower]),
    ];
    eventually("both", || {
        (0..3).all(|index| several.all(index)["held"] == 2)
    });
    let admin = several.proxies[follower].admin;
    several.proxies[follower].signal(Signal::SIGKILL);
    several.proxies[follower].wait();
    several.proxies.remove(follower);
    eventually("it to be lost", || {
        several.proxies.iter().all(|p| lost(p) == 1)
    });
    assert_eq!(several.all(0)["inFlight"], 2, "they may still be there");
    several.unlist(admin);
    eventually("nothing inside", || {
        (0..2).all(|index| several.all(index)["inFlight"] == 0)
    });
    assert_eq!(several.all(0)["arrived"], several.all(0)["completed"]);
    drop(held);
}

// === an API server that refuses or is away ===

#[test]
fn a_missing_permission_is_named_and_nothing_is_asked_for() {
    let cluster = Cluster::without_pods(0);
    cluster.double.faults().forbid("get", "leases");
    let mut several = Several {
        proxies: Vec::new(),
        cluster,
    };
    several.add("minReplicas: 0");
    let proxy = &several.proxies[0];
    let trouble = || proxy.page("/models")["proxies"]["trouble"].to_string();
    eventually("the rule that is missing", || {
        trouble().contains(
            r#"apiGroups: [\"coordination.k8s.io\"], resources: [\"leases\"], verbs: [\"get\"]"#,
        )
    });
    proxy.logs("cannot be elected");
    let _held = send(proxy);
    eventually("a held request", || proxy.model("m")["held"] == 1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(several.cluster.replicas(), 0);
    several.cluster.double.faults().clear();
    eventually("a replica asked for", || several.cluster.replicas() > 0);
    eventually("no trouble", || trouble() == "[]");
}

#[test]
fn without_the_api_server_nobody_leads_traffic_flows_and_one_leads_again_after() {
    let several = Several::start(Cluster::start(1, "0"), 2, "minReplicas: 1");
    eventually("a replica", || {
        several.proxies.iter().all(|p| p.ready("m") == 1)
    });
    several.cluster.double.faults().go_down();
    eventually("no leader", || several.leaders().is_empty());
    for proxy in &several.proxies {
        assert_eq!(infer(proxy.address), 200);
    }
    eventually("both counts", || {
        (0..2).all(|index| several.all(index)["completed"] == 2)
    });
    several.cluster.double.faults().come_back();
    eventually("one leader", || several.leaders().len() == 1);
}
