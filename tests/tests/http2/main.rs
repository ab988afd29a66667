//! HTTP/2 in and out: every stream is counted by itself, and nothing remains.

mod aborts;
mod replicas;

use std::{
    future::poll_fn,
    io::Write,
    process::{Command, Stdio},
};

use bytes::Bytes;
use http::Method;
use tailback_tests::{
    PATIENCE, eventually,
    http2::{Client, piece, receive},
    process::Tailback,
    upstream::{LARGE, Upstream},
    upstream_http2::UpstreamHttp2,
};

/// A manifest of the model `m` on a server that is spoken to by `protocol`.
fn manifest(upstream: &UpstreamHttp2, protocol: &str) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    format!(
        "{api}\nkind: Server\nmetadata: {{ name: up }}\nspec:\n  protocol: {protocol}\n  \
         static: {{ endpoints: [\"http://{}\"] }}\n---\n\
         {api}\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: up }}\n",
        upstream.address
    )
}

/// The answer's body that comes in ten pieces, one after another.
async fn ticks(client: &Client) -> h2::RecvStream {
    let path = "/v2/models/m/tick";
    let (response, _) = client.open(Method::GET, path, &[], true).await.unwrap();
    response.await.unwrap().into_body()
}

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_spoken_on_one_port_and_to_either_upstream() {
    let (one, two) = (Upstream::start(), UpstreamHttp2::start(100));
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

#[tokio::test(flavor = "multi_thread")]
async fn caller_whose_window_is_shut_is_cut_off_and_holds_up_nobody() {
    let upstream = UpstreamHttp2::start(100);
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
    let upstream = UpstreamHttp2::start(100);
    let proxy = Tailback::start(&manifest(&upstream, "h2c"), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let mut body = ticks(&client).await;
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
    let upstream = UpstreamHttp2::start(100);
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
    let upstream = UpstreamHttp2::start(100);
    let mut proxy = Tailback::start(&manifest(&upstream, "h2c"), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let mut body = ticks(&client).await;
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
async fn an_early_response_reaches_a_caller_that_is_still_sending() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let path = "/v2/models/none/infer";
    let open = || client.open(Method::POST, path, &[("content-length", "4")], false);
    let (response, mut stream) = open().await.unwrap();
    assert_eq!(receive(response).await.unwrap().status, 404);
    // The stream is not reset: it ends when its caller has sent all.
    stream.send_data("xx".into(), false).unwrap();
    stream.send_data("xx".into(), true).unwrap();
    // Nor does a caller that never does stay for ever.
    let (response, mut never) = open().await.unwrap();
    assert_eq!(receive(response).await.unwrap().status, 404);
    let reset = poll_fn(|cx| never.poll_reset(cx)).await.unwrap();
    assert_eq!(reset, h2::Reason::NO_ERROR);
}

/// The exit code is 92 if curl loses the response, as it does to RST_STREAM while it sends.
#[test]
fn curl_gets_an_early_response_to_a_body_of_any_size() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let url = format!("http://{}/v2/models/none/infer", proxy.address);
    for size in [1, 3_000, 60_000, 300_000, 1_000_000] {
        for _ in 0..5 {
            let mut curl = Command::new("curl")
                .args(["--silent", "--http2-prior-knowledge", "--data-binary", "@-"])
                .args(["--output", "-", "--write-out", "%{http_code}", &url])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = curl.stdin.take().unwrap();
            stdin.write_all(&vec![b'x'; size]).unwrap();
            drop(stdin);
            let output = curl.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{size}: {} {text}", output.status);
            assert!(text.ends_with("404"), "{size}: {text}");
        }
    }
}
