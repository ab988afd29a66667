//! gRPC: the Open Inference Protocol with its own client, and errors.

use std::{env, process::Command};

use bytes::Bytes;
use http::Method;
use tailback_tests::{
    eventually,
    http2::{Client, Response, receive},
    process::Tailback,
    python::{Running, program, root, run, script},
    upstream::never_ready_manifest,
    upstream_http2::UpstreamHttp2,
};

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const API: &str = "apiVersion: tailback.dev/v1alpha1";

fn static_server(endpoint: &str, model: &str) -> String {
    format!(
        "{API}\nkind: Server\nmetadata: {{ name: up }}\nspec: {{ static: {{ endpoints: [{endpoint}] }} }}\n---\n\
         {API}\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: up{model} }}\n"
    )
}

/// A message with `name` as its first field.
fn message(name: &str) -> Bytes {
    let length = name.len() as u8;
    let mut message = vec![0, 0, 0, 0, length + 2, 0x0a, length];
    message.extend(name.bytes());
    message.into()
}

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

fn status_of(answer: &Response) -> (u16, &str, String) {
    let fields = answer.trailers.as_ref().unwrap_or(&answer.headers);
    let message = fields
        .get("grpc-message")
        .map_or("", |m| m.to_str().unwrap());
    (
        answer.status.as_u16(),
        answer.grpc_status().unwrap_or("none"),
        message.to_owned(),
    )
}

#[test]
fn mlserver_is_reached_by_its_own_port_for_grpc() {
    run({
        let mut train = Command::new(program("python"));
        train.arg(root().join("examples/mlserver/train.py"));
        train
    });
    let folder = program("mlserver").parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path))).unwrap();
    let proxy = Tailback::start_path(
        root().join("examples/mlserver/mlserver.yaml"),
        &[
            ("PATH", path.to_str().unwrap()),
            ("TAILBACK_HOLD_SECONDS", "120"),
        ],
    );
    let address = proxy.address.to_string();
    run(script("grpc_client.py", &[&address, "mlserver"]));
    run(script("mlserver_client.py", &[&address]));
    eventually("the end of all", || proxy.model("iris")["inFlight"] == 0);
    assert_eq!(proxy.outcome("iris", "success"), 5 + 2);
    let calls = proxy.metric(
        "seldon_model_infer_total{model=\"iris\",server=\"mlserver\",method_type=\"grpc\",code=\"OK\"}",
    );
    assert_eq!(calls, 5.0, "{}", proxy.metrics());
}

#[test]
fn calls_and_streams_of_the_triton_client_are_counted_to_their_end() {
    let server = Running::start(script("grpc_server.py", &[]));
    let port = server.line().replace("port ", "");
    let proxy = Tailback::start(
        &static_server(&format!("'http://127.0.0.1:{port}'"), ""),
        &[],
    );
    let address = proxy.address.to_string();
    run(script("grpc_client.py", &[&address, "calls"]));
    eventually("the end of all", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "refused"), 1);

    let mut client = Running::start(script("grpc_client.py", &[&address, "stream"]));
    assert_eq!(client.line(), "streaming");
    // All is answered, and the stream still open: it is in flight.
    assert_eq!(in_flight(&proxy), 1);
    client.go_on();
    client.end();
    eventually("the stream's end", || in_flight(&proxy) == 0);

    let mut client = Running::start(script("grpc_client.py", &[&address, "leave"]));
    assert_eq!(client.line(), "streaming");
    assert_eq!(in_flight(&proxy), 1);
    client.go_on();
    eventually("the stream's end", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "caller_gone"), 1);
    client.end();
}

