//! Checks the files in `deploy/` against the binary and against the tools that read them.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, thread, time::Duration};

use serde_json::Value;
use tailback_tests::{
    eventually, eventually_within,
    http::call,
    llm_upstream::LlmUpstream,
    process::{Tailback, tailback},
    prometheus::Prometheus,
    python::{deploy_script, root, run},
    upstream::{Upstream, static_manifest},
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

/// A language model whose replicas are known to have prompts.
fn chat(llm: &LlmUpstream) -> String {
    let text = static_manifest("llm", llm.address, &["chat"]);
    format!(
        "---\n{}",
        text.replacen("spec: {", "spec: { loadBalancing: prefix,", 1)
    )
}

/// Asks it for a stream.
fn ask(proxy: &Tailback) {
    let prompt = "x".repeat(4096);
    let body = format!(
        r#"{{"model":"chat","stream":true,"stream_options":{{"include_usage":true}},"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    let answer = call(
        proxy.address,
        "POST",
        "/v1/chat/completions",
        body.as_bytes(),
    );
    assert_eq!(answer.unwrap().status, 200);
}

/// More wait than one replica may carry: the scaler reacts.
fn overload(proxy: &Tailback) {
    for _ in 0..5 {
        let address = proxy.address;
        thread::spawn(move || call(address, "POST", "/v2/models/broken/ok", b"x"));
    }
}

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

fn promtool(arguments: &[&str], file: &PathBuf) {
    let mut command = Command::new("promtool");
    command.args(arguments).arg(file);
    run(command);
}

const DASHBOARDS: [&str; 2] = ["tailback.json", "tailback-llm.json"];

/// The PromQL of all panels of all dashboards.
fn dashboards() -> Vec<String> {
    DASHBOARDS.into_iter().flat_map(dashboard).collect()
}

/// The PromQL of all panels.
fn dashboard(file: &str) -> Vec<String> {
    let text = fs::read_to_string(deploy("grafana").join(file)).unwrap();
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

/// With what Grafana puts in the place of its variables.
fn filled_in(expression: &str, interval: &str) -> String {
    let expression = expression
        .replace("$__rate_interval", interval)
        .replace("$job", ".*")
        .replace("$namespace", ".*")
        .replace("$model", ".*");
    assert!(!expression.contains('$'), "{expression}");
    expression
}

/// The metrics that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    words
        .filter(|w| {
            let ours = [
                "tailback_",
                "seldon_model_",
                "gen_ai_server_",
                "gen_ai_client_",
            ];
            ours.iter().any(|beginning| w.starts_with(beginning))
        })
        .map(|w| {
            w.trim_end_matches("_bucket")
                .trim_end_matches("_sum")
                .to_owned()
        })
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
fn the_dashboards_queries_are_promql() {
    let rules: Vec<_> = dashboards()
        .iter()
        .enumerate()
        .map(|(i, expression)| {
            let expression = filled_in(expression, "1m");
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
fn every_metric_of_dashboards_and_alerts_is_exported_and_documented() {
    let (upstream, llm) = (Upstream::start(), LlmUpstream::start());
    let proxy = Tailback::start(&(upstream.manifest(&["m"]) + FAILING + &chat(&llm)), &[]);
    ask(&proxy);
    call(proxy.address, "POST", "/v2/models/m/ok", b"x").unwrap();
    eventually("its end", || proxy.outcome("m", "success") == 1);
    overload(&proxy);
    eventually("a decision", || {
        proxy.metrics().contains("tailback_scale_decisions_total{")
    });
    let alerts = fs::read_to_string(deploy("prometheus/alerts.yaml")).unwrap();
    let named = metrics_in(&(dashboards().join("\n") + &alerts));
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

#[test]
fn every_panel_has_data_in_a_live_prometheus() {
    let (upstream, llm) = (Upstream::start(), LlmUpstream::start());
    let retry = "server: up, retry: { on: [500], budget: { minPerSecond: 100 } } }";
    let retried = upstream.manifest(&["m"]).replace("server: up }", retry);
    let manifests = retried + FAILING + &chat(&llm);
    let proxy = Tailback::start(&manifests, &[]);
    let prometheus = Prometheus::start(&proxy);
    let mut left: Vec<String> = dashboards();
    left.retain(|query| !OF_CLUSTERS.iter().any(|metric| query.contains(metric)));
    let all = left.len();
    overload(&proxy);
    eventually_within(Duration::from_secs(90), "data in every panel", || {
        // Rates need counts that change between two scrapes.
        ask(&proxy);
        call(proxy.address, "POST", "/v2/models/m/ok", b"x").unwrap();
        call(proxy.address, "POST", "/v2/models/m/first-fail", b"x").unwrap();
        left.retain(|query| prometheus.series(&filled_in(query, "10s")) == 0);
        if !left.is_empty() {
            eprintln!("{} of {all} have none yet: {left:#?}", left.len());
        }
        left.is_empty()
    });
}
