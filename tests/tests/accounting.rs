//! Every request is counted in once and out once, however it ends.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use tailback_tests::{
    eventually,
    http::{Client, request},
    process::Tailback,
    upstream::{Upstream, never_ready_manifest, static_manifest},
};

/// What a caller does, and the status that it should get; none if it disconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Chunks,
    Refused,
    Broken,
    GoneBeforeBody,
    GoneInBody,
    GoneWaiting,
    GoneInAnswer,
    GoneWhileHeld,
    Reset,
    Half,
    Slow,
    Stalled,
    Dead,
    HeldTooLong,
}
use Kind::*;

const KINDS: [Kind; 15] = [
    Plain,
    Chunks,
    Refused,
    Broken,
    GoneBeforeBody,
    GoneInBody,
    GoneWaiting,
    GoneInAnswer,
    GoneWhileHeld,
    Reset,
    Half,
    Slow,
    Stalled,
    Dead,
    HeldTooLong,
];

impl Kind {
    /// The requested model, and the behaviour of the upstream.
    fn target(self) -> (&'static str, &'static str) {
        match self {
            Plain | GoneBeforeBody | GoneInBody => ("m", "ok"),
            Chunks => ("m", "chunks"),
            Refused => ("m", "refuse"),
            Broken => ("m", "fail"),
            GoneWaiting | Slow => ("m", "hang"),
            GoneInAnswer | Stalled => ("m", "stall"),
            Reset => ("m", "reset"),
            Half => ("m", "half"),
            Dead => ("dead", "ok"),
            GoneWhileHeld | HeldTooLong => ("never", "ok"),
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Plain | Chunks => "success",
            Refused => "refused",
            Broken => "server_error",
            GoneBeforeBody | GoneInBody | GoneWaiting | GoneInAnswer | GoneWhileHeld => {
                "caller_gone"
            }
            Reset | Half => "upstream_reset",
            Slow | Stalled => "upstream_slow",
            Dead => "unreachable",
            HeldTooLong => "held_too_long",
        }
    }

    /// Sends the request and checks the result.
    fn run(self, proxy: SocketAddr) {
        let (model, manner) = self.target();
        let path = format!("/v2/models/{model}/infer/{manner}");
        let mut client = Client::connect(proxy).unwrap();
        let post = request("POST", &path, &[], &[b'x'; 340]);
        match self {
            GoneBeforeBody => {
                let head =
                    format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 340\r\n\r\n");
                client.send(head).unwrap();
            }
            GoneInBody => {
                let head =
                    format!("POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n");
                client.send(head).unwrap();
                client.send([b'x'; 5000]).unwrap();
            }
            GoneWaiting | GoneWhileHeld => client.send(post).unwrap(),
            GoneInAnswer => {
                client.send(post).unwrap();
                assert_eq!(client.receive_head().unwrap().status, 200);
            }
            Half | Stalled => {
                client.send(post).unwrap();
                // The replica may have closed the connection before the head was sent.
                if let Ok(head) = client.receive_head() {
                    assert_eq!(head.status, 200);
                }
                assert!(
                    client.is_closed(),
                    "{self:?}: the answer is incomplete, and that has to be seen"
                );
            }
            Plain | Chunks | Refused | Broken | Reset | Slow | Dead | HeldTooLong => {
                client.send(post).unwrap();
                let expected = match self {
                    Refused => 400,
                    Broken => 500,
                    Reset | Dead => 502,
                    Slow => 504,
                    HeldTooLong => 503,
                    _ => 200,
                };
                let response = client.receive().unwrap();
                assert_eq!(response.status, expected, "{self:?}: {}", response.text());
            }
        }
    }
}

