//! Streams that end before their time.

use std::time::Duration;

use h2::Reason;
use tailback_tests::eventually_async;

use super::*;

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
    let upstream = UpstreamHttp2::start(20);
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
async fn floods_of_resets_end_the_connection() {
    let upstream = UpstreamHttp2::start(100);
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