#[test]
fn every_message_of_a_stream_is_renamed_and_another_models_is_refused() {
    let server = Running::start(script("grpc_server.py", &[]));
    let port = server.line().replace("port ", "");
    let endpoint = format!("'http://127.0.0.1:{port}'");
    let proxy = Tailback::start(&static_server(&endpoint, ", upstreamName: real"), &[]);
    let address = proxy.address.to_string();
    let mut client = Running::start(script("grpc_client.py", &[&address, "renamed"]));
    assert_eq!(client.line(), "streaming");
    // Those whose messages were compressed have ended.
    eventually("one stream to be open", || in_flight(&proxy) == 1);
    client.go_on();
    client.end();
    eventually("the end of all", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "refused"), 1);
    assert_eq!(proxy.outcome("m", "success"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_grpc_status() {
    let upstream = UpstreamHttp2::start(100);
    let endpoint = format!("'http://{}'", upstream.address);
    let proxy = Tailback::start(&static_server(&endpoint, ""), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    // Path, metadata, body; status, and what its message says.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Bytes, &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (
            INFER,
            &[],
            message("no"),
            "5",
            "model \"no\" is not served here",
        ),
        (
            INFER,
            &[("seldon-model", "no")],
            message("m"),
            "5",
            "\"no\"",
        ),
        (
            INFER,
            &[],
            Bytes::from_static(&[1, 0, 0, 0, 1, 9]),
            "3",
            "seldon-model",
        ),
        (
            INFER,
            &[],
            Bytes::from_static(&[0, 0, 0, 0, 0]),
            "3",
            "names no model",
        ),
        (
            INFER,
            &[],
            Bytes::from_static(&[0, 0, 0, 0, 2, 0xff, 0xff]),
            "3",
            "well-formed",
        ),
        (
            INFER,
            &[],
            Bytes::from_static(b"\0\0\0\0\x06\x0a\x01m\x0a\x01n"),
            "3",
            "twice",
        ),
        (INFER, &[], Bytes::new(), "3", "well-formed"),
        (
            "/vllm.Engine/Generate",
            &[],
            message("m"),
            "12",
            "seldon-model",
        ),
        (
            "/inference.GRPCInferenceService/Unheard",
            &[],
            message(""),
            "12",
            "not offered",
        ),
        (
            "/inference.GRPCInferenceService/TraceSetting",
            &[("seldon-model", "m")],
            message(""),
            "12",
            "settings",
        ),
    ];
    for (path, fields, body, code, says) in cases {
        let fields: Vec<_> = [GRPC].iter().chain(*fields).copied().collect();
        let answer = client.call(path, &fields, body.clone()).await.unwrap();
        let status = status_of(&answer);
        assert_eq!((status.0, status.1), (200, *code), "{path} {status:?}");
        assert!(status.2.contains(says), "{status:?}");
        assert!(
            answer.body.is_empty() && answer.trailers.is_none(),
            "trailers only"
        );
    }
    assert_eq!(proxy.model("m")["arrived"], 0);
    // Any service goes by metadata.
    let fields = [GRPC, ("seldon-model", "m")];
    let answer = client
        .call("/vllm.Engine/Generate", &fields, message("x"))
        .await
        .unwrap();
    assert_eq!(answer.grpc_status(), Some("0"));
    assert_eq!(upstream.heads()[0].headers()["te"], "trailers");
    let answer = client
        .call("/any/refuse-call", &fields, message("x"))
        .await
        .unwrap();
    assert_eq!(answer.grpc_status(), Some("3"));
    eventually("their end", || in_flight(&proxy) == 0);
    assert_eq!(
        (proxy.outcome("m", "success"), proxy.outcome("m", "refused")),
        (1, 1)
    );
    let labels = "{model=\"m\",server=\"up\",method_type=\"grpc\",code=\"InvalidArgument\"}";
    assert_eq!(
        proxy.metric(&format!("seldon_model_infer_total{labels}")),
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn held_calls_end_by_their_own_deadline_and_full_queues_say_so() {
    let never = never_ready_manifest("m", ", hold: { queue: 1, seconds: 60 }");
    let proxy = Tailback::start(&never, &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let timed = [GRPC, ("grpc-timeout", "300m")];
    let (held, mut stream) = client
        .open(Method::POST, INFER, &timed, false)
        .await
        .unwrap();
    stream.send_data(message("m"), true).unwrap();
    eventually("the held call", || proxy.model("m")["held"] == 1);
    let answer = client.call(INFER, &[GRPC], message("m")).await.unwrap();
    assert_eq!(answer.grpc_status(), Some("8"), "{answer:?}");
    let answer = receive(held).await.unwrap();
    assert_eq!(answer.grpc_status(), Some("4"), "{answer:?}");
    eventually("their end", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "past_deadline"), 1);
    assert_eq!(proxy.outcome("m", "queue_full"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_past_their_deadline_end_with_a_status() {
    let upstream = UpstreamHttp2::start(100);
    let endpoint = format!("'http://{}'", upstream.address);
    let proxy = Tailback::start(&static_server(&endpoint, ""), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let fields = [GRPC, ("seldon-model", "m"), ("grpc-timeout", "300m")];
    let answer = client
        .call("/x.Y/stall", &fields, message("m"))
        .await
        .unwrap();
    assert_eq!(
        (answer.text(), answer.grpc_status()),
        ("hello".into(), Some("4"))
    );
    eventually("its end", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "past_deadline"), 1);
    eventually("the replica to hear of it", || upstream.active() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_without_http2_are_recognised() {
    let old = tailback_tests::upstream::Upstream::start();
    let endpoint = format!("'http://{}'", old.address);
    let manifest = static_server(&endpoint, "");
    let proxy = Tailback::start(&manifest, &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let answer = client.call(INFER, &[GRPC], message("m")).await.unwrap();
    assert!(
        matches!(answer.grpc_status(), Some("13" | "14")),
        "{answer:?}"
    );
    let manifest = manifest.replace("static:", "protocol: http1, static:");
    let proxy = Tailback::start(&manifest, &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let answer = client.call(INFER, &[GRPC], message("m")).await.unwrap();
    assert_eq!(answer.grpc_status(), Some("12"), "{answer:?}");
    // And gRPC does not go by HTTP/1.1.
    let body = message("m");
    let mut old = tailback_tests::http::Client::connect(proxy.address).unwrap();
    let answer = old.call("POST", INFER, &[GRPC], &body).unwrap();
    assert_eq!(answer.status, 505, "{}", answer.text());
    eventually("their end", || in_flight(&proxy) == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_compressed_in_an_unknown_way_names_no_model() {
    let upstream = UpstreamHttp2::start(100);
    let endpoint = format!("\"http://{}\"", upstream.address);
    let proxy = Tailback::start(&static_server(&endpoint, ""), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let mut compressed = message("m").to_vec();
    compressed[0] = 1;
    for encoding in ["snappy", "identity"] {
        let fields = [GRPC, ("grpc-encoding", encoding)];
        let answer = client
            .call(INFER, &fields, compressed.clone())
            .await
            .unwrap();
        let (status, code, why) = status_of(&answer);
        assert_eq!((status, code), (200, "3"), "{encoding}");
        assert!(why.contains("seldon-model"), "{why}");
        // It is the caller and the replica who have to understand it.
        let fields = [GRPC, ("grpc-encoding", encoding), ("seldon-model", "m")];
        let answer = client
            .call(INFER, &fields, compressed.clone())
            .await
            .unwrap();
        assert_eq!(answer.grpc_status(), Some("0"), "{encoding}");
    }
    // What it says is no gzip.
    let fields = [GRPC, ("grpc-encoding", "gzip")];
    let answer = client.call(INFER, &fields, compressed).await.unwrap();
    let (_, code, why) = status_of(&answer);
    assert_eq!(code, "3");
    assert!(why.contains("grpc-encoding"), "{why}");
    assert_eq!(in_flight(&proxy), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_answered_unavailable_is_sent_again_if_the_model_says_so() {
    for (retry, code, streams) in [("", "14", 1), (", retry: { on: [unavailable] }", "0", 2)] {
        let upstream = UpstreamHttp2::start(100);
        let endpoint = format!("'http://{}'", upstream.address);
        let proxy = Tailback::start(&static_server(&endpoint, retry), &[]);
        let client = Client::connect(proxy.address).await.unwrap();
        let fields = [GRPC, ("seldon-model", "m")];
        let answer = client
            .call("/vllm.Engine/unavailable-once", &fields, message("m"))
            .await
            .unwrap();
        assert_eq!(answer.grpc_status(), Some(code), "{retry}");
        assert_eq!(upstream.streams(), streams, "{retry}");
        eventually("its end", || in_flight(&proxy) == 0);
    }
}

#[test]
fn a_stream_that_its_replica_breaks_off_ends_with_a_status() {
    let upstream = UpstreamHttp2::start(100);
    let endpoint = format!("'http://{}'", upstream.address);
    let proxy = Tailback::start(&static_server(&endpoint, ""), &[]);
    let address = proxy.address.to_string();
    run(script(
        "grpc_break_client.py",
        &[&address, "break", "vanish", "cut"],
    ));
    eventually("their end", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "upstream_reset"), 3);
}
