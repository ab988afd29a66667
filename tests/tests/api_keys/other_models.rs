//! No place of a request asks the replica for another model than the one that the key was checked for.

use tailback_tests::{
    http::Client,
    http2,
    upstream::{Upstream, static_manifest},
    upstream_http2::UpstreamHttp2,
};

use super::{Keys, message};

#[test]
fn a_body_or_query_beside_the_header_names_no_other_model() {
    let (upstream, keys) = (Upstream::start(), Keys::new());
    let key = keys.add("a", &["--model", "mine"]);
    let proxy = keys.serve(&upstream.manifest(&["mine", "other"]), &[]);
    let bearer = format!("Bearer {key}");
    let ask = |method: &str, path: &str, body: &str| {
        let mut client = Client::connect(proxy.address).unwrap();
        let fields = [
            ("authorization", bearer.as_str()),
            ("seldon-model", "mine"),
            ("content-type", "application/json"),
        ];
        client.call(method, path, &fields, body.as_bytes()).unwrap()
    };
    // The last path is of no known API.
    for path in ["/v1/completions/echo", "/v1/echo", "/invocations/echo"] {
        let answer = ask("POST", path, r#"{"model":"other"}"#);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        // The server may have it, though it is not configured.
        let answer = ask("POST", path, r#"{"model":"hidden"}"#);
        assert_eq!(answer.text(), r#"{"model":"mine"}"#, "{path}");
    }
    // So may what cannot be read for certain.
    for body in [
        r#"{"model":null,"model":"other"}"#,
        r#"{"model":"mine","model":"other"}"#,
    ] {
        assert_eq!(ask("POST", "/v1/echo", body).status, 400, "{body}");
    }
    for (path, body) in [
        ("/v1/fine_tuning/jobs", r#"{"model":"other"}"#),
        ("/props?model=other", ""),
        ("/v1/realtime?model=other", ""),
    ] {
        let method = if body.is_empty() { "GET" } else { "POST" };
        assert_eq!(ask(method, path, body).status, 400, "{path}");
    }
    assert_eq!(ask("GET", "/v1/realtime?model=hidden", "").status, 200);
    let head = upstream.heads().pop().unwrap();
    assert!(head.starts_with("GET /v1/realtime?model=mine "), "{head}");
}

#[tokio::test]
async fn no_message_of_a_grpc_call_names_another_model() {
    let (upstream, keys) = (UpstreamHttp2::start(10), Keys::new());
    let key = keys.add("a", &["--model", "mine"]);
    let manifest = static_manifest("up", upstream.address, &["mine", "other"]);
    let proxy = keys.serve(&manifest, &[]);
    let client = http2::Client::connect(proxy.address).await.unwrap();
    let bearer = format!("Bearer {key}");
    let own = [
        ("content-type", "application/grpc"),
        ("authorization", bearer.as_str()),
    ];
    let by_metadata = [&own[..], &[("seldon-model", "mine")]].concat();
    let empty = vec![0; 5];
    // An empty name, and another one: protobuf takes the last.
    let twice = b"\0\0\0\0\x09\x0a\x00\x0a\x05other".to_vec();
    let stream = "/inference.GRPCInferenceService/ModelStreamInfer";
    for (fields, messages) in [
        (&own[..], [message("mine"), message("other")]),
        (&by_metadata, [message("mine"), message("other")]),
        (&by_metadata, [message("other"), message("mine")]),
        (&by_metadata, [empty, message("other")]),
        (&own, [message("mine"), twice]),
    ] {
        let answer = client.call(stream, fields, messages.concat()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.grpc_status(), Some("3"), "{messages:?}");
    }
}
