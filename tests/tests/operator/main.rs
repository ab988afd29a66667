//! What operators ask of models and replicas by the admin address.

mod replicas;

use std::sync::atomic::AtomicU32;

use serde_json::{Value, json};
use tailback_tests::{
    cluster::{Cluster, manifests as workload},
    eventually,
    http::{Client, Response, call, request},
    load::under_load,
    process::{Tailback, servers_of, unique},
    upstream::Upstream,
};

const BODY: &[u8] = include_bytes!("../../../examples/infer.json");
const TOKEN: &str = "0123456789abcdef";
const WITH_TOKEN: (&str, &str) = ("TAILBACK_ADMIN_TOKEN", TOKEN);

/// The model `model` on processes of the sample server, with inferences of so many milliseconds.
fn processes(model: &str, milliseconds: u32, spec: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: sample }}
spec:
  maxReplicas: 3
  process:
    command: [sample-server, --port, '{{port}}', --model, '{{model}}', --service-time-ms, '{milliseconds}']
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {model} }}
spec:
  server: sample
  {spec}
"
    )
}

fn order(proxy: &Tailback, method: &str, path: &str, body: &str) -> Response {
    let bearer = format!("Bearer {TOKEN}");
    let mut admin = Client::connect(proxy.admin).unwrap();
    let headers = [("authorization", &*bearer)];
    let asked = request(method, path, &headers, body.as_bytes());
    admin.send(asked).unwrap();
    admin.receive().unwrap()
}

fn body_of(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[track_caller]
fn refused(answer: &Response, status: u16, why: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(why), "{}", answer.text());
}

fn ask(proxy: &Tailback, model: &str) -> Client {
    let mut caller = Client::connect(proxy.address).unwrap();
    let path = format!("/v2/models/{model}/infer");
    caller.send(request("POST", &path, &[], BODY)).unwrap();
    caller
}

#[test]
fn a_count_is_held_for_a_while_within_the_bounds_and_is_taken_over_by_an_upgrade() {
    let model = unique();
    let quick = [
        ("TAILBACK_SCALING_STABILITY_SECONDS", "1"),
        ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "1"),
        ("SELDON_SCALING_STATS_PERIOD_SECONDS", "1"),
        WITH_TOKEN,
    ];
    let spec = "minReplicas: 1\n  maxReplicas: 3";
    let mut proxy = Tailback::start(&processes(&model, 20, spec), &quick);
    eventually("the first", || proxy.ready(&model) == 1);
    let path = format!("/models/{model}/scale");
    let held = r#"{"replicas": 2, "seconds": 3600}"#;
    let answer = body_of(&order(&proxy, "POST", &path, held));
    assert_eq!(answer["manual"]["replicas"], 2);
    assert_eq!(
        (&answer["manual"]["by"], &answer["note"]),
        (&"127.0.0.1".into(), &Value::Null)
    );
    eventually("two without any request", || proxy.ready(&model) == 2);
    let decision = proxy.page("/decisions")["decisions"][0].clone();
    assert_eq!((&decision["from"], &decision["to"]), (&1.into(), &2.into()));
    let why = decision["reasons"].to_string();
    assert!(
        why.contains("held at 2 by an operator (127.0.0.1) until"),
        "{why}"
    );
    // Load and its end change nothing.
    let callers = AtomicU32::new(60);
    under_load(proxy.address, &model, BODY, &callers, || {
        eventually("load", || {
            proxy.model(&model)["arrived"].as_u64() > Some(2_000)
        });
    });
    let replicas = proxy.model(&model)["replicas"].clone();
    assert_eq!(
        (&replicas["desired"], &replicas["manual"]),
        (&2.into(), &answer["manual"])
    );
    // Neither does another process of the program.
    proxy.upgrade().unwrap();
    eventually("the new one to have both", || proxy.ready(&model) == 2);
    let replicas = proxy.model(&model)["replicas"].clone();
    assert_eq!(
        (&replicas["desired"], &replicas["manual"]),
        (&2.into(), &answer["manual"])
    );
    let more = body_of(&order(
        &proxy,
        "POST",
        &path,
        r#"{"replicas": 9, "seconds": 60}"#,
    ));
    assert_eq!(more["manual"]["replicas"], 3);
    assert_eq!(more["note"], "9 asked for, and maxReplicas is 3");
    let less = body_of(&order(
        &proxy,
        "POST",
        &path,
        r#"{"replicas": 0, "seconds": 3}"#,
    ));
    assert_eq!(less["note"], "0 asked for, and minReplicas is 1");
    eventually("its end", || {
        proxy.model(&model)["replicas"]["manual"].is_null()
    });
    // And before its time, in both ways.
    for (method, body) in [("DELETE", ""), ("POST", r#"{"replicas": 3, "seconds": 0}"#)] {
        body_of(&order(&proxy, "POST", &path, held));
        assert_eq!(proxy.model(&model)["replicas"]["manual"]["replicas"], 2);
        assert_eq!(
            body_of(&order(&proxy, method, &path, body))["manual"],
            Value::Null
        );
        assert_eq!(proxy.model(&model)["replicas"]["manual"], Value::Null);
    }
    eventually("what the policy wants", || proxy.ready(&model) == 1);
    let log = proxy.log();
    assert!(log.contains("at 2 replicas for 3600 s"), "{log}");
    assert!(!log.contains(TOKEN), "the token is a secret");
}

