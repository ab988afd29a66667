//! Replicas that ask for a pause: 429, and 503 with `Retry-After`.

use std::time::Duration;

use tailback_tests::{http, process::Tailback, sample::SampleServer, upstream::Upstream};

use super::{INPUT, call_until, manifest, replica};

#[test]
fn a_replica_that_asks_for_a_pause_gets_it_and_no_caller_hears_of_it() {
    let good = SampleServer::start(&["--service-time-ms", "2"]);
    let busy = Upstream::start();
    busy.set_manner(Some("busy"));
    let proxy = Tailback::start(&manifest(&[good.address, busy.address], ""), &[]);
    let samples = call_until(&proxy, |samples| samples.len() < 500);
    assert!(samples.iter().all(|sample| sample.status() == 200));
    // Eight callers may have been there at once before it said so.
    let asked = busy.heads().len();
    assert!((1..=8).contains(&asked), "{asked} requests");
    let seen = replica(&proxy, busy.address);
    assert_eq!(
        (&seen["health"], &seen["failures"]),
        (&"backingOff".into(), &0.into())
    );
    let again = "tailback_model_retries_total{model=\"m\",reason=\"429\"}";
    assert_eq!(proxy.metric(again), asked as f64);
}

#[test]
fn callers_hear_of_it_where_all_replicas_ask_for_a_pause() {
    let replicas = [Upstream::start(), Upstream::start()];
    for busy in &replicas {
        busy.set_manner(Some("busy"));
    }
    let endpoints = replicas.each_ref().map(|busy| busy.address);
    let proxy = Tailback::start(&manifest(&endpoints, ""), &[]);
    for _ in 0..20 {
        let answer = http::call(proxy.address, "POST", "/v2/models/m/infer", INPUT).unwrap();
        assert_eq!((answer.status, answer.text()), (429, "busy".into()));
        assert_eq!(answer.header("retry-after"), Some("30"));
    }
    let asked: usize = replicas.iter().map(|busy| busy.heads().len()).sum();
    assert!(
        asked <= 22,
        "{asked} requests at replicas for 20 of callers"
    );
}

#[test]
fn the_only_replica_is_asked_again_at_once() {
    let busy = Upstream::start();
    busy.set_manner(Some("busy"));
    let proxy = Tailback::start(&manifest(&[busy.address], ""), &[]);
    let call = || http::call(proxy.address, "POST", "/v2/models/m/infer", INPUT).unwrap();
    assert_eq!(call().status, 429);
    busy.set_manner(None);
    let start = std::time::Instant::now();
    assert_eq!(call().status, 200);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "it waited for Retry-After"
    );
}
