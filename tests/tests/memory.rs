//! What callers that do nothing cost in memory: real connections, and the proxy's resident size.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use http::Method;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use tailback_tests::{
    eventually,
    http::{Client, request},
    http2,
    process::Tailback,
    upstream::{Upstream, never_ready_manifest},
};

const KIB: u64 = 1024;
/// After this, an idle connection rests.
const REST: Duration = Duration::from_secs(5);
/// jemalloc gives pages back some ten seconds after they were last used.
const SETTLED: Duration = Duration::from_secs(60);

/// Waits until the proxy has at most so much more than `before`, in bytes.
fn grows_by_at_most(most: u64, before: u64, proxy: &Tailback) {
    let end = Instant::now() + SETTLED;
    let mut grown;
    while {
        grown = proxy.resident().saturating_sub(before);
        grown > most && Instant::now() < end
    } {
        thread::sleep(Duration::from_millis(100));
    }
    assert!(
        grown <= most,
        "{} KiB more, at most {}",
        grown / KIB,
        most / KIB
    );
}

/// A proxy that has been used, so that what is made once is there.
fn used(upstream: &Upstream) -> Tailback {
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[("TAILBACK_WORKERS", "1")]);
    for _ in 0..50 {
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client
            .call("POST", "/v2/models/m/mebibyte", &[], b"x")
            .unwrap();
        assert_eq!(answer.status, 200);
    }
    proxy
}

#[test]
fn idle_connections_keep_no_buffers_and_neither_does_the_allocator() {
    const CONNECTIONS: u64 = 800;
    let upstream = Upstream::start();
    let proxy = used(&upstream);
    let before = proxy.resident();
    let connect = || {
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client.call("POST", "/v2/models/m/ok", &[], b"x").unwrap();
        assert_eq!(answer.status, 200);
        client
    };
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    // What they give back once they rest, the allocator gives back in its turn.
    thread::sleep(REST);
    grows_by_at_most(CONNECTIONS * 14 * KIB, before, &proxy);
    // They have rested, and go on: with one request, with two at once, and with one in two pieces.
    for (i, client) in clients.iter_mut().enumerate() {
        let one = request("POST", "/v2/models/m/echo", &[], format!("{i}").as_bytes());
        match i % 3 {
            0 => client.send(&one).unwrap(),
            1 => client.send([&one[..], &one[..]].concat()).unwrap(),
            _ => {
                client.send(&one[..7]).unwrap();
                client.send(&one[7..]).unwrap();
            }
        }
        for _ in 0..if i % 3 == 1 { 2 } else { 1 } {
            let answer = client.receive().unwrap();
            assert_eq!((answer.status, answer.text()), (200, i.to_string()));
        }
    }
}

#[test]
fn callers_that_read_nothing_cost_little_each() {
    const CALLERS: u64 = 300;
    let upstream = Upstream::start();
    let proxy = used(&upstream);
    let before = proxy.resident();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut caller = TcpStream::connect(proxy.address).unwrap();
        setsockopt(&caller, RcvBuf, &4096).unwrap();
        caller
            .write_all(&request("POST", "/v2/models/m/mebibyte", &[], b"x"))
            .unwrap();
        callers.push(caller);
    }
    // Each has the beginning of its answer.
    for caller in &mut callers {
        caller.read_exact(&mut [0; 12]).unwrap();
    }
    assert_eq!(proxy.model("m")["inFlight"], CALLERS, "none is over");
    grows_by_at_most(CALLERS * 128 * KIB, before, &proxy);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_held_requests_by_http2_stay_within_the_budget() {
    const BUDGET: u64 = 16 * 1024 * KIB;
    const CONNECTIONS: u64 = 20;
    let proxy = Tailback::start(
        &never_ready_manifest("m", ", hold: { queue: 5000 }"),
        &[
            ("TAILBACK_HOLD_MAX_BYTES", &BUDGET.to_string()),
            ("TAILBACK_WORKERS", "1"),
        ],
    );
    let before = proxy.resident();
    let (mut clients, mut held) = (Vec::new(), Vec::new());
    // What the windows of all their streams would take: 500 MiB.
    for _ in 0..CONNECTIONS {
        let client = http2::Client::connect(proxy.address).await.unwrap();
        for _ in 0..100 {
            let (answer, mut body) = client
                .open(Method::POST, "/v2/models/m/infer", &[], false)
                .await
                .unwrap();
            body.send_data(vec![b'x'; 256 * 1024].into(), false)
                .unwrap();
            held.push((answer, body));
        }
        clients.push(client);
    }
    // Some are refused: their bodies do not fit into the budget of held requests, either.
    eventually("all to have come", || {
        proxy.model("m")["arrived"] == 100 * CONNECTIONS
    });
    // In a debug build a held request has some 40 KiB besides.
    let most = BUDGET + CONNECTIONS * 100 * 64 * KIB;
    grows_by_at_most(most, before, &proxy);
}
