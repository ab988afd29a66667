//! HTTP/1.1 on both sides, byte by byte: what is forwarded, and what is changed.

use tailback_tests::{
    eventually,
    http::{Client, field, request},
    process::Tailback,
    upstream::proxy,
};

fn client(proxy: &Tailback) -> Client {
    Client::connect(proxy.address).unwrap()
}

#[test]
fn fields_of_one_hop_stay_and_what_proxies_add_is_added() {
    let (upstream, proxy) = proxy();
    let answer = client(&proxy)
        .call(
            "POST",
            "/v2/models/m/echo",
            &[
                ("connection", "keep-alive, x-mine"),
                ("x-mine", "for this hop"),
                ("te", "trailers"),
                ("proxy-authorization", "Basic c2VjcmV0"),
                ("seldon-internal-model", "other"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-request-id", "seven"),
                (
                    "traceparent",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                ),
            ],
            b"hello",
        )
        .unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.header("x-request-id"), Some("seven"));
    assert_eq!(answer.header("via"), Some("1.1 tailback"));
    assert_eq!(answer.header("x-hop"), None, "the upstream's connection's");
    let heads = upstream.heads();
    let head = &heads[0];
    for gone in [
        "x-mine",
        "te",
        "proxy-authorization",
        "seldon-internal-model",
    ] {
        assert_eq!(field(head, gone), None, "{gone} in {head}");
    }
    let kept = [
        ("host", "test"),
        ("x-forwarded-for", "192.0.2.7, 127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "test"),
        ("via", "1.1 tailback"),
        ("x-request-id", "seven"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("content-length", "5"),
    ];
    for (name, value) in kept {
        assert_eq!(field(head, name), Some(value), "{name} in {head}");
    }
}

#[test]
fn request_without_an_id_gets_one_that_caller_and_replica_share() {
    let (upstream, proxy) = proxy();
    let answer = client(&proxy)
        .call("GET", "/v2/models/m/ok", &[], b"")
        .unwrap();
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let heads = upstream.heads();
    assert_eq!(field(&heads[0], "x-request-id"), Some(id.as_str()));
}

#[test]
fn chunked_bodies_go_through_either_way() {
    let (upstream, proxy) = proxy();
    let mut client = client(&proxy);
    client
        .send(
            "POST /v2/models/m/echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nhello\r\n",
        )
        .unwrap();
    // A body that ends before it is forwarded may be sent with its length.
    eventually("the request's header", || !upstream.heads().is_empty());
    assert_eq!(
        field(&upstream.heads()[0], "transfer-encoding"),
        Some("chunked")
    );
    client.send("6;ext=1\r\n world\r\n0\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().text(), "hello world");
    let answer = client.call("GET", "/v2/models/m/chunks", &[], b"").unwrap();
    assert_eq!(answer.text(), "hello".repeat(5));
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let (_upstream, proxy) = proxy();
    let mut client = client(&proxy);
    let all: Vec<u8> = (0..10)
        .flat_map(|i| request("POST", "/v2/models/m/echo", &[], format!("{i}").as_bytes()))
        .collect();
    client.send(all).unwrap();
    for i in 0..10 {
        assert_eq!(client.receive().unwrap().text(), i.to_string());
    }
    eventually("the end of the last", || proxy.model("m")["inFlight"] == 0);
    assert_eq!(proxy.model("m")["arrived"], 10);
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let (_upstream, proxy) = proxy();
    let mut client = client(&proxy);
    for (path, length) in [("/v2/models/m/ok", "5"), ("/v2/health/live", "13")] {
        let head = client.call("HEAD", path, &[], b"").unwrap();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some(length))
        );
    }
    let next = client.call("GET", "/v2/models/m/ok", &[], b"").unwrap();
    assert_eq!(next.text(), "hello", "the connection goes on");
    eventually("the end of both", || proxy.outcome("m", "success") == 2);
}

#[test]
fn body_that_waits_for_100_continue_is_asked_for_once_a_replica_takes_it() {
    let (_upstream, proxy) = proxy();
    let mut client = client(&proxy);
    client
        .send(
            "POST /v2/models/m/echo HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\
             expect: 100-continue\r\n\r\n",
        )
        .unwrap();
    assert_eq!(client.receive_head().unwrap().status, 100);
    client.send("hello").unwrap();
    assert_eq!(client.receive().unwrap().text(), "hello");
    // Refused before the body, so that 100 is never sent.
    client
        .send(
            "POST /v2/models/unknown/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\
             expect: 100-continue\r\n\r\n",
        )
        .unwrap();
    assert_eq!(client.receive_head().unwrap().status, 404);
}

#[test]
fn header_names_the_model_whatever_the_path() {
    let (upstream, proxy) = proxy();
    let answer = client(&proxy)
        .call(
            "POST",
            "/any/echo?q=a%20b",
            &[("seldon-model", "m")],
            b"hello",
        )
        .unwrap();
    assert_eq!(answer.text(), "hello");
    assert!(upstream.heads()[0].starts_with("POST /any/echo?q=a%20b HTTP/1.1\r\n"));
}

#[test]
fn a_replica_that_goes_over_to_another_protocol_before_the_request_s_end_keeps_nothing() {
    let (_upstream, proxy) = proxy();
    let fields = "host: t\r\nconnection: upgrade\r\nupgrade: x\r\n";
    let framings = [
        format!("content-length: 100000\r\n\r\n{}", "x".repeat(70_000)),
        "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n".to_owned(),
    ];
    for (framing, arrived) in framings.iter().zip(1..) {
        let mut client = client(&proxy);
        let request = format!("GET /v2/models/m/early-switch HTTP/1.1\r\n{fields}{framing}");
        client.send(request).unwrap();
        // Its end, though the caller goes on waiting.
        eventually("the end of the request", || {
            let model = proxy.model("m");
            model["arrived"] == arrived && model["inFlight"] == 0
        });
    }
}
