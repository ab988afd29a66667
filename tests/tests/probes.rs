//! Questions about a model, which neither wake it nor count as use.

use serde_json::json;
use tailback_tests::{
    eventually,
    http::{Client, call, request},
    process::Tailback,
    upstream::{Upstream, never_ready_manifest},
};

const NAMED: &[u8] = br#"{"model": "m"}"#;

fn in_flight(proxy: &Tailback, model: &str) -> u64 {
    proxy.model(model)["inFlight"].as_u64().unwrap()
}

fn arrived(proxy: &Tailback, model: &str) -> u64 {
    proxy.model(model)["arrived"].as_u64().unwrap()
}

fn first_line(upstream: &Upstream) -> String {
    let head = upstream.heads().pop().unwrap_or_default();
    head.lines().next().unwrap_or_default().to_owned()
}

/// Questions about `m`, and whether they ask only if it is ready.
const QUESTIONS: [(&str, &str, bool); 8] = [
    ("GET", "/v2/models/m/ready", true),
    ("HEAD", "/v2/models/m/versions/1/ready", true),
    ("GET", "/v2/models/m", false),
    ("GET", "/v2/models/m/config", false),
    ("GET", "/v2/models/m/stats", false),
    ("OPTIONS", "/v2/models/m/infer", false),
    ("GET", "/upstream/m/health", false),
    ("POST", "/api/show", false),
];

#[test]
fn questions_neither_wake_a_model_nor_count_as_use() {
    let spec = ", minReplicas: 0, maxReplicas: 1";
    let proxy = Tailback::start(&never_ready_manifest("m", spec), &[]);
    for (method, path, _) in QUESTIONS {
        let answer = call(proxy.address, method, path, NAMED).unwrap();
        let expected = if method == "OPTIONS" { 204 } else { 503 };
        assert_eq!(
            answer.status,
            expected,
            "{method} {path}: {}",
            answer.text()
        );
    }
    let mut client = Client::connect(proxy.address).unwrap();
    let header = [("seldon-model", "m")];
    for path in ["/v1/models", "/health", "/v2/health/ready"] {
        let answer = client.call("GET", path, &header, b"").unwrap();
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
    }
    let model = proxy.model("m");
    assert_eq!((&model["arrived"], &model["held"]), (&json!(0), &json!(0)));
    assert_eq!(model["replicas"]["desired"], 0, "{model}");
    // An inference request does wake it.
    let mut waits = Client::connect(proxy.address).unwrap();
    waits
        .send(request("POST", "/v2/models/m/infer", &[], b"{}"))
        .unwrap();
    eventually("it to be held", || proxy.model("m")["held"] == 1);
    eventually("its start", || proxy.model("m")["replicas"]["desired"] == 1);
}

#[test]
fn questions_go_to_replicas_that_have_room_and_are_in_no_count() {
    let upstream = Upstream::start();
    let one = upstream
        .manifest(&["m"])
        .replace("spec: { static:", "spec: { concurrency: 1, static:");
    let proxy = Tailback::start(&one, &[]);
    eventually("its replica", || {
        proxy.model("m")["replicas"]["readyCount"] == 1
    });
    for (method, path, _) in QUESTIONS {
        let answer = call(proxy.address, method, path, NAMED).unwrap();
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        let forwarded = path.replace("/upstream/m", "");
        assert_eq!(
            first_line(&upstream),
            format!("{method} {forwarded} HTTP/1.1")
        );
    }
    assert_eq!(arrived(&proxy, "m"), 0);
    let seen = upstream.heads().len();
    let mut busy = Client::connect(proxy.address).unwrap();
    busy.send(request("POST", "/v2/models/m/hang", &[], b""))
        .unwrap();
    eventually("the replica to have it", || upstream.heads().len() > seen);
    for (method, path, is_readiness) in QUESTIONS {
        let answer = call(proxy.address, method, path, NAMED).unwrap();
        let (status, after) = match (method, is_readiness) {
            ("OPTIONS", _) => (204, None),
            (_, true) => (200, None),
            (_, false) => (503, Some("1")),
        };
        let told = (answer.status, answer.header("retry-after"));
        assert_eq!(told, (status, after), "{method} {path}: {}", answer.text());
    }
    let model = proxy.model("m");
    assert_eq!(
        (&model["arrived"], &model["inFlight"]),
        (&json!(1), &json!(1))
    );
    drop(busy);
    eventually("its end", || in_flight(&proxy, "m") == 0);
    // Whoever leaves in the middle of a question gives its permit back.
    for _ in 0..3 {
        let mut leaves = Client::connect(proxy.address).unwrap();
        let seen = upstream.heads().len();
        let asks = request("GET", "/v2/models/m/ready", &[("x-manner", "hang")], b"");
        leaves.send(asks).unwrap();
        eventually("the replica to have it", || upstream.heads().len() > seen);
        drop(leaves);
        eventually("its permit", || {
            let answer = call(proxy.address, "GET", "/v2/models/m", b"").unwrap();
            answer.status == 200
        });
    }
    assert_eq!(arrived(&proxy, "m"), 1);
    let questions = |by| {
        let series = format!(r#"tailback_model_questions_total{{model="m",answered_by="{by}"}}"#);
        proxy.metric(&series)
    };
    // Those of the first round, the three whose callers left, and what had to succeed after each.
    assert!(questions("replica") >= QUESTIONS.len() as f64 + 6.0);
    assert!(questions("tailback") >= QUESTIONS.len() as f64);
}

#[test]
fn by_setting_questions_are_requests_like_others() {
    let spec = ", minReplicas: 0, maxReplicas: 1";
    let setting = [("TAILBACK_PROBES_WAKE", "true")];
    let proxy = Tailback::start(&never_ready_manifest("m", spec), &setting);
    let mut asks = Client::connect(proxy.address).unwrap();
    asks.send(request("GET", "/v2/models/m/ready", &[], b""))
        .unwrap();
    eventually("it to be held", || proxy.model("m")["held"] == 1);
    drop(asks);
    eventually("its end", || in_flight(&proxy, "m") == 0);
    assert_eq!(arrived(&proxy, "m"), 1);
}
