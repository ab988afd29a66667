//! HTTP/1.1 connections with callers or replicas that are slow, disconnect, or answer early.

use std::io::{Read, Write};

use tailback_tests::{
    PATIENCE, eventually,
    http::{Client, request},
    process::{Tailback, resident_bytes},
    upstream::{LARGE, Upstream, never_ready_manifest, proxy, static_manifest},
};

fn client(proxy: &Tailback) -> Client {
    Client::connect(proxy.address).unwrap()
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
    // Of the first one, more is read before it is held.
    for (rest, is_in) in [
        ("content-length: 100000\r\n\r\nsome of it", "receiving"),
        ("transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n", "held"),
        (
            "transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\r\n",
            "held",
        ),
    ] {
        let mut caller = client(&proxy);
        caller.send(format!("{post}{rest}")).unwrap();
        eventually("it to be inside", || proxy.model("m")[is_in] == 1);
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
        .send(request("GET", "/v2/models/m/ok", &[], b""))
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
