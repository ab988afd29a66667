//! Connections to replicas: shared, refused, going away.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn streams_share_connections_within_the_replicas_bound() {
    let upstream = UpstreamHttp2::start(4);
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
    let upstream = UpstreamHttp2::start(100);
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

#[tokio::test(flavor = "multi_thread")]
async fn replica_that_is_going_away_when_it_is_dialled_costs_no_request() {
    use tokio::io::AsyncWriteExt;
    let upstream = UpstreamHttp2::start(100);
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
