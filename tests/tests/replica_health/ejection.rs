//! Replicas that answer, and answer wrongly.

use std::time::Duration;

use tailback_tests::{
    eventually, http, process::Tailback, sample::SampleServer, upstream::Upstream,
};

use super::{INPUT, call_until, failed_share, logged, manifest, replica};

#[test]
fn a_replica_that_answers_500_at_once_fails_hardly_any_request_after_the_first_second() {
    let good = SampleServer::start(&["--service-time-ms", "10"]);
    let broken = Upstream::start();
    broken.set_manner(Some("fail"));
    // Shorter than by default, so that it comes back some times while the test looks.
    let fields = "outlierDetection: { baseEjectionSeconds: 1 },";
    let proxy = Tailback::start(&manifest(&[good.address, broken.address], fields), &[]);
    let samples = call_until(&proxy, |samples| {
        samples.last().is_none_or(|last| last.at.as_secs() < 5)
    });
    let share = failed_share(&samples);
    println!(
        "{} requests, failed after the first second: {:.2} %",
        samples.len(),
        share * 100.0
    );
    assert!(share <= 0.01, "{:.2} % failed", share * 100.0);
    let seen = replica(&proxy, broken.address);
    assert!(seen["ejections"].as_u64() >= Some(2), "{seen}");
    assert_eq!(seen["lastFailure"], "it answered 500");
    let of_reason = "tailback_model_ejections_total{model=\"m\",reason=\"consecutive_failures\"}";
    assert!(proxy.metric(of_reason) >= 2.0);
    let endpoint = broken.address.to_string();
    let name = seen["name"].as_str().expect("it has a name");
    for (series, field) in [
        ("tailback_replica_requests_total", "requests"),
        ("tailback_replica_failures_total", "failures"),
        ("tailback_replica_ejections_total", "ejections"),
    ] {
        // Read after the page, so at least as many.
        let counted = proxy.metric(&format!(
            "{series}{{model=\"m\",replica=\"{name}\",endpoint=\"{endpoint}\"}}"
        ));
        assert!(
            counted >= 2.0 && Some(counted) >= seen[field].as_f64(),
            "{series}: {seen}"
        );
    }
    // It is said once that it is out, and once that it is back.
    let ejected = [
        "ejected: it failed 5 requests in a row",
        "it answered 500",
        &endpoint,
    ];
    assert_eq!(logged(&proxy, &ejected), 1);
    broken.set_manner(None);
    eventually("the log to say that it is back", || {
        let _ = http::call(proxy.address, "POST", "/v2/models/m/infer", INPUT);
        logged(&proxy, &["no longer ejected", &endpoint]) == 1
    });
    assert_eq!(replica(&proxy, broken.address)["health"], "healthy");
    let healthy = format!(
        "tailback_replica_health{{model=\"m\",replica=\"{name}\",endpoint=\"{endpoint}\",health=\"healthy\"}}"
    );
    assert_eq!(proxy.metric(&healthy), 1.0);
    assert_eq!(proxy.model("m")["replicas"]["unhealthyCount"], 0);
}

#[test]
fn a_replica_that_fails_every_other_request_is_compared_with_the_others_and_ejected() {
    let good = SampleServer::start(&["--service-time-ms", "2"]);
    let flapping = Upstream::start();
    flapping.set_manner(Some("every-other"));
    let fields = "outlierDetection: { consecutiveFailures: 50, intervalSeconds: 1 },";
    let proxy = Tailback::start(&manifest(&[good.address, flapping.address], fields), &[]);
    let is_out = || replica(&proxy, flapping.address)["health"] == "ejected";
    call_until(&proxy, |_| !is_out());
    assert!(is_out());
    proxy.logs("of its requests, the other replicas 0 %");
    assert_eq!(
        logged(&proxy, &["of its requests, the other replicas 0 %"]),
        1
    );
    let ready = "tailback_model_replicas{model=\"m\",state=\"unhealthy\"}";
    assert_eq!(proxy.metric(ready), 1.0);
    let before = flapping.heads().len();
    let samples = call_until(&proxy, |samples| samples.len() < 200);
    assert!(samples.iter().all(|sample| sample.status() == 200));
    assert_eq!(
        flapping.heads().len(),
        before,
        "requests to an ejected replica"
    );
}

#[test]
fn where_all_replicas_are_broken_callers_get_their_own_answer_at_once_and_none_is_ejected_for_long()
{
    let replicas = [Upstream::start(), Upstream::start(), Upstream::start()];
    for broken in &replicas {
        broken.set_manner(Some("fail"));
    }
    let endpoints: Vec<_> = replicas.iter().map(|broken| broken.address).collect();
    let proxy = Tailback::start(&manifest(&endpoints, ""), &[]);
    let samples = call_until(&proxy, |samples| samples.len() < 1000);
    for sample in &samples {
        let response = sample.response.as_ref().expect("an answer");
        assert_eq!((response.status, response.text()), (500, "broken".into()));
    }
    let mut took: Vec<_> = samples.iter().map(|sample| sample.took).collect();
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    println!("{} requests, p99 {p99:?}", took.len());
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    assert_eq!(
        proxy.model("m")["replicas"]["unhealthyCount"],
        0,
        "{}",
        proxy.log()
    );
}

#[test]
fn one_that_cannot_be_connected_to_fails_no_request_and_is_said_once() {
    let good = SampleServer::start(&["--service-time-ms", "2"]);
    let gone = SampleServer::start(&[]);
    let endpoints = [good.address, gone.address];
    let dead = gone.address;
    drop(gone);
    let proxy = Tailback::start(&manifest(&endpoints, ""), &[]);
    let samples = call_until(&proxy, |samples| {
        samples.last().is_none_or(|last| last.at.as_secs() < 3)
    });
    assert!(samples.iter().all(|sample| sample.status() == 200));
    assert_eq!(
        logged(&proxy, &["cannot be connected to", "1 of 2 replicas"]),
        1
    );
    assert!(replica(&proxy, dead)["ejections"].as_u64() >= Some(1));
}

#[test]
fn a_server_may_keep_replicas_that_fail_and_a_reload_changes_that() {
    let good = SampleServer::start(&["--service-time-ms", "2"]);
    let broken = Upstream::start();
    broken.set_manner(Some("fail"));
    let endpoints = [good.address, broken.address];
    let proxy = Tailback::start(&manifest(&endpoints, "outlierDetection: none,"), &[]);
    let samples = call_until(&proxy, |samples| samples.len() < 400);
    let failed = samples
        .iter()
        .filter(|sample| sample.status() != 200)
        .count();
    assert!(failed * 4 > samples.len(), "{failed} of {}", samples.len());
    assert_eq!(replica(&proxy, broken.address)["health"], "healthy");
    proxy.rewrite(&manifest(&endpoints, ""));
    let is_out = || replica(&proxy, broken.address)["health"] == "ejected";
    call_until(&proxy, |_| !is_out());
    assert!(is_out());
    proxy.rewrite(&manifest(&endpoints, "outlierDetection: none,"));
    eventually("it to get requests again", || !is_out());
}
