//! The table of APIs: what clients of each send is routed, counted and refused in its own form.

use serde_json::{Value, json};
use tailback_tests::{
    eventually,
    http::{Client, call, request},
    process::Tailback,
    upstream::Upstream,
};

const JSON: (&str, &str) = ("content-type", "application/json");
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

/// The manifest of models on `upstream`, each a name and what its spec adds.
fn manifest(upstream: &Upstream, models: &[(&str, &str)]) -> String {
    let names: Vec<&str> = models.iter().map(|(name, _)| *name).collect();
    let mut text = upstream.manifest(&names);
    for (name, spec) in models {
        let plain = format!("metadata: {{ name: {name} }}\nspec: {{ server: up }}");
        let full = format!("metadata: {{ name: {name} }}\nspec: {{ server: up{spec} }}");
        assert!(text.contains(&plain));
        text = text.replace(&plain, &full);
    }
    text
}

#[test]
fn requests_of_every_api_reach_the_model_and_count_until_their_end() {
    let upstream = Upstream::start();
    // Two models, so that none is meant where none is named.
    let proxy = Tailback::start(&upstream.manifest(&["m", "other"]), &[]);
    let requests = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/audio/speech",
        "/openai/v1/chat/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/rerank",
        "/v1/rerank",
        "/v2/rerank",
        "/score",
        "/v1/score",
        "/tokenize",
        "/detokenize",
        "/pooling",
        "/classify",
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
        "/generate",
        "/generate_stream",
        "/",
        "/v1/models/m:predict",
        "/v1/models/m:explain",
        "/v2/models/m/infer",
        "/v2/models/m/versions/1/infer",
        "/v2/models/m/generate",
        "/v2/models/m/generate_stream",
        "/v1/realtime?model=m",
    ];
    for (done, path) in requests.iter().enumerate() {
        let method = if path.contains("realtime") {
            "GET"
        } else {
            "POST"
        };
        let body = if method == "POST" { NAMED } else { b"" };
        let mut client = Client::connect(proxy.address).unwrap();
        client
            .send(request(method, path, &[JSON, ("x-manner", "hang")], body))
            .unwrap();
        eventually("it to be in flight", || in_flight(&proxy, "m") == 1);
        drop(client);
        eventually("its end", || in_flight(&proxy, "m") == 0);
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client
            .call(method, path, &[JSON, ("x-manner", "ok")], body)
            .unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(first_line(&upstream), format!("{method} {path} HTTP/1.1"));
        eventually("its end", || in_flight(&proxy, "m") == 0);
        assert_eq!(arrived(&proxy, "m"), 2 * (done as u64 + 1), "{path}");
    }
    assert_eq!(arrived(&proxy, "other"), 0);
}

