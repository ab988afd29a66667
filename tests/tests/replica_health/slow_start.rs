//! Replicas that are new, or back, begin with a small share of the requests.

use tailback_tests::{eventually, http::Client, process::Tailback, upstream::Upstream};

use super::{call_until, manifest, replica};

/// How many of 600 requests, one after the other, go to `new`.
fn share(proxy: &Tailback, new: &Upstream) -> usize {
    let requests = || {
        let heads = new.heads();
        heads
            .iter()
            .filter(|head| head.starts_with("POST "))
            .count()
    };
    let before = requests();
    let mut client = Client::connect(proxy.address).expect("a connection");
    for _ in 0..600 {
        let answer = client.call("POST", "/v2/models/m/ok", &[], b"x").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    requests() - before
}

#[test]
fn the_share_of_a_replica_that_came_later_grows_until_it_is_that_of_the_others() {
    let [old, other, new] = [(); 3].map(|()| Upstream::start());
    let before = manifest(&[old.address, other.address], "");
    let proxy = Tailback::start(&before, &[("TAILBACK_WORKERS", "1")]);
    eventually("two replicas", || proxy.ready("m") == 2);
    let all = [old.address, other.address, new.address];
    let weight = |percent: u32, fields: &str| {
        proxy.rewrite(&manifest(&all, fields));
        eventually("the weight", || {
            replica(&proxy, new.address)["weightPercent"] == percent
        });
        assert_eq!(replica(&proxy, old.address)["weightPercent"], 100);
    };
    weight(10, "slowStart: { windowSeconds: 100000 },");
    let first = share(&proxy, &new);
    weight(
        50,
        "slowStart: { windowSeconds: 100000, minWeightPercent: 50 },",
    );
    let later = share(&proxy, &new);
    weight(100, "slowStart: { windowSeconds: 0.1 },");
    let last = share(&proxy, &new);
    // A third of its weight: 20, 100, 200, give or take chance.
    assert!(
        (1..=60).contains(&first) && (60..=150).contains(&later) && (150..=260).contains(&last),
        "{first}, {later}, {last}"
    );
}

#[test]
fn a_replica_that_is_back_begins_with_little_and_no_held_request_waits_for_that() {
    let replicas = [Upstream::start(), Upstream::start()];
    let endpoints = replicas.each_ref().map(|replica| replica.address);
    let proxy = Tailback::start(&manifest(&endpoints, ""), &[("TAILBACK_WORKERS", "1")]);
    eventually("two replicas", || proxy.ready("m") == 2);
    let fields = "slowStart: { windowSeconds: 100000 }, concurrency: 1, \
                  healthCheck: { probe: /up, periodSeconds: 0.1, unhealthyThreshold: 2 },";
    proxy.rewrite(&manifest(&endpoints, fields));
    let out_and_back = |which: &[&Upstream]| {
        for (manner, unhealthy) in [(Some("sick"), which.len()), (None, 0)] {
            for replica in which {
                replica.set_manner(manner);
            }
            eventually("the checks", || {
                proxy.model("m")["replicas"]["unhealthyCount"] == unhealthy
            });
        }
    };
    let weights = || endpoints.map(|at| replica(&proxy, at)["weightPercent"].as_u64());
    let all_answered = || {
        let samples = call_until(&proxy, |samples| samples.len() < 400);
        assert!(samples.iter().all(|sample| sample.status() == 200));
    };
    out_and_back(&[&replicas[0]]);
    eventually("the weight", || weights() == [Some(10), Some(100)]);
    all_answered();
    // Where all were out, none is ahead of the others.
    out_and_back(&[&replicas[0], &replicas[1]]);
    eventually("the weights", || weights() == [Some(100); 2]);
    all_answered();
}