#[test]
fn thousand_requests_with_aborts_leave_nothing_in_flight() {
    let upstream = Upstream::start();
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let manifests = format!(
        "{}---\n{}---\n{}",
        upstream.manifest(&["m"]),
        static_manifest("gone", nobody, &["dead"]),
        never_ready_manifest("never", ", hold: { seconds: 1 }")
    );
    let proxy = Tailback::start(
        &manifests,
        &[
            ("TAILBACK_RESPONSE_TIMEOUT_SECONDS", "0.5"),
            ("TAILBACK_BODY_TIMEOUT_SECONDS", "0.5"),
            ("TAILBACK_STREAM_IDLE_TIMEOUT_SECONDS", "0.5"),
        ],
    );

    let seed = std::env::var("SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let order: Vec<Kind> = (0..1000)
        .map(|_| KINDS[random.usize(..KINDS.len())])
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let ran = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| {
                while let Some(&kind) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    ran.fetch_add(1, Ordering::Relaxed);
                    if let Err(panic) = std::panic::catch_unwind(|| kind.run(proxy.address)) {
                        failures.lock().unwrap().push((kind, panic));
                    }
                }
            });
        }
    });
    let failures: Vec<_> = failures
        .into_inner()
        .unwrap()
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert!(failures.is_empty(), "these went wrong: {failures:?}");

    let count =
        |filter: &dyn Fn(Kind) -> bool| order.iter().filter(|&&kind| filter(kind)).count() as u64;
    for model in ["m", "dead", "never"] {
        let sent = count(&|kind| kind.target().0 == model);
        eventually("the end of every request", || {
            proxy.model(model)["inFlight"] == 0
        });
        let state = proxy.model(model);
        assert_eq!(state["arrived"], state["completed"], "{model}");
        assert_eq!(state["held"], 0, "{model}");
        let lag = proxy.metric(&format!("tailback_model_lag{{model=\"{model}\"}}"));
        assert_eq!(lag, 0.0);
        // A caller that has disconnected before its head is read never arrives. All others
        // arrive, and end as expected.
        let gone = count(&|k| k.target().0 == model && k.outcome() == "caller_gone");
        let arrived = state["arrived"].as_u64().unwrap();
        assert!(
            (sent - gone..=sent).contains(&arrived),
            "{model}: {arrived} of {sent}, {gone} gone"
        );
        assert_eq!(
            proxy.outcome(model, "caller_gone"),
            gone - (sent - arrived),
            "{model}"
        );
        for kind in KINDS.into_iter().filter(|k| k.outcome() != "caller_gone") {
            let expected = count(&|k| k.target().0 == model && k.outcome() == kind.outcome());
            let outcome = kind.outcome();
            assert_eq!(
                proxy.outcome(model, outcome),
                expected,
                "{model}: {outcome}"
            );
        }
    }
}

#[test]
fn a_full_queue_and_a_slow_caller_get_an_error() {
    let upstream = Upstream::start();
    let manifests = format!(
        "{}---\n{}",
        upstream.manifest(&["m"]),
        never_ready_manifest("never", ", hold: { queue: 2, seconds: 60 }")
    );
    let proxy = Tailback::start(&manifests, &[("TAILBACK_BODY_TIMEOUT_SECONDS", "0.3")]);
    let mut held: Vec<_> = (0..2)
        .map(|_| Client::connect(proxy.address).unwrap())
        .collect();
    for client in &mut held {
        client
            .send(request("POST", "/v2/models/never/infer", &[], b"x"))
            .unwrap();
    }
    eventually("two held requests", || proxy.model("never")["held"] == 2);
    let mut third = Client::connect(proxy.address).unwrap();
    let refused = third
        .call("POST", "/v2/models/never/infer", &[], b"x")
        .unwrap();
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert!(refused.text().contains("\"error\""), "{}", refused.text());
    // A caller that disconnects makes room.
    drop(held.pop());
    eventually("one held request", || proxy.model("never")["held"] == 1);

    let mut slow = Client::connect(proxy.address).unwrap();
    slow.send("POST /v2/models/m/infer/ok HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhalf")
        .unwrap();
    let answer = slow.receive().unwrap();
    assert_eq!(answer.status, 408, "{}", answer.text());
    eventually("its end", || proxy.outcome("m", "caller_slow") == 1);
    assert_eq!(proxy.outcome("never", "queue_full"), 1);
}

#[test]
fn answer_counts_until_its_last_byte_is_out() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send(request("GET", "/v2/models/m/large", &[], b""))
        .unwrap();
    assert_eq!(client.receive_head().unwrap().status, 200);
    // The caller stops reading: the response fills the buffers and waits.
    for _ in 0..20 {
        assert_eq!(proxy.model("m")["inFlight"], 1);
    }
    drop(client);
    eventually("its end", || proxy.model("m")["inFlight"] == 0);
}
