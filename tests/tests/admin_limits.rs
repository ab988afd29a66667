//! What clients of the admin address may cost: each kind is bounded, and health answers anyway.

use std::{io::Write, net::TcpStream};

use tailback_tests::{
    eventually,
    http::{Client, call, request},
    process::Tailback,
    upstream::Upstream,
};

/// So many connections to the admin address, each with `request` sent, and nothing read.
fn readers(proxy: &Tailback, request: &str, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(proxy.admin).unwrap();
        // It may be closed already, for a later one.
        let _ = stream.write_all(request.as_bytes());
        stream
    };
    (0..count).map(connect).collect()
}

#[test]
fn health_answers_whatever_else_goes_on_at_the_admin_address() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let mut crowd = Vec::new();
    for (request, count) in [
        ("", 280),
        ("GET /ledgers HTTP/1.1\r\nhost: x\r\n\r\n", 140),
        ("GET /events HTTP/1.1\r\nhost: x\r\n\r\n", 40),
        ("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", 40),
        ("GET /models/m/logs?follow HTTP/1.1\r\nhost: x\r\n\r\n", 40),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 140),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", 140),
        ("GET /", 140),
    ] {
        crowd.extend(readers(&proxy, request, count));
        for path in ["/healthz", "/readyz"] {
            let answer = call(proxy.admin, "GET", path, b"").unwrap();
            assert_eq!(answer.status, 200, "{path} beside {request:?}");
        }
    }
    drop(crowd);
    eventually("pages again", || {
        call(proxy.admin, "GET", "/models", b"").is_ok_and(|answer| answer.status == 200)
    });
    let closed = proxy.metric("tailback_admin_connections_closed_total");
    let busy = proxy.metric("tailback_admin_requests_refused_total{reason=\"busy\"}");
    assert!(closed > 0.0 && busy > 0.0, "{closed} {busy}");
}

#[test]
fn no_kind_of_admin_client_keeps_another_from_its_answer() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let events = "GET /events HTTP/1.1\r\nhost: x\r\n\r\n";
    let _crowd = readers(&proxy, events, 40);
    let status = |path: &str| {
        let mut client = Client::connect(proxy.admin).unwrap();
        client.send(request("GET", path, &[], b"")).unwrap();
        client.receive_head().unwrap()
    };
    eventually("too many", || status("/events").status == 503);
    for path in ["/metrics", "/models", "/ledgers"] {
        assert_eq!(status(path).status, 200, "{path}");
    }
}

#[test]
fn whoever_guesses_the_admin_token_is_slowed_down_counted_and_logged_once() {
    let upstream = Upstream::start();
    let variables = [("TAILBACK_ADMIN_TOKEN", "0123456789abcdef")];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &variables);
    let mut client = Client::connect(proxy.admin).unwrap();
    let guess = |number: u32| {
        let value = format!("Bearer {number:016}");
        let headers = [("authorization", &*value)];
        request("POST", "/models/m/pause", &headers, b"")
    };
    let (mut wrong, mut slowed) = (0.0, 0.0);
    eventually("it is slowed down", || {
        // All at once.
        const GUESSES: u32 = 300;
        let all: Vec<_> = (0..GUESSES).flat_map(guess).collect();
        client.send(all).unwrap();
        for _ in 0..GUESSES {
            let answer = client.receive().unwrap();
            match answer.status {
                401 => wrong += 1.0,
                429 => slowed += f64::from(u8::from(answer.header("retry-after").is_some())),
                _ => panic!("{answer:?}"),
            }
        }
        slowed > 0.0
    });
    let refused = |reason: &str| {
        proxy.metric(&format!(
            "tailback_admin_requests_refused_total{{reason=\"{reason}\"}}"
        ))
    };
    assert_eq!(refused("wrong_token"), wrong);
    assert_eq!(refused("slowed"), slowed);
    assert!(wrong > 99.0, "{wrong}");
    eventually("a line", || proxy.log().contains("wrong tokens"));
    assert_eq!(proxy.log().matches("wrong tokens").count(), 1);
    // Those without a token are told so as before, and nothing else is slower.
    assert_eq!(
        call(proxy.admin, "POST", "/models/m/pause", b"")
            .unwrap()
            .status,
        401
    );
    assert_eq!(proxy.model("m")["replicas"]["paused"], false);
}
