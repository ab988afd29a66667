//! Who is answered what.

use tailback_tests::{
    eventually, http,
    http::Client,
    http2,
    upstream::{Upstream, static_manifest},
    upstream_http2::UpstreamHttp2,
};

use super::{Keys, call, json, message, status};

#[test]
fn without_a_valid_key_every_api_answers_401_in_its_own_form() {
    let (upstream, keys) = (Upstream::start(), Keys::new());
    let key = keys.add("a", &[]);
    let proxy = keys.serve(&upstream.manifest(&["m"]), &[]);
    let body = br#"{"model": "m"}"#;
    for (path, pointer, kind) in [
        ("/v2/models/m/infer", "/error", "an API key is needed"),
        ("/v1/chat/completions", "/error/code", "invalid_api_key"),
        ("/v1/messages", "/error/type", "authentication_error"),
        ("/api/chat", "/error", "an API key is needed"),
    ] {
        let answer = http::call(proxy.address, "POST", path, body).unwrap();
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
        let found = json(&answer)
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        assert!(found.contains(kind), "{path}: {found}");
        assert_eq!(call(&proxy, "tb-0", "POST", path, body).status, 401);
        assert_eq!(call(&proxy, &key, "POST", path, body).status, 200, "{path}");
    }
    let mut client = Client::connect(proxy.address).unwrap();
    let plain = [("x-api-key", key.as_str())];
    let answer = client.call("GET", "/v2/models/m/ok", &plain, b"").unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        proxy.model("m")["arrived"],
        5,
        "others are not counted for the model"
    );
    let metrics = proxy.metrics();
    for series in [
        r#"tailback_key_refusals_total{key="",reason="missing"} 4"#,
        r#"tailback_key_refusals_total{key="",reason="unknown"} 4"#,
        r#"tailback_key_requests_total{key="a",outcome="success"} 5"#,
        r#"tailback_unrouted_requests_total 0"#,
    ] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
}

#[tokio::test]
async fn grpc_reads_keys_from_metadata_and_answers_with_its_own_statuses() {
    let (upstream, keys) = (UpstreamHttp2::start(10), Keys::new());
    let key = keys.add("a", &["--model", "other"]);
    let manifest = static_manifest("up", upstream.address, &["m", "other"]);
    let proxy = keys.serve(&manifest, &[]);
    let client = http2::Client::connect(proxy.address).await.unwrap();
    let bearer = format!("Bearer {key}");
    let grpc = ("content-type", "application/grpc");
    let ready = "/inference.GRPCInferenceService/ModelReady";
    for (fields, name, code) in [
        (vec![grpc], "other", "16"),
        (
            vec![grpc, ("authorization", "Bearer nothing")],
            "other",
            "16",
        ),
        (vec![grpc, ("authorization", &bearer)], "m", "7"),
    ] {
        let answer = client.call(ready, &fields, message(name)).await.unwrap();
        assert_eq!(answer.grpc_status(), Some(code), "{fields:?} {name}");
    }
    for (path, open) in [
        ("/inference.GRPCInferenceService/ServerLive", true),
        ("/grpc.health.v1.Health/Check", true),
        ("/inference.GRPCInferenceService/RepositoryIndex", false),
    ] {
        let answer = client.call(path, &[grpc], vec![0; 5]).await.unwrap();
        let expected = if open { "0" } else { "16" };
        assert_eq!(answer.grpc_status(), Some(expected), "{path}");
    }
    // Of a model's health, strangers and those who may not use it learn nothing.
    let health = "/grpc.health.v1.Health/Check";
    let known = [grpc, ("x-api-key", key.as_str())];
    for (fields, name, code) in [
        (&known[..1], "other", "5"),
        (&known, "m", "5"),
        (&known, "other", "0"),
    ] {
        let answer = client.call(health, fields, message(name)).await.unwrap();
        assert_eq!(answer.grpc_status(), Some(code), "{fields:?} {name}");
    }
}

