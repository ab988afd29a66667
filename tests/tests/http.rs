//! HTTP/1.1 on both sides, byte by byte: what goes through, what changes on the
//! way, and what is refused.

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use tailback_tests::{
    PATIENCE, eventually,
    http::{Client, request},
    process::{Tailback, resident_bytes},
    upstream::{LARGE, Upstream, never_ready_manifest, static_manifest},
};

/// A proxy before an upstream that behaves as paths below `/v2/models/m/` say.
fn proxy() -> (Upstream, Tailback) {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    (upstream, proxy)
}

fn client(proxy: &Tailback) -> Client {
    Client::connect(proxy.address).unwrap()
}

/// The value of a field in a head as the upstream got it.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
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
             5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n",
        )
        .unwrap();
    assert_eq!(client.receive().unwrap().text(), "hello world");
    let heads = upstream.heads();
    assert_eq!(field(&heads[0], "transfer-encoding"), Some("chunked"));
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
    // Refused before the body: it is never asked for.
    client
        .send(
            "POST /v2/models/unknown/infer HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\
             expect: 100-continue\r\n\r\n",
        )
        .unwrap();
    assert_eq!(client.receive_head().unwrap().status, 404);
}

#[test]
fn large_bodies_are_streamed_and_a_slow_reader_slows_its_sender() {
    let (_upstream, proxy) = proxy();
    let mut caller = client(&proxy);
    let body: Vec<u8> = (0..LARGE).map(|i| (i % 251) as u8).collect();
    let answer = caller
        .call("POST", "/v2/models/m/echo", &[], &body)
        .unwrap();
    assert!(answer.body == body, "16 MiB there and back, the same bytes");

    // Many that do not read: what is in the proxy for each is bounded.
    let before = resident_bytes(proxy.pid());
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut slow = client(&proxy);
            slow.send(request("GET", "/v2/models/m/large", &[], b""))
                .unwrap();
            assert_eq!(slow.receive_head().unwrap().status, 200);
            slow
        })
        .collect();
    assert_eq!(proxy.model("m")["inFlight"], 16);
    let each = resident_bytes(proxy.pid()).saturating_sub(before) / 16;
    assert!(
        each < 2 << 20,
        "{each} bytes for an answer that nobody reads"
    );
    drop(slow);
    eventually("their end", || proxy.model("m")["inFlight"] == 0);
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
fn connection_that_the_replica_closed_meanwhile_costs_no_request() {
    let (upstream, proxy) = proxy();
    let mut client = client(&proxy);
    for _ in 0..20 {
        let answer = client
            .call("POST", "/v2/models/m/close-after", &[], b"x")
            .unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "bye"));
    }
    assert!(upstream.connections() >= 20);
    eventually("the end of all", || proxy.outcome("m", "success") == 20);
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
fn connections_over_the_limit_are_told_so() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_MAX_CONNECTIONS", "2")],
    );
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

#[test]
fn request_that_breaks_its_replica_is_not_handed_to_every_connection() {
    let (upstream, proxy) = proxy();
    // Many warm connections.
    let mut callers: Vec<_> = (0..12).map(|_| client(&proxy)).collect();
    for caller in &mut callers {
        let slow = request("GET", "/v2/models/m/late", &[], b"");
        caller.send(slow).unwrap();
    }
    for caller in &mut callers {
        assert_eq!(caller.receive().unwrap().status, 200);
    }
    let before = upstream.heads().len();
    let answer = client(&proxy)
        .call("POST", "/v2/models/m/reset", &[], b"poison")
        .unwrap();
    assert_eq!(answer.status, 502);
    let times = upstream.heads().len() - before;
    assert!(times <= 2, "it was sent {times} times");
}

#[test]
fn replica_has_the_response_timeout_also_after_a_streamed_body() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_BODY_TIMEOUT_SECONDS", "0.3")],
    );
    let body = vec![b'x'; 200_000];
    let answer = client(&proxy)
        .call("POST", "/v2/models/m/late", &[], &body)
        .unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
}

#[test]
fn caller_that_sends_no_more_of_its_body_takes_no_slot() {
    let upstream = Upstream::start();
    let manifest = upstream
        .manifest(&["m"])
        .replace("spec: { static", "spec: { concurrency: 1, static");
    let proxy = Tailback::start(&manifest, &[]);
    let post = "POST /v2/models/m/infer/sink HTTP/1.1\r\nhost: t\r\n";
    let mut stopped: Vec<_> = [
        "content-length: 100\r\n\r\nhalf",
        "content-length: 100000\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n",
    ]
    .iter()
    .map(|rest| {
        let mut caller = client(&proxy);
        caller.send(format!("{post}{rest}")).unwrap();
        caller
    })
    .collect();
    eventually("all inside", || proxy.model("m")["inFlight"] == 3);
    let answer = client(&proxy)
        .call("POST", "/v2/models/m/infer/ok", &[], b"x")
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.heads().len(), 1);
    // They are served when they go on.
    stopped[0].send(vec![b'x'; 96]).unwrap();
    assert_eq!(stopped[0].receive().unwrap().text(), "100");
    stopped[1].send(vec![b'x'; 100_000]).unwrap();
    assert_eq!(stopped[1].receive().unwrap().text(), "100000");
    stopped[2].send("3\r\nabc\r\n0\r\n\r\n").unwrap();
    assert_eq!(stopped[2].receive().unwrap().text(), "3");
}

#[test]
fn caller_that_leaves_while_held_is_noticed_within_its_body_too() {
    let proxy = Tailback::start(&never_ready_manifest("m", ""), &[]);
    let post = "POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\n";
    for rest in [
        "content-length: 100000\r\n\r\nsome of it",
        "transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n",
        "transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\r\n",
    ] {
        let mut caller = client(&proxy);
        caller.send(format!("{post}{rest}")).unwrap();
        eventually("it to be held", || proxy.model("m")["held"] == 1);
        drop(caller);
        eventually("its end", || proxy.model("m")["inFlight"] == 0);
    }
    assert_eq!(proxy.outcome("m", "caller_gone"), 3);
}

#[test]
fn answer_that_comes_before_a_large_body_is_read_ends_both() {
    let (upstream, proxy) = proxy();
    let head =
        format!("POST /v2/models/m/early HTTP/1.1\r\nhost: t\r\ncontent-length: {LARGE}\r\n\r\n");
    // One that waits for an answer, and one that sends all before it looks.
    for sent in [100_000, LARGE] {
        let mut caller = client(&proxy);
        caller.send(&head).unwrap();
        let _ = caller.send(vec![b'x'; sent]);
        assert_eq!(caller.receive().unwrap().text(), "early");
        assert!(caller.is_closed());
        eventually("its end", || proxy.model("m")["inFlight"] == 0);
    }
    assert_eq!(proxy.outcome("m", "success"), 2);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn connections_to_a_replica_that_is_no_more_configured_are_closed_without_a_request() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = gone.local_addr().unwrap();
    let proxy = Tailback::start(&static_manifest("up", at, &["m"]), &[]);
    let mut caller = client(&proxy);
    caller
        .send(request("GET", "/v2/models/m", &[], b""))
        .unwrap();
    let (mut replica, _) = gone.accept().unwrap();
    let _ = replica.read(&mut [0; 4096]).unwrap();
    replica
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    assert_eq!(caller.receive().unwrap().status, 200);
    let other = Upstream::start();
    proxy.rewrite(&other.manifest(&["m"]));
    replica.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(replica.read(&mut [0]).unwrap(), 0);
}