#[test]
fn errors_are_in_the_form_of_the_callers_api() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m", "other"]), &[]);
    let message = "model \"no\" is not served here";
    let openai = json!({ "error": {
        "message": message, "type": "invalid_request_error",
        "param": "model", "code": "model_not_found",
    }});
    let plain = json!({ "error": message });
    let cases: [(&str, Value); 10] = [
        ("/v1/chat/completions", openai.clone()),
        ("/openai/v1/embeddings", openai.clone()),
        ("/v1/rerank", openai.clone()),
        ("/tokenize", openai),
        (
            "/v1/messages",
            json!({ "type": "error", "error": { "type": "not_found_error", "message": message } }),
        ),
        ("/api/chat", plain.clone()),
        ("/v1/models/no:predict", plain.clone()),
        ("/v2/models/no/generate", plain.clone()),
        ("/upstream/no/v1/chat/completions", plain),
        (
            "/generate",
            json!({ "error": message, "error_type": "validation" }),
        ),
    ];
    for (path, expected) in cases {
        let answer = call(proxy.address, "POST", path, br#"{"model": "no"}"#).unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, body), (404, expected), "{path}");
    }
    for (method, path, body, status, says) in [
        ("POST", "/v1/messages", "{}", 400, "names no model"),
        ("POST", "/api/chat", "no JSON", 400, "JSON object"),
        (
            "POST",
            "/generate",
            r#"{"inputs": "x"}"#,
            400,
            "names no model",
        ),
        ("GET", "/v1/realtime", "", 400, "model=NAME"),
        ("GET", "/v1/realtime?model=m&model=m", "", 400, "model=NAME"),
        ("GET", "/v1/chat/completions", "", 405, "POST"),
        (
            "GET",
            "/v1/responses/resp_1",
            "",
            404,
            "which replica keeps",
        ),
        ("POST", "/v1/files", "", 404, "one replica keeps"),
        ("GET", "/v2/models/stats", "", 404, "statistics"),
        ("POST", "/api/pull", r#"{"model": "m"}"#, 501, "manifests"),
        ("DELETE", "/v1/models/m", "", 501, "manifests"),
    ] {
        let answer = call(proxy.address, method, path, body.as_bytes()).unwrap();
        let text = answer.text();
        assert_eq!(answer.status, status, "{method} {path}: {text}");
        assert!(text.contains(says), "{method} {path}: {text}");
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(arrived(&proxy, "m") + arrived(&proxy, "other"), 0);
}

#[test]
fn models_are_listed_in_each_apis_form() {
    let upstream = Upstream::start();
    let models = [("a", ", aliases: [b, 'gpt-*']")];
    let proxy = Tailback::start(&manifest(&upstream, &models), &[]);
    eventually("its replica", || {
        proxy.model("a")["replicas"]["readyCount"] == 1
    });
    let get = |path: &str, header: &[(&str, &str)]| -> Value {
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client.call("GET", path, header, b"").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    };
    assert_eq!(get("/v1/models", &[])["data"][1]["id"], "b");
    assert_eq!(get("/openai/v1/models/b", &[])["id"], "b");
    let anthropic = get("/v1/models", &[("anthropic-version", "2023-06-01")]);
    assert_eq!(anthropic["first_id"], "a");
    assert_eq!(anthropic["data"][1]["type"], "model");
    let tags = get("/api/tags", &[]);
    assert_eq!(tags["models"].as_array().unwrap().len(), 2);
    assert_eq!(get("/api/ps", &[])["models"][0]["name"], "a");
    assert!(get("/api/version", &[])["version"].is_string());
    assert_eq!(get("/health", &[])["live"], true);
    assert_eq!(proxy.model("a")["arrived"], 0, "questions are no requests");
}

#[test]
fn a_default_a_fallback_and_wildcards_take_what_names_no_model_of_their_own() {
    let upstream = Upstream::start();
    let models = [
        ("small", ""),
        ("large", ", aliases: ['gpt-*', 'gpt-4o']"),
        ("four", ", aliases: ['gpt-4*'], upstreamName: real"),
    ];
    let settings = [
        ("TAILBACK_DEFAULT_MODEL", "small"),
        ("TAILBACK_FALLBACK_MODEL", "large"),
    ];
    let proxy = Tailback::start(&manifest(&upstream, &models), &settings);
    let mut counts = [0, 0, 0];
    for (path, body, model, forwarded) in [
        ("/v1/x", r#"{"a": 1}"#, 0, r#"{"a": 1}"#),
        ("/generate", r#"{"inputs": "x"}"#, 0, r#"{"inputs": "x"}"#),
        (
            "/v1/x",
            r#"{"model": "", "a": 1}"#,
            0,
            r#"{"model": "small", "a": 1}"#,
        ),
        ("/v1/x", r#"{"model": "who?"}"#, 1, r#"{"model": "large"}"#),
        (
            "/v1/x",
            r#"{"model": "gpt-3.5"}"#,
            1,
            r#"{"model": "large"}"#,
        ),
        (
            "/v1/x",
            r#"{"model": "gpt-4o"}"#,
            1,
            r#"{"model": "large"}"#,
        ),
        (
            "/v1/x",
            r#"{"model": "gpt-4-turbo"}"#,
            2,
            r#"{"model": "real"}"#,
        ),
        ("/v1/x", r#"{"model": "four"}"#, 2, r#"{"model": "real"}"#),
    ] {
        let mut client = Client::connect(proxy.address).unwrap();
        let fields = [JSON, ("x-manner", "echo")];
        let answer = client.call("POST", path, &fields, body.as_bytes()).unwrap();
        assert_eq!((answer.status, &*answer.text()), (200, forwarded), "{body}");
        counts[model] += 1;
        let names = ["small", "large", "four"];
        let told = || names.map(|name| arrived(&proxy, name));
        assert_eq!(told(), counts, "{body}");
    }
    for (path, forwarded) in [
        ("/v2/models/gpt-3/infer", "/v2/models/large/infer"),
        (
            "/v2/models/unknown/versions/1/infer",
            "/v2/models/large/versions/1/infer",
        ),
        ("/v1/models/gpt-4.1:predict", "/v1/models/real:predict"),
        (
            "/v1/realtime?a=b&model=gpt-4.1&c",
            "/v1/realtime?a=b&model=real&c",
        ),
        ("/v1/realtime", "/v1/realtime"),
        ("/v1/responses/resp_1", "/v1/responses/resp_1"),
    ] {
        let method = if path.contains("/v1/re") {
            "GET"
        } else {
            "POST"
        };
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client
            .call(method, path, &[("x-manner", "ok")], b"")
            .unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(
            first_line(&upstream),
            format!("{method} {forwarded} HTTP/1.1")
        );
    }
    eventually("the end of all", || {
        ["small", "large", "four"]
            .iter()
            .all(|name| in_flight(&proxy, name) == 0)
    });
}

#[test]
fn the_path_that_is_routed_is_the_path_that_is_forwarded() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["s1", "s2"]), &[]);
    for (path, forwarded) in [
        ("//v1//chat///completions", "/v1/chat/completions"),
        ("//v2/models/s1/infer?a=//b", "/v2/models/s1/infer?a=//b"),
        ("/v2/models/%731/infer", "/v2/models/s1/infer"),
        ("/upstream/s1//any/path?x=1", "/any/path?x=1"),
        ("/upstream/s1", "/"),
    ] {
        let mut client = Client::connect(proxy.address).unwrap();
        let fields = [JSON, ("x-manner", "ok")];
        let answer = client
            .call("POST", path, &fields, br#"{"model": "s1"}"#)
            .unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(first_line(&upstream), format!("POST {forwarded} HTTP/1.1"));
    }
    eventually("the end of all", || in_flight(&proxy, "s1") == 0);
    let (count, seen) = (arrived(&proxy, "s1"), upstream.heads().len());
    assert_eq!(count, 5);
    let s2 = [("seldon-model", "s2")];
    let none = [];
    for (path, fields, status) in [
        (
            "/v2/models/s1/../../repository/models/s2/unload",
            &none[..],
            400,
        ),
        ("/v2/models/s1/%2e%2e/s2/infer", &none, 400),
        ("/v2/models/s1%2f..%2fs2/infer", &none, 400),
        ("/v2/models/./s1/infer", &none, 400),
        ("/v2/repository/models/s2/unload", &s2, 501),
        ("/v2/%72epository/models/s2/unload", &s2, 501),
        ("/v2%2Frepository/models/s2/unload", &s2, 501),
        ("//v2//repository/models/s2/unload", &s2, 501),
        ("/upstream/s2/v2/repository/models/s2/unload", &none, 501),
        ("/upstream/s2/api/pull", &none, 501),
        ("/upstream/s1/upstream/s2/x", &none, 404),
        ("/v2/models/s1/infer", &s2, 400),
        ("/v1/models/s1:predict", &s2, 400),
        ("/upstream/s1/x", &s2, 400),
    ] {
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client.call("POST", path, fields, b"").unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert_eq!(upstream.heads().len(), seen);
    assert_eq!((arrived(&proxy, "s1"), arrived(&proxy, "s2")), (count, 0));
    // A name that is not served here is the replica's to know.
    let mut client = Client::connect(proxy.address).unwrap();
    let answer = client.call("POST", "/v2/models/else/ok", &s2, b"").unwrap();
    assert_eq!((answer.status, arrived(&proxy, "s2")), (200, 1));
}

#[test]
fn what_one_replica_keeps_goes_to_the_only_one_there_is() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    for (method, path) in [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/files"),
        ("GET", "/v1/batches/b"),
    ] {
        let answer = call(proxy.address, method, path, b"").unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(first_line(&upstream), format!("{method} {path} HTTP/1.1"));
    }
    eventually("the end of all", || in_flight(&proxy, "m") == 0);
    assert_eq!(arrived(&proxy, "m"), 6);
    // Of two replicas, one has it, and nobody knows which.
    let two = upstream.manifest(&["m"]).replace(
        "endpoints: [",
        &format!("endpoints: [\"http://{}\", ", Upstream::start().address),
    );
    let proxy = Tailback::start(&two, &[]);
    let answer = call(proxy.address, "GET", "/v1/responses/resp_1", b"").unwrap();
    assert_eq!(answer.status, 404, "{}", answer.text());
    let header = [("seldon-model", "m")];
    let mut client = Client::connect(proxy.address).unwrap();
    let answer = client
        .call("GET", "/v1/responses/resp_1", &header, b"")
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}
