//! What clients of the admin address may cost: each kind is bounded, and health answers anyway.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use http::Method;
use tailback_tests::{
    PATIENCE, eventually,
    http::{Client, call, request},
    http2,
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

/// Tailback with `count` models, whose pages are large.
fn with_models(count: usize, variables: &[(&str, &str)]) -> (Upstream, Tailback) {
    let upstream = Upstream::start();
    let names: Vec<_> = (0..count).map(|number| format!("m{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let proxy = Tailback::start(&upstream.manifest(&names), variables);
    (upstream, proxy)
}

/// An HTTP/2 frame on `stream`, with all its flags that end something.
fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let flags = if stream == 0 { 0 } else { 5 };
    let head = [
        length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
    ];
    [&head[..], payload].concat()
}

#[test]
fn health_is_answered_between_two_large_pages() {
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    let (_upstream, proxy) = with_models(100, &[]);
    // All at once, in frames of our own: they show the order in which the answers began.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, &[]));
    let mut paths = vec!["/metrics"; 10];
    paths.push("/healthz");
    for (number, path) in (0..).zip(&paths) {
        // By HPACK: GET and http from the static table, then a path and an authority (RFC 7541, 6).
        let path = [&[4, path.len() as u8][..], path.as_bytes()].concat();
        let head = [&[0x82, 0x86][..], &path, &[1, 1, b'x']].concat();
        bytes.extend(frame(HEADERS, 2 * number + 1, &head));
    }
    let mut stream = TcpStream::connect(proxy.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut answered = Vec::new();
    let health = 2 * (paths.len() as u8 - 1) + 1;
    while answered.last() != Some(&health) {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).unwrap();
        if head[3] == HEADERS {
            answered.push(head[8]);
        }
    }
    assert!(answered.len() < 5, "health came after {answered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_nobody_reads_have_a_part_of_the_memory() {
    // A sixteenth of the memory is 4 MiB.
    let (_upstream, proxy) = with_models(100, &[("TAILBACK_MEMORY_MAX", "64Mi")]);
    let page = proxy.metrics().len();
    // With windows that are closed, nothing of an answer but its head is sent.
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let client = http2::Client::with(proxy.admin, builder).await.unwrap();
    let mut answers = Vec::new();
    let refused = loop {
        let (answer, _) = client
            .open(Method::GET, "/metrics", &[], true)
            .await
            .unwrap();
        let answer = answer.await.unwrap();
        match answer.status().as_u16() {
            200 => answers.push(answer),
            503 => break answer,
            other => panic!("{other}"),
        }
    };
    let unread = answers.len() * page;
    assert!(
        unread > 2 << 20 && unread < 5 << 20,
        "{} pages of {page} bytes",
        answers.len()
    );
    // It is not the limit on their number that was reached.
    assert_eq!(refused.headers()["retry-after"], "5");
    let status = |path| call(proxy.admin, "GET", path, b"").unwrap().status;
    assert_eq!(status("/metrics"), 503);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(path), 200, "{path}");
    }
    drop((client, answers));
    eventually("pages again", || status("/metrics") == 200);
    assert!(proxy.metric("tailback_admin_requests_refused_total{reason=\"busy\"}") > 1.0);
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
