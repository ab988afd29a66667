//! HTTP/2 in and out: every stream is counted by itself, and nothing remains.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Method;
use tailback_tests::{
    PATIENCE, eventually, eventually_async,
    http2::{Client, piece, receive},
    process::Tailback,
    upstream::{LARGE, Upstream},
    upstream2::Upstream2,
};

/// A manifest of the model `m` on a server that is spoken to by `protocol`.
fn manifest(upstream: &Upstream2, protocol: &str) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    format!(
        "{api}\nkind: Server\nmetadata: {{ name: up }}\nspec:\n  protocol: {protocol}\n  \
         static: {{ endpoints: [\"http://{}\"] }}\n---\n\
         {api}\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: up }}\n",
        upstream.address
    )
}

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_spoken_on_one_port_and_to_either_upstream() {
    let (one, two) = (Upstream::start(), Upstream2::start(100));
    for (manifest, forwarded) in [
        (one.manifest(&["m"]), "HTTP/1.1"),
        (manifest(&two, "h2c"), "HTTP/2"),
    ] {
        let proxy = Tailback::start(&manifest, &[]);
        let client = Client::connect(proxy.address).await.unwrap();
        let body = Bytes::from(vec![b'x'; 300_000]);
        let answer = client
            .call(
                "/v2/models/m/infer/echo",
                &[("cookie", "a=1"), ("cookie", "b=2")],
                body.clone(),
            )
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{forwarded}");
        assert_eq!(answer.body, body, "{forwarded}");
        assert_eq!(answer.headers["via"], "2 tailback");
        assert!(answer.headers.contains_key("date"));
        let old =
            tailback_tests::http::call(proxy.address, "POST", "/v2/models/m/infer/echo", b"hi");
        assert_eq!(old.unwrap().text(), "hi", "{forwarded}");
        eventually("the end of both", || in_flight(&proxy) == 0);
        assert_eq!(proxy.outcome("m", "success"), 2);
    }
    let head = one.heads()[0].to_ascii_lowercase();
    for field in [
        "host: test\r\n",
        "cookie: a=1; b=2\r\n",
        "via: 2 tailback\r\n",
    ] {
        assert!(head.contains(field), "{head}");
    }
    let heads = two.heads();
    assert_eq!(heads[0].uri().authority().unwrap(), "test");
    assert_eq!(heads[0].headers()["x-forwarded-host"], "test");
    assert!(!heads[0].headers().contains_key("host"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_models_bad_hosts_and_too_many_fields_are_refused() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let answer = client.call("/v2/models/no/infer", &[], "x").await.unwrap();
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("\\\"no\\\""), "{}", answer.text());
    let other_host = [("host", "elsewhere")];
    let answer = client
        .call("/v2/models/m/infer", &other_host, "x")
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
    let many: Vec<_> = (0..101).map(|_| ("x-a", "b")).collect();
    let answer = client.call("/v2/models/m/infer", &many, "x").await.unwrap();
    assert_eq!(answer.status, 431);
    let large = "x".repeat(17 * 1024);
    let answer = client
        .call("/v2/models/m/infer", &[("x-large", &large)], "x")
        .await;
    assert!(
        answer.as_ref().map_or(true, |a| a.status == 431),
        "{answer:?}"
    );
    assert_eq!(proxy.model("m")["arrived"], 0);
}

/// How a stream ends before its time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Abort {
    ResetBeforeBody,
    ResetInBody,
    ResetWaiting,
    ResetInAnswer,
    ConnectionWaiting,
    ConnectionInAnswer,
    ReplicaResets,
    None,
}

