//! Hostile HTTP/1.1 requests: what is refused and reaches no replica.

use std::net::Shutdown;

use tailback_tests::{
    eventually,
    http::{Client, field},
    process::Tailback,
    upstream::{Upstream, proxy},
};

fn client(proxy: &Tailback) -> Client {
    Client::connect(proxy.address).unwrap()
}

#[test]
fn what_is_not_http_or_is_ambiguous_is_refused_and_reaches_no_replica() {
    let (upstream, proxy) = proxy();
    let path = "/v2/models/m/ok";
    let cases = [
        ("no Host", format!("GET {path} HTTP/1.1\r\n\r\n"), 400),
        (
            "two Hosts",
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
            400,
        ),
        (
            "two lengths",
            format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"
            ),
            400,
        ),
        (
            "a signed length",
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx"),
            400,
        ),
        (
            "a transfer coding that does not end the body",
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\nx"),
            400,
        ),
        (
            "a space before the colon",
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-a : 1\r\n\r\n"),
            400,
        ),
        (
            "a folded field",
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-a: 1\r\n 2\r\n\r\n"),
            400,
        ),
        (
            "no method",
            format!("{path} HTTP/1.1\r\nhost: a\r\n\r\n"),
            400,
        ),
        (
            "a header block of over 16 KiB",
            format!(
                "GET {path} HTTP/1.1\r\nhost: a\r\nx-a: {}\r\n\r\n",
                "x".repeat(17_000)
            ),
            431,
        ),
        (
            "over 100 fields",
            format!(
                "GET {path} HTTP/1.1\r\nhost: a\r\n{}\r\n",
                "x-a: 1\r\n".repeat(100)
            ),
            431,
        ),
        (
            "CONNECT",
            "CONNECT 127.0.0.1:9 HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n".to_owned(),
            405,
        ),
        (
            "two models",
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nseldon-model: m\r\nseldon-model: n\r\n\r\n"),
            400,
        ),
        (
            "no model",
            "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            404,
        ),
        (
            "an unknown model",
            "GET /v2/models/other HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            404,
        ),
    ];
    for (what, bytes, expected) in cases {
        let mut client = client(&proxy);
        client.send(bytes).unwrap();
        assert_eq!(client.receive_head().unwrap().status, expected, "{what}");
    }
    assert_eq!(upstream.heads(), Vec::<String>::new());
    assert_eq!(proxy.model("m")["arrived"], 0);
    // No series came of any of it.
    assert!(!proxy.metrics().contains("other"));
}

#[test]
fn chunks_win_over_a_length_and_nothing_is_smuggled() {
    let (upstream, proxy) = proxy();
    let mut client = client(&proxy);
    client
        .send(
            "POST /v2/models/m/echo HTTP/1.1\r\nhost: t\r\ncontent-length: 40\r\n\
             transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
             GET /v2/models/m/smuggled HTTP/1.1\r\nhost: t\r\n\r\n",
        )
        .unwrap();
    let first = client.receive().unwrap();
    if first.status == 200 {
        assert_eq!(first.text(), "hello");
    } else {
        assert_eq!(first.status, 400);
    }
    for head in upstream.heads() {
        let both =
            field(&head, "content-length").is_some() && field(&head, "transfer-encoding").is_some();
        assert!(!both, "{head}");
    }
}

#[test]
fn destination_never_comes_from_the_request() {
    let (upstream, proxy) = proxy();
    let elsewhere = Upstream::start();
    let mut client = client(&proxy);
    let target = format!("http://{}/v2/models/m/ok", elsewhere.address);
    let answer = client
        .call("GET", &target, &[("host", "elsewhere")], b"")
        .unwrap();
    // `call` adds a Host of its own: with two, nothing is forwarded at all.
    assert_eq!(answer.status, 400);
    client
        .send(format!("GET {target} HTTP/1.1\r\nhost: elsewhere\r\n\r\n"))
        .unwrap();
    assert_eq!(client.receive().unwrap().status, 200);
    assert_eq!((upstream.heads().len(), elsewhere.heads().len()), (1, 0));
    assert!(upstream.heads()[0].starts_with("GET /v2/models/m/ok HTTP/1.1\r\n"));
}

#[test]
fn header_block_that_does_not_arrive_ends_the_connection() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[
            ("TAILBACK_HEADER_TIMEOUT_SECONDS", "0.2"),
            ("TAILBACK_KEEP_ALIVE_SECONDS", "0.2"),
        ],
    );
    let mut slow = client(&proxy);
    slow.send("GET /v2/models/m/ok HTTP/1.1\r\nhost:").unwrap();
    assert!(slow.is_closed());
    let mut idle = client(&proxy);
    assert_eq!(idle.call("GET", "/v2", &[], b"").unwrap().status, 200);
    assert!(idle.is_closed());
    let gone = client(&proxy);
    gone.stream().shutdown(Shutdown::Write).unwrap();
    eventually("no connection", || {
        proxy.metric("tailback_downstream_connections") == 0.0
    });
}

#[test]
fn connections_over_the_limit_get_a_refusal() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_MAX_CONNECTIONS", "2")],
    );
    // Whoever looked whether it serves has gone.
    eventually("no connection", || {
        proxy.metric("tailback_downstream_connections") == 0.0
    });
    let mut taken: Vec<_> = (0..2).map(|_| client(&proxy)).collect();
    for client in &mut taken {
        let answer = client.call("GET", "/v2/models/m/ok", &[], b"").unwrap();
        assert_eq!(answer.status, 200);
    }
    let refused = client(&proxy).receive().unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let why: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert!(why["error"].as_str().unwrap().contains("connections"));
    drop(taken);
    eventually("room again", || {
        client(&proxy)
            .call("GET", "/v2/models/m/ok", &[], b"")
            .is_ok_and(|a| a.status == 200)
    });
}
