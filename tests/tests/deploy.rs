//! Checks the files in `deploy/` against the binary and against the tools that read them.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, thread};

use serde_json::Value;
use tailback_tests::{
    eventually,
    http::call,
    process::{Tailback, tailback},
    python::{deploy_script, root, run},
    upstream::Upstream,
};

/// What only proxies in a cluster export.
const OF_CLUSTERS: [&str; 2] = ["tailback_leader", "tailback_peers"];

/// What has a replica that fails at once, and limits.
const FAILING: &str = r#"
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: broken }
spec: { process: { command: ["false", "{port}"] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: broken }
spec: { server: broken, minReplicas: 1, maxReplicas: 7, scaling: { lagThreshold: 3 } }
"#;

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

fn promtool(arguments: &[&str], file: &PathBuf) {
    let mut command = Command::new("promtool");
    command.args(arguments).arg(file);
    run(command);
}

/// The PromQL of all panels.
fn dashboard() -> Vec<String> {
    let text = fs::read_to_string(deploy("grafana/tailback.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let targets = panels.iter().filter_map(|p| p["targets"].as_array());
    targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// The metrics that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    words
        .filter(|w| w.starts_with("tailback_") || w.starts_with("seldon_model_"))
        .map(|w| w.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn the_chart_renders_to_what_kubernetes_takes_and_allows_no_more_than_needed() {
    let program = tailback().get_program().to_owned();
    run(deploy_script("deploy.py", &[program.to_str().unwrap()]));
}

#[test]
fn alerts_fire_on_what_they_are_for() {
    promtool(
        &["check", "rules", "--lint-fatal"],
        &deploy("prometheus/alerts.yaml"),
    );
    promtool(&["test", "rules"], &deploy("prometheus/alerts_test.yaml"));
    let tested = fs::read_to_string(deploy("prometheus/alerts_test.yaml")).unwrap();
    let alerts = fs::read_to_string(deploy("prometheus/alerts.yaml")).unwrap();
    for alert in alerts
        .lines()
        .filter_map(|l| l.trim().strip_prefix("- alert: "))
    {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - ");
        assert!(tested.contains(&fires), "no test has {alert} fire");
    }
}

#[test]
fn the_dashboard_s_queries_are_promql() {
    // Rules, with what Grafana puts in the place of its variables.
    let rules: Vec<_> = dashboard()
        .iter()
        .enumerate()
        .map(|(i, expression)| {
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$job", ".*")
                .replace("$namespace", ".*")
                .replace("$model", ".*");
            assert!(!expression.contains('$'), "{expression}");
            serde_json::json!({ "record": format!("panel:{i}"), "expr": expression })
        })
        .collect();
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    fs::write(&file, groups.to_string()).unwrap();
    promtool(&["check", "rules", "--lint=none"], &file);
}

#[test]
fn every_metric_of_dashboard_and_alerts_is_exported_and_documented() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&(upstream.manifest(&["m"]) + FAILING), &[]);
    call(proxy.address, "POST", "/v2/models/m/ok", b"x").unwrap();
    eventually("its end", || proxy.outcome("m", "success") == 1);
    // More wait than one replica may carry: the scaler reacts.
    for _ in 0..5 {
        let address = proxy.address;
        thread::spawn(move || call(address, "POST", "/v2/models/broken/ok", b"x"));
    }
    eventually("a decision", || {
        proxy.metrics().contains("tailback_scale_decisions_total{")
    });
    let alerts = fs::read_to_string(deploy("prometheus/alerts.yaml")).unwrap();
    let named = metrics_in(&(dashboard().join("\n") + &alerts));
    assert!(named.len() > 15, "{named:?}");
    let exported = proxy.metrics();
    let pages = ["reference/metrics.md"].map(|p| root().join("docs").join(p));
    let documented = pages.map(|page| fs::read_to_string(page).unwrap()).concat();
    for metric in named {
        assert!(
            documented.contains(&format!("`{metric}")),
            "{metric} in docs/reference/metrics.md"
        );
        assert!(
            OF_CLUSTERS.contains(&&*metric) || exported.contains(&format!("# TYPE {metric} ")),
            "{metric}\n{exported}"
        );
    }
}

#[test]
fn what_alerts_compare_with_follows_the_configuration() {
    let upstream = Upstream::start();
    let good = upstream.manifest(&["m"]) + FAILING;
    let proxy = Tailback::start(&good, &[]);
    let of = |name: &str, model: &str| {
        proxy.metric(&format!("tailback_model_{name}{{model=\"{model}\"}}"))
    };
    eventually("a failure", || of("failing", "broken") == 1.0);
    assert_eq!(of("failing", "m"), 0.0);
    assert_eq!(of("replicas_max", "broken"), 7.0);
    assert_eq!(
        (of("lag_threshold", "broken"), of("lag_threshold", "m")),
        (3.0, 30.0)
    );

    let successful = || proxy.metric("tailback_config_last_reload_successful") == 1.0;
    assert!(successful());
    proxy.rewrite("kind: Nonsense");
    eventually("the refusal", || !successful());
    assert_eq!(of("replicas_max", "broken"), 7.0, "what runs stays");
    proxy.rewrite(&good.replace("maxReplicas: 7", "maxReplicas: 5"));
    eventually("the reload", successful);
    assert_eq!(of("replicas_max", "broken"), 5.0);
}