#[test]
fn questions_about_the_proxy_need_no_key_and_lists_show_what_the_key_may_use() {
    let (upstream, keys) = (Upstream::start(), Keys::new());
    let some = keys.add("some", &["--model", "llama-*", "--model", "gpt"]);
    let manifest = upstream.manifest(&["llama-a", "llama-b", "iris"]).replacen(
        "metadata: { name: iris }\nspec: {",
        "metadata: { name: iris }\nspec: { aliases: [gpt],",
        1,
    );
    let manifest = format!(
        "{manifest}---\napiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: secret }}\nspec: {{ server: up }}\n"
    );
    let all = keys.add("all", &[]);
    let proxy = keys.serve(&manifest, &[("TAILBACK_CORS_ORIGINS", "https://a.example")]);
    for path in [
        "/",
        "/health",
        "/healthz",
        "/ping",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/api/version",
    ] {
        let answer = http::call(proxy.address, "GET", path, b"").unwrap();
        assert_eq!(answer.status, 200, "{path}");
        let mut client = Client::connect(proxy.address).unwrap();
        let named = [("seldon-model", "iris")];
        let answer = client.call("GET", path, &named, b"").unwrap();
        assert_eq!(answer.status, 401, "{path}, for a replica");
    }
    let mut client = Client::connect(proxy.address).unwrap();
    let preflight = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "POST"),
    ];
    let answer = client
        .call("OPTIONS", "/v1/chat/completions", &preflight, b"")
        .unwrap();
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://a.example")
    );
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", "/api/tags"),
        ("POST", "/v2/repository/index"),
        ("GET", "/v2/models/iris/ready"),
        ("GET", "/nothing"),
        ("OPTIONS", "/v1/models"),
    ] {
        assert_eq!(
            http::call(proxy.address, method, path, b"").unwrap().status,
            401,
            "{path}"
        );
    }
    let listed = |key: &str, method: &str, path: &str, list: &str, field: &str| -> Vec<String> {
        let answer = json(&call(&proxy, key, method, path, b""));
        let list = answer.pointer(list).unwrap().as_array().unwrap();
        list.iter()
            .map(|entry| entry[field].as_str().unwrap().to_owned())
            .collect()
    };
    for (method, path, list, field, aliases) in [
        ("GET", "/v1/models", "/data", "id", true),
        ("GET", "/api/tags", "/models", "name", true),
        ("POST", "/v2/repository/index", "", "name", false),
    ] {
        let found = listed(&some, method, path, list, field);
        let expected: &[&str] = if aliases {
            &["gpt", "iris", "llama-a", "llama-b"]
        } else {
            &["iris", "llama-a", "llama-b"]
        };
        assert_eq!(found, expected, "{path}");
        assert!(listed(&all, method, path, list, field).contains(&"secret".to_owned()));
    }
    assert_eq!(status(&proxy, &some, "/v1/models/iris"), 200);
    assert_eq!(status(&proxy, &some, "/v1/models/secret"), 404);
    // By whatever name: what counts is the model.
    for (path, expected) in [
        ("/v2/models/iris/ok", 200),
        ("/v2/models/gpt/ok", 200),
        ("/v2/models/secret/ok", 403),
        ("/upstream/secret/ok", 403),
        ("/v2/models/none/ok", 404),
    ] {
        let answer = call(&proxy, &some, "GET", path, b"");
        assert_eq!(answer.status, expected, "{path}");
    }
    let body = br#"{"model": "secret"}"#;
    let answer = call(&proxy, &some, "POST", "/v1/chat/completions", body);
    assert_eq!(
        (answer.status, json(&answer)["error"]["type"].as_str()),
        (403, Some("permission_error"))
    );
    let answer = call(&proxy, &some, "POST", "/v1/messages", body);
    assert_eq!(
        (answer.status, json(&answer)["error"]["type"].as_str()),
        (403, Some("permission_error"))
    );
    assert_eq!(proxy.model("secret")["arrived"], 0);
}

#[test]
fn a_key_has_its_requests_of_a_minute_and_its_requests_at_once() {
    let (upstream, keys) = (Upstream::start(), Keys::new());
    let rate = keys.add("rate", &["--requests-per-minute", "2"]);
    let two = keys.add("two", &["--concurrency", "2"]);
    let proxy = keys.serve(&upstream.manifest(&["m"]), &[]);
    assert_eq!(status(&proxy, &rate, "/v2/models/m/ok"), 200);
    assert_eq!(status(&proxy, &rate, "/v2/models/m/ok"), 200);
    let answer = call(&proxy, &rate, "GET", "/v2/models/m/ok", b"");
    assert_eq!(answer.status, 429);
    let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((20..=30).contains(&wait), "{wait}");
    let body = br#"{"model": "m"}"#;
    let answer = call(&proxy, &rate, "POST", "/v1/chat/completions", body);
    assert_eq!(json(&answer)["error"]["code"], "rate_limit_exceeded");

    let hang = || {
        let mut client = Client::connect(proxy.address).unwrap();
        let bearer = format!("Bearer {two}");
        let request = http::request(
            "GET",
            "/v2/models/m/hang",
            &[("authorization", &bearer)],
            b"",
        );
        client.send(request).unwrap();
        client
    };
    let (first, _second) = (hang(), hang());
    eventually("two at once", || proxy.model("m")["inFlight"] == 2);
    let in_flight = r#"tailback_key_requests_in_flight{key="two"}"#;
    assert!((proxy.metric(in_flight) - 2.0).abs() < 0.1);
    let answer = call(&proxy, &two, "GET", "/v2/models/m/ok", b"");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("1"))
    );
    drop(first);
    eventually("one has left", || {
        status(&proxy, &two, "/v2/models/m/ok") == 200
    });
    assert!(
        proxy
            .metrics()
            .contains(r#"tailback_key_refusals_total{key="rate",reason="rate"} 2"#)
    );
}