async fn run(proxy: &Tailback, abort: Abort) {
    use Abort::*;
    let client = Client::connect(proxy.address).await.unwrap();
    let manner = match abort {
        ResetWaiting | ConnectionWaiting => "hang",
        ResetInAnswer | ConnectionInAnswer => "stall",
        ReplicaResets => "reset",
        ResetBeforeBody | ResetInBody | None => "ok",
    };
    let path = format!("/v2/models/m/infer/{manner}");
    let (response, mut stream) = client.open(Method::POST, &path, &[], false).await.unwrap();
    match abort {
        ResetBeforeBody => stream.send_reset(Reason::CANCEL),
        ResetInBody => {
            stream.send_data("half".into(), false).unwrap();
            stream.send_reset(Reason::CANCEL);
        }
        _ => stream.send_data("all".into(), true).unwrap(),
    }
    match abort {
        ResetWaiting => {
            eventually_async("the request", || in_flight(proxy) > 0).await;
            stream.send_reset(Reason::CANCEL);
        }
        ConnectionWaiting => {
            eventually_async("the request", || in_flight(proxy) > 0).await;
        }
        ResetInAnswer | ConnectionInAnswer => {
            let mut body = response.await.unwrap().into_body();
            let first = piece(&mut body).await.unwrap().unwrap();
            assert_eq!(first, "hello");
            if abort == ResetInAnswer {
                stream.send_reset(Reason::CANCEL);
            }
        }
        ReplicaResets => assert_eq!(receive(response).await.unwrap().status, 502),
        None => assert_eq!(receive(response).await.unwrap().text(), "hello"),
        ResetBeforeBody | ResetInBody => {}
    }
    // So that what was reset goes out before the connection closes.
    tokio::task::yield_now().await;
    let after = client.call("/v2/models/m/infer/ok", &[], "x").await;
    if !matches!(abort, ConnectionWaiting | ConnectionInAnswer) {
        assert_eq!(after.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn aborted_streams_leave_nothing_in_flight() {
    use Abort::*;
    let upstream = Upstream2::start(20);
    let proxy = std::sync::Arc::new(Tailback::start(&manifest(&upstream, "h2c"), &[]));
    let kinds = [
        ResetBeforeBody,
        ResetInBody,
        ResetWaiting,
        ResetInAnswer,
        ConnectionWaiting,
        ConnectionInAnswer,
        ReplicaResets,
        None,
    ];
    let seed = fastrand::u64(..);
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let order: Vec<Abort> = (0..240)
        .map(|_| kinds[random.usize(..kinds.len())])
        .collect();
    for batch in order.chunks(24) {
        let mut running = tokio::task::JoinSet::new();
        for &abort in batch {
            let proxy = proxy.clone();
            running.spawn(async move { run(&proxy, abort).await });
        }
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
    }
    eventually("the end of all", || in_flight(&proxy) == 0);
    let state = proxy.model("m");
    assert_eq!(state["arrived"], state["completed"]);
    // Each is told to the replica, too.
    eventually("nothing left at the replica", || upstream.active() == 0);
    let resets = order.iter().filter(|a| **a == ReplicaResets).count() as u64;
    assert_eq!(proxy.outcome("m", "upstream_reset"), resets);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_connections_within_the_replicas_bound() {
    let upstream = Upstream2::start(4);
    let proxy = Tailback::start(&manifest(&upstream, "h2c"), &[("TAILBACK_WORKERS", "1")]);
    let client = Client::connect(proxy.address).await.unwrap();
    // The first tells how many there may be.
    client
        .call("/v2/models/m/infer/ok", &[], "x")
        .await
        .unwrap();
    let mut open = Vec::new();
    for _ in 0..12 {
        open.push(
            client
                .open(Method::GET, "/v2/models/m/hang", &[], true)
                .await
                .unwrap(),
        );
    }
    eventually("all at the replica", || upstream.streams() == 13);
    assert_eq!(in_flight(&proxy), 12);
    assert_eq!(upstream.connections(), 3);
    drop(open);
    eventually("their end", || in_flight(&proxy) == 0);
    eventually("their end there", || upstream.cancelled() == 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_streams_and_goaway_lose_no_request() {
    let upstream = Upstream2::start(100);
    let proxy = Tailback::start(&manifest(&upstream, "h2c"), &[("TAILBACK_WORKERS", "1")]);
    let client = Client::connect(proxy.address).await.unwrap();
    let answer = client
        .call("/v2/models/m/infer/refuse-once", &[], "x")
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, "hello".into())
    );
    for round in 0..20 {
        let calls = (0..20).map(|n| {
            let manner = if n % 5 == 0 { "goaway" } else { "ok" };
            let path = format!("/v2/models/m/infer/{manner}");
            let client = &client;
            async move { client.call(&path, &[], "x").await.unwrap().status }
        });
        let all = join_all(calls.collect()).await;
        assert!(all.iter().all(|status| *status == 200), "{round}: {all:?}");
    }
    eventually("their end", || in_flight(&proxy) == 0);
    assert!(upstream.connections() > 1);
}

async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures
        .into_iter()
        .map(|f| (Some(Box::pin(f)), None))
        .collect();
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if let Some(running) = future {
                match running.as_mut().poll(cx) {
                    std::task::Poll::Ready(done) => (*output, *future) = (Some(done), None),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn caller_whose_window_is_shut_is_cut_off_and_holds_up_nobody() {
    let upstream = Upstream2::start(100);
    let proxy = Tailback::start(
        &manifest(&upstream, "h2c"),
        &[
            ("TAILBACK_BODY_TIMEOUT_SECONDS", "0.5"),
            ("TAILBACK_WORKERS", "1"),
        ],
    );
    let client = Client::connect(proxy.address).await.unwrap();
    let (response, _stream) = client
        .open(Method::GET, "/v2/models/m/large", &[], true)
        .await
        .unwrap();
    let body = response.await.unwrap().into_body();
    assert_eq!(in_flight(&proxy), 1);
    // It takes nothing; others go on, on their own connections.
    let other = Client::connect(proxy.address).await.unwrap();
    let answer = other.call("/v2/models/m/infer/ok", &[], "x").await.unwrap();
    assert_eq!(answer.status, 200);
    eventually("its end", || proxy.outcome("m", "caller_slow") == 1);
    eventually("the replica to hear of it", || upstream.cancelled() == 1);
    assert_eq!(in_flight(&proxy), 0);
    drop(body);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_arrive_as_they_are_sent_and_count_until_the_last() {
    let upstream = Upstream2::start(100);
    let proxy = Tailback::start(&manifest(&upstream, "h2c"), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let (response, _stream) = client
        .open(Method::GET, "/v2/models/m/tick", &[], true)
        .await
        .unwrap();
    let mut body = response.await.unwrap().into_body();
    for number in 0..10 {
        let piece = piece(&mut body).await.unwrap().unwrap();
        assert_eq!(piece, format!("{number}\n"), "one at a time");
        assert_eq!(in_flight(&proxy), 1);
    }
    assert!(piece(&mut body).await.is_none());
    eventually("its end", || in_flight(&proxy) == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn body_goes_on_while_the_answer_waits_for_its_caller() {
    let upstream = Upstream2::start(100);
    let proxy = Tailback::start(&manifest(&upstream, "h2c"), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let path = "/v2/models/m/both";
    let (response, mut stream) = client.open(Method::POST, path, &[], false).await.unwrap();
    // All is sent before anything of the answer is taken.
    let mut left = LARGE;
    while left > 0 {
        stream.reserve_capacity(left);
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let length = room.unwrap().unwrap().min(left);
        left -= length;
        stream
            .send_data(vec![b'x'; length].into(), left == 0)
            .unwrap();
    }
    let answer = tokio::time::timeout(PATIENCE, receive(response)).await;
    assert_eq!(answer.unwrap().unwrap().body.len(), LARGE);
    eventually("its end", || in_flight(&proxy) == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_finishes_streams_and_takes_no_new_ones() {
    let upstream = Upstream2::start(100);
    let mut proxy = Tailback::start(&manifest(&upstream, "h2c"), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let (response, _stream) = client
        .open(Method::GET, "/v2/models/m/tick", &[], true)
        .await
        .unwrap();
    let mut body = response.await.unwrap().into_body();
    piece(&mut body).await.unwrap().unwrap();
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    let mut pieces = 1;
    while let Some(next) = piece(&mut body).await {
        next.unwrap();
        pieces += 1;
    }
    assert_eq!(pieces, 10);
    assert!(proxy.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_resets_end_the_connection() {
    let upstream = Upstream2::start(100);
    let proxy = Tailback::start(&manifest(&upstream, "h2c"), &[]);
    // CVE-2023-44487: streams opened and reset as fast as can be.
    let client = Client::connect(proxy.address).await.unwrap();
    let flood = async {
        for _ in 0..100_000 {
            let opened = client
                .open(Method::POST, "/v2/models/m/infer/hang", &[], false)
                .await;
            let Ok((_response, mut stream)) = opened else {
                return;
            };
            stream.send_reset(Reason::CANCEL);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), flood)
        .await
        .unwrap();
    eventually("nothing in flight", || in_flight(&proxy) == 0);
    let state = proxy.model("m");
    assert_eq!(state["arrived"], state["completed"]);
    let other = Client::connect(proxy.address).await.unwrap();
    assert_eq!(
        other
            .call("/v2/models/m/infer/ok", &[], "x")
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replica_that_is_going_away_when_it_is_dialled_costs_no_request() {
    use tokio::io::AsyncWriteExt;
    let upstream = Upstream2::start(100);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = listener.local_addr().unwrap();
    let behind = upstream.address;
    tokio::spawn(async move {
        // GOAWAY without an error, and nothing else.
        let (mut first, _) = listener.accept().await.unwrap();
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        first.write_all(&goaway).await.unwrap();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = tokio::net::TcpStream::connect(behind).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let manifest = manifest(&upstream, "h2c").replace(&behind.to_string(), &front.to_string());
    let proxy = Tailback::start(&manifest, &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let answer = client
        .call("/v2/models/m/infer/ok", &[], "x")
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, "hello".into())
    );
}
