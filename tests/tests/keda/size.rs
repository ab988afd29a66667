//! KEDA with thousands of `ScaledObject`s, all on the one connection that it keeps
//! an address.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use tailback_tests::{PATIENCE, http::call, process::Tailback, upstream::Upstream};
use tonic::{Code, Streaming};

use super::client::{IsActive, Keda, next, object};

const MODELS: usize = 5_000;
/// Calls at once.
const AT_ONCE: usize = 200;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("m{n:04}")).collect()
}

/// A stream a model, each of which says that it is not active.
async fn open(keda: &Keda, models: &[String]) -> Vec<Streaming<IsActive>> {
    let open = |name: &String| {
        let (mut keda, of) = (keda.clone(), object(&[("model", name)]));
        async move {
            let mut stream = keda.stream(&of).await;
            assert_eq!(next(&mut stream).await.unwrap(), Some(false));
            stream
        }
    };
    let all = stream::iter(models.iter().map(open)).buffered(AT_ONCE);
    tokio::time::timeout(2 * PATIENCE, all.collect())
        .await
        .expect("all streams open")
}

/// What a stream has to say now, if anything.
fn said(stream: &mut Streaming<IsActive>) -> Option<bool> {
    let next = stream.message().now_or_never()?;
    Some(next.unwrap().expect("it goes on").result)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_5000_streams_and_unary_calls_beside_them() {
    let upstream = Upstream::start();
    let names = names(MODELS);
    let models: Vec<_> = names.iter().map(String::as_str).collect();
    let proxy = Tailback::start(&upstream.manifest(&models), &[]);
    let keda = Keda::connect(proxy.admin).await;
    let memory = proxy.resident();
    let mut streams = open(&keda, &names).await;
    let each = proxy.resident().saturating_sub(memory) / MODELS as u64;
    println!("a stream takes {each} bytes");
    // 7 to 8.5 KiB, as the machine is idle or busy.
    assert!(each < 12 * 1024, "a stream takes {each} bytes");

    // Unary calls of every model are answered beside them.
    let unary = stream::iter(&names).map(|name| {
        let (mut keda, of) = (keda.clone(), object(&[("model", name)]));
        async move {
            let active = keda.is_active(&of).await.unwrap();
            (active, keda.value(&of, "").await.unwrap().whole)
        }
    });
    let answers: Vec<_> = tokio::time::timeout(2 * PATIENCE, unary.buffered(AT_ONCE).collect())
        .await
        .expect("unary calls are answered");
    assert!(answers.iter().all(|answer| *answer == (false, 0)));

    // Only the streams of used models get an event.
    let used = |n: usize| n % 50 == 49;
    for (_, name) in names.iter().enumerate().filter(|(n, _)| used(*n)) {
        let infer = format!("/v2/models/{name}/ok");
        assert_eq!(call(proxy.address, "GET", &infer, b"").unwrap().status, 200);
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        if used(n) {
            assert_eq!(next(stream).await.unwrap(), Some(true), "{n}");
        }
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        assert_eq!(said(stream), None, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_over_the_limit_are_refused_and_room_is_made_by_those_that_end() {
    const LIMIT: usize = 20_000;
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let keda = Keda::connect(proxy.admin).await;
    let mut streams = open(&keda, &vec!["m".to_owned(); LIMIT]).await;
    let of = object(&[("model", "m")]);
    let refused = keda.clone().try_stream(&of).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains("limit of 20000"), "{refused}");
    assert!(!keda.clone().is_active(&of).await.unwrap(), "unary goes on");
    streams.pop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(refused) = keda.clone().try_stream(&of).await {
        assert!(tokio::time::Instant::now() < deadline, "{refused}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
