//! Requests in flight, as the admin address shows and cancels them.

use h2::Reason;
use http::Method;
use serde_json::{Value, json};
use tailback_tests::{
    eventually,
    http::{Client, Response, request},
    http2::{self, piece},
    llm_upstream::LlmUpstream,
    process::Tailback,
    upstream::{Upstream, static_manifest},
};

const TOKEN: (&str, &str) = ("TAILBACK_ADMIN_TOKEN", "0123456789abcdef");
const CHAT: &[u8] = br#"{"model":"chat","stream":true,"messages":[]}"#;

const ASLEEP: &str = "\
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: broken }
spec: { process: { command: [/no/such/program, '{port}'] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: org/asleep }
spec: { server: broken, minReplicas: 0, aliases: [asleep] }
";

fn order(proxy: &Tailback, method: &str, path: &str) -> Response {
    let bearer = format!("Bearer {}", TOKEN.1);
    let mut admin = Client::connect(proxy.admin).unwrap();
    let fields = [("authorization", &*bearer)];
    admin.call(method, path, &fields, b"").unwrap()
}

/// The requests of a model.
fn inside(proxy: &Tailback, model: &str) -> Vec<Value> {
    let page = proxy.page(&format!("/models/{model}/requests"));
    let requests = page["requests"].as_array().unwrap().clone();
    assert_eq!(page["total"], requests.len());
    requests
}

/// Waits until the only request of a model is as `is` says, and cancels it.
fn cancel(proxy: &Tailback, model: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    eventually("the request", || {
        let all = inside(proxy, model);
        found = all.first().cloned().unwrap_or_default();
        all.len() == 1 && is(&found)
    });
    let path = format!(
        "/models/{model}/requests/{}/cancel",
        found["id"].as_str().unwrap()
    );
    let answer = order(proxy, "POST", &path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("its end", || inside(proxy, model).is_empty());
    found
}

#[test]
fn a_held_request_is_shown_and_cancelled_and_its_connection_goes_on() {
    let proxy = Tailback::start(ASLEEP, &[TOKEN]);
    let mut caller = Client::connect(proxy.address).unwrap();
    let path = "/v2/models/asleep/infer";
    for _ in 0..2 {
        caller.send(request("POST", path, &[], b"{}")).unwrap();
        let held = cancel(&proxy, "asleep", |own| own["step"] == "held");
        assert_eq!(
            (&held["path"], &held["replica"], &held["tokens"]),
            (
                &"/v2/models/{model}/infer".into(),
                &Value::Null,
                &Value::Null
            )
        );
        assert!(held["seconds"].as_f64() > Some(0.0));
        let answer = caller.receive().unwrap();
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(
            answer
                .text()
                .contains("an operator has cancelled this request")
        );
    }
    assert_eq!(proxy.outcome("org/asleep", "cancelled"), 2);
    let page = proxy.model("org/asleep");
    assert_eq!((&page["inFlight"], &page["held"]), (&0.into(), &0.into()));
    let log = proxy.log();
    assert!(log.contains("cancel the request"), "{log}");
}

#[test]
fn an_answer_that_is_cancelled_breaks_off_and_leaves_the_replica() {
    let llm = LlmUpstream::gated();
    let proxy = Tailback::start(&static_manifest("llm", llm.address, &["chat"]), &[TOKEN]);
    let mut caller = Client::connect(proxy.address).unwrap();
    let chat = request(
        "POST",
        "/v1/chat/completions",
        &[("content-type", "application/json")],
        CHAT,
    );
    caller.send(chat).unwrap();
    llm.release(2);
    let found = cancel(&proxy, "chat", |own| own["tokens"] == 1);
    assert_eq!(
        (&found["step"], &found["path"], &found["endpoint"]),
        (
            &"answering".into(),
            &"/v1/chat/completions".into(),
            &llm.address.to_string().into()
        )
    );
    assert!(found["bytes"].as_u64() > Some(0));
    assert!(caller.receive().is_err(), "the rest never comes");
    assert_eq!(proxy.outcome("chat", "cancelled"), 1);
    let replica = proxy.model("chat")["replicas"]["ready"][0].clone();
    assert_eq!(
        (&replica["inFlight"], &replica["failures"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn a_tunnel_is_cancelled() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[TOKEN]);
    let mut caller = Client::connect(proxy.address).unwrap();
    let upgrade = [("connection", "upgrade"), ("upgrade", "x")];
    caller
        .send(request("GET", "/v2/models/m/switch", &upgrade, b""))
        .unwrap();
    assert_eq!(caller.receive_head().unwrap().status, 101);
    cancel(&proxy, "m", |own| own["replica"] == "up");
    assert!(caller.receive().is_err());
    assert_eq!(proxy.outcome("m", "cancelled"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_streams_of_a_connection_only_the_one_that_is_meant_is_cancelled() {
    let upstream = Upstream::start();
    let models = upstream.manifest(&["m", "n"]);
    let proxy = Tailback::start(&models, &[TOKEN]);
    let caller = http2::Client::connect(proxy.address).await.unwrap();
    let open = async |path: &str| {
        let opened = caller.open(Method::GET, path, &[], true).await;
        opened.unwrap()
    };
    let ((waits, _), (answers, _)) = (
        open("/v2/models/m/hang").await,
        open("/v2/models/n/stall").await,
    );
    let mut body = answers.await.unwrap().into_body();
    assert!(piece(&mut body).await.unwrap().is_ok());
    let (other, _) = open("/v2/models/m/hang").await;
    eventually("both", || inside(&proxy, "m").len() == 2);
    // The oldest one is the first.
    let id = inside(&proxy, "m")[0]["id"].clone();
    let path = format!("/models/m/requests/{}/cancel", id.as_str().unwrap());
    assert_eq!(order(&proxy, "POST", &path).status, 200);
    let ended = http2::receive(waits).await.unwrap();
    assert_eq!(ended.status, 403, "{}", ended.text());
    assert_eq!(inside(&proxy, "m").len(), 1);
    cancel(&proxy, "n", |own| own["step"] == "answering");
    let broken = piece(&mut body).await.unwrap().unwrap_err();
    assert_eq!(broken.reason(), Some(Reason::CANCEL));
    cancel(&proxy, "m", |own| own["step"] == "waiting");
    assert_eq!(http2::receive(other).await.unwrap().status, 403);
    assert_eq!(
        (
            proxy.outcome("m", "cancelled"),
            proxy.outcome("n", "cancelled")
        ),
        (2, 1)
    );
    assert!(!caller.is_closed());
}

#[test]
fn a_cancellation_that_cannot_be_says_why() {
    let proxy = Tailback::start(ASLEEP, &[TOKEN]);
    let answer = order(&proxy, "POST", "/models/asleep/requests/0-1/cancel");
    let error =
        json!({ "error": "\"org/asleep\" has no request \"0-1\" in flight; it may have ended" });
    assert_eq!(answer.status, 404);
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.body).unwrap(),
        error
    );
    for (method, path, status) in [
        ("GET", "/models/asleep/requests/0-1/cancel", 405),
        ("POST", "/models/asleep/requests", 405),
        ("GET", "/models/nobody/requests", 404),
        ("POST", "/models/nobody/requests/0-1/cancel", 404),
    ] {
        assert_eq!(
            order(&proxy, method, path).status,
            status,
            "{method} {path}"
        );
    }
    let mut stranger = Client::connect(proxy.admin).unwrap();
    let refused = stranger.call("POST", "/models/asleep/requests/0-1/cancel", &[], b"");
    assert_eq!(refused.unwrap().status, 401);
}
