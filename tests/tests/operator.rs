//! What operators ask of models and replicas by the admin address.

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

const BODY: &[u8] = include_bytes!("../../examples/infer.json");
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
fn a_busy_replica_is_restarted_once_another_one_is_ready_and_no_request_is_cut() {
    let model = unique();
    let proxy = Tailback::start(&processes(&model, 1500, "replicas: 1"), &[WITH_TOKEN]);
    eventually("the first", || proxy.ready(&model) == 1);
    let before = servers_of(&model);
    let mut caller = ask(&proxy, &model);
    let replicas = || proxy.model(&model)["replicas"].clone();
    eventually("its request", || replicas()["ready"][0]["inFlight"] == 1);
    let name = replicas()["ready"][0]["name"].as_str().unwrap().to_owned();
    let path = format!("/models/{model}/replicas/{name}/restart");
    let answer = body_of(&order(&proxy, "POST", &path, ""));
    assert_eq!(
        answer,
        json!({ "model": model, "replica": name, "order": "restart" })
    );
    // A request that finds no replica is held: none may be.
    let callers = AtomicU32::new(4);
    let load = under_load(proxy.address, &model, BODY, &callers, || {
        eventually("another one in its place", || {
            let ready = replicas()["ready"].clone();
            ready.as_array().unwrap().len() == 1 && ready[0]["name"] != *name
        });
    });
    assert_eq!(load.failed, 0);
    assert_eq!(caller.receive().unwrap().status, 200);
    eventually("the end of the old one", || {
        let now = servers_of(&model);
        let ended = now.len() == before.len() && now != before;
        ended && replicas()["leaving"] == json!([])
    });
    let log = proxy.log();
    assert!(!log.contains("replica failed"), "{log}");
    refused(&order(&proxy, "POST", &path, ""), 404, "has no replica");
    let drain = path.replace(&name, replicas()["ready"][0]["name"].as_str().unwrap());
    let drain = drain.replace("/restart", "/drain");
    refused(
        &order(&proxy, "POST", &drain, ""),
        409,
        "scale the model to fewer",
    );
}

#[test]
fn where_there_is_no_room_for_two_the_restarted_replica_goes_first() {
    let model = unique();
    let manifests =
        processes(&model, 20, "replicas: 1").replace("maxReplicas: 3", "maxReplicas: 1");
    let proxy = Tailback::start(&manifests, &[WITH_TOKEN]);
    eventually("the first", || proxy.ready(&model) == 1);
    let before = servers_of(&model);
    let path = format!("/models/{model}/replicas/{model}-0/restart");
    body_of(&order(&proxy, "POST", &path, ""));
    let callers = AtomicU32::new(4);
    let load = under_load(proxy.address, &model, BODY, &callers, || {
        eventually("another one in its place", || {
            let now = servers_of(&model);
            now.len() == before.len() && now != before && proxy.ready(&model) == 1
        });
    });
    assert_eq!(load.failed, 0, "they are held meanwhile");
}

#[test]
fn a_drained_endpoint_gets_no_request_until_it_is_resumed_whatever_happens() {
    let (a, b) = (Upstream::start(), Upstream::start());
    let manifest = a.manifest(&["m"]);
    let both = format!("[\"http://{}\", \"http://{}\"]", a.address, b.address);
    let manifest = manifest.replace(&format!("[\"http://{}\"]", a.address), &both);
    let mut proxy = Tailback::start(&manifest, &[WITH_TOKEN]);
    let path = |word| format!("/models/m/replicas/{}/{word}", b.address);
    let by_server = order(&proxy, "POST", "/models/m/replicas/upstream/drain", "");
    assert_ne!(by_server.status, 200, "both have that name");
    body_of(&order(&proxy, "POST", &path("drain"), ""));
    eventually("it to be out", || proxy.ready("m") == 1);
    let is_out = |proxy: &Tailback| {
        let replicas = proxy.model("m")["replicas"].clone();
        assert_eq!(replicas["leaving"][0]["endpoint"], b.address.to_string());
        let warning = replicas["warning"].to_string();
        assert!(warning.contains("drained by an operator"), "{warning}");
        let served = || {
            replicas["ready"][0]["requests"]
                .as_u64()
                .unwrap_or_default()
        };
        let before = served();
        for _ in 0..20 {
            assert_eq!(
                call(proxy.address, "POST", "/v2/models/m/infer", BODY)
                    .unwrap()
                    .status,
                200
            );
        }
        let after = proxy.model("m")["replicas"]["ready"][0]["requests"].as_u64();
        assert_eq!(after, Some(before + 20), "all at the other one");
    };
    is_out(&proxy);
    proxy.upgrade().unwrap();
    eventually("that the new process knows of it", || proxy.ready("m") == 1);
    is_out(&proxy);
    body_of(&order(&proxy, "POST", &path("resume"), ""));
    eventually("both", || proxy.ready("m") == 2);
    let served = || {
        let ready = proxy.model("m")["replicas"]["ready"].clone();
        let ready = ready.as_array().cloned().unwrap_or_default();
        let of_b = ready
            .iter()
            .find(|own| own["endpoint"] == b.address.to_string());
        of_b.and_then(|own| own["requests"].as_u64())
    };
    eventually("requests there again", || {
        let answer = call(proxy.address, "POST", "/v2/models/m/infer", BODY);
        answer.is_ok_and(|answer| answer.status == 200) && served() > Some(0)
    });
}

#[test]
fn the_pod_of_a_replica_that_is_restarted_is_deleted_and_replaced() {
    let cluster = Cluster::start(1, "20");
    let proxy = cluster.serve_with(&workload("minReplicas: 1"), &[WITH_TOKEN]);
    eventually("the pod", || proxy.ready("m") == 1);
    let name = proxy.model("m")["replicas"]["ready"][0]["name"].clone();
    let path = format!("/models/m/replicas/{}/restart", name.as_str().unwrap());
    cluster.double.faults().forbid("delete", "pods");
    let answer = order(&proxy, "POST", &path, "");
    refused(
        &answer,
        409,
        "resources: [\\\"pods\\\"], verbs: [\\\"delete\\\"]",
    );
    cluster.double.faults().clear();
    body_of(&order(&proxy, "POST", &path, ""));
    eventually("another one", || {
        let ready = proxy.model("m")["replicas"]["ready"].clone();
        ready.as_array().is_some_and(|all| all.len() == 1) && ready[0]["name"] != name
    });
}
