//! Replicas whose health checks fail.

use tailback_tests::{eventually, http, process::Tailback, upstream::Upstream};

use super::{INPUT, call_until, logged, manifest, replica};

const FIELDS: &str =
    "healthCheck: { probe: /up, periodSeconds: 0.1, unhealthyThreshold: 2, healthyThreshold: 2 },";

#[test]
fn a_replica_whose_health_checks_fail_gets_no_requests_until_they_are_good_again() {
    let (good, sick) = (Upstream::start(), Upstream::start());
    let proxy = Tailback::start(&manifest(&[good.address, sick.address], FIELDS), &[]);
    let health = || replica(&proxy, sick.address)["health"].clone();
    eventually("the first check", || {
        replica(&proxy, sick.address)["lastProbe"] == "ok"
    });
    sick.set_manner(Some("sick"));
    eventually("the checks to fail", || health() == "unhealthy");
    let answered = "GET /up answered 503";
    let last = replica(&proxy, sick.address)["lastProbe"].clone();
    assert!(
        last.as_str().is_some_and(|last| last.starts_with(answered)),
        "{last}"
    );
    assert_eq!(
        logged(&proxy, &["its health checks fail", answered, "1 of 2"]),
        1
    );
    let before = replica(&proxy, sick.address)["requests"].clone();
    let samples = call_until(&proxy, |samples| samples.len() < 200);
    assert!(samples.iter().all(|sample| sample.status() == 200));
    assert_eq!(replica(&proxy, sick.address)["requests"], before);
    let of_reason = "tailback_model_ejections_total{model=\"m\",reason=\"unhealthy\"}";
    assert_eq!(proxy.metric(of_reason), 1.0);
    sick.set_manner(None);
    eventually("the checks to be good", || health() == "healthy");
    assert_eq!(logged(&proxy, &["no longer ejected"]), 1);
}

#[test]
fn where_the_checks_of_all_replicas_fail_all_get_requests() {
    let replicas = [Upstream::start(), Upstream::start()];
    for sick in &replicas {
        sick.set_manner(Some("sick"));
    }
    let endpoints = replicas.each_ref().map(|sick| sick.address);
    let proxy = Tailback::start(&manifest(&endpoints, FIELDS), &[]);
    eventually("the checks to fail", || {
        proxy.model("m")["replicas"]["unhealthyCount"] == 2
    });
    for _ in 0..20 {
        let answer = http::call(proxy.address, "POST", "/v2/models/m/infer", INPUT).unwrap();
        assert_eq!(answer.status, 200);
    }
}