#[test]
fn an_order_that_cannot_be_carried_out_says_why() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[WITH_TOKEN]);
    for (method, path) in [
        ("POST", "/models/m/scale"),
        ("DELETE", "/models/m/scale"),
        ("POST", "/models/m/replicas/x/restart"),
        ("POST", "/models/m/replicas/x/drain"),
    ] {
        let answer = call(proxy.admin, method, path, b"{}").unwrap();
        refused(&answer, 401, "TAILBACK_ADMIN_TOKEN");
    }
    let body = r#"{"replicas": 2, "seconds": 60}"#;
    for (method, path, body, status, why) in [
        ("POST", "/models/n/scale", body, 404, "there is no model"),
        (
            "POST",
            "/models/m/scale",
            body,
            409,
            "the count of this model is fixed",
        ),
        (
            "POST",
            "/models/m/scale",
            "{}",
            400,
            "missing field `replicas`",
        ),
        ("POST", "/models/m/scale", "", 400, "expected JSON such as"),
        ("GET", "/models/m/scale", "", 405, "POST, DELETE"),
        (
            "POST",
            "/models/n/replicas/x/drain",
            "",
            404,
            "there is no model",
        ),
        (
            "POST",
            "/models/m/replicas/x/drain",
            "",
            404,
            "no replica \\\"x\\\"; it has",
        ),
        ("GET", "/models/m/replicas/x/drain", "", 405, "POST"),
    ] {
        refused(&order(&proxy, method, path, body), status, why);
    }
    let endpoint = proxy.model("m")["replicas"]["ready"][0]["endpoint"].clone();
    let restart = format!("/models/m/replicas/{}/restart", endpoint.as_str().unwrap());
    refused(
        &order(&proxy, "POST", &restart, ""),
        409,
        "does not run the endpoints",
    );
}

#[test]
fn what_is_held_or_paused_stays_so_when_another_kind_of_server_runs_the_model() {
    let model = unique();
    let upstream = Upstream::start();
    let bounds = "minReplicas: 1\n  maxReplicas: 3";
    let proxy = Tailback::start(&processes(&model, 20, bounds), &[WITH_TOKEN]);
    eventually("the first", || proxy.ready(&model) == 1);
    let path = format!("/models/{model}/scale");
    let held = r#"{"replicas": 2, "seconds": 3600}"#;
    let answer = body_of(&order(&proxy, "POST", &path, held));
    let replicas = || proxy.model(&model)["replicas"].clone();
    // Processes that share the memory of a host are run by something else.
    let host = "apiVersion: tailback.dev/v1alpha1\nkind: Host\nmetadata: { name: h }\nspec: { memory: 1Gi }\n---\n";
    let shared = processes(&model, 20, &format!("{bounds}\n  memory: 64Mi"));
    proxy.rewrite(&format!("{host}{shared}"));
    eventually("the other kind", || {
        !proxy.model(&model)["placement"].is_null()
    });
    eventually("both, of that kind", || proxy.ready(&model) == 2);
    assert_eq!(replicas()["manual"], answer["manual"]);
    body_of(&order(
        &proxy,
        "POST",
        &format!("/models/{model}/pause"),
        "",
    ));
    proxy.rewrite(&processes(&model, 20, bounds));
    eventually("the first kind", || {
        proxy.model(&model)["placement"].is_null()
    });
    eventually("what was ordered", || {
        replicas()["paused"] == true && replicas()["manual"] == answer["manual"]
    });
    // Endpoints cannot be held at a count: that is said.
    let endpoints = upstream.manifest(&[model.as_str()]);
    proxy.rewrite(&endpoints);
    eventually("the endpoint", || {
        proxy.model(&model)["serverKind"] == "static"
    });
    eventually("its end", || replicas()["manual"].is_null());
    assert_eq!(replicas()["paused"], true);
    let log = proxy.log();
    assert!(
        log.contains("the count that an operator held has ended: the count of this model is fixed"),
        "{log}"
    );
}
