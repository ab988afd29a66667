//! Time limits: which limit ends which wait, and which waits have none.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tailback_tests::{
    eventually,
    http::{Client, call, request},
    http2,
    process::Tailback,
    python::{run, script},
    upstream::{Upstream, never_ready_manifest},
    upstream_http2::UpstreamHttp2,
};

const GRPC: (&str, &str) = ("content-type", "application/grpc");
/// What bounded every pause once, and bounds those of callers alone now.
const CALLERS: (&str, &str) = ("TAILBACK_BODY_TIMEOUT_SECONDS", "0.3");
/// Longer than that.
const PAUSE: Duration = Duration::from_millis(800);

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

/// The manifest with `timeouts` on the model.
fn with(manifest: &str, timeouts: &str) -> String {
    manifest.replace(
        "{ server: up",
        &format!("{{ timeouts: {{ {timeouts} }}, server: up"),
    )
}

#[test]
fn a_stream_whose_first_event_takes_its_time_reaches_the_openai_client() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[CALLERS]);
    let address = proxy.address.to_string();
    run(script("openai_client.py", &[&address, "slow"]));
    eventually("its end", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "success"), 1);
    // In flight while nothing comes.
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send(request("GET", "/v2/models/m/slow-events", &[], b""))
        .unwrap();
    let head = client.receive_head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(in_flight(&proxy), 1);
    drop(client);
    eventually("its end", || in_flight(&proxy) == 0);
}

#[test]
fn an_idle_connection_of_a_caller_outlasts_all_limits_but_its_own() {
    let upstream = Upstream::start();
    let limits = [CALLERS, ("TAILBACK_HEADER_TIMEOUT_SECONDS", "0.3")];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &limits);
    let mut client = Client::connect(proxy.address).unwrap();
    for _ in 0..3 {
        let answer = client.call("GET", "/v2/models/m/ok", &[], b"").unwrap();
        assert_eq!(answer.status, 200);
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn each_limit_of_the_replica_ends_the_wait_that_it_is_for() {
    let upstream = Upstream::start();
    let manifest = upstream.manifest(&["m"]);
    for (limit, cut) in [
        ("firstByteSeconds: 0.3", true),
        ("streamIdleSeconds: 0.3", true),
        ("totalSeconds: 1.1", true),
        ("responseHeaderSeconds: 0.3", false),
        ("connectSeconds: 0.3", false),
    ] {
        let proxy = Tailback::start(&with(&manifest, limit), &[]);
        let address = proxy.address.to_string();
        let what = if cut { "cut" } else { "slow" };
        run(script("openai_client.py", &[&address, what]));
        eventually("its end", || in_flight(&proxy) == 0);
        let slow = proxy.outcome("m", "upstream_slow");
        assert_eq!(slow, u64::from(cut), "{limit}");
    }
    // The header itself.
    for (limit, says) in [
        (
            "responseHeaderSeconds: 0.3",
            "timeouts.responseHeaderSeconds",
        ),
        ("totalSeconds: 0.3", "timeouts.totalSeconds"),
    ] {
        let proxy = Tailback::start(&with(&manifest, limit), &[]);
        let answer = call(proxy.address, "GET", "/v2/models/m/late", b"").unwrap();
        assert_eq!(answer.status, 504, "{limit}");
        assert!(answer.text().contains(says), "{}", answer.text());
        eventually("its end", || in_flight(&proxy) == 0);
    }
}

#[test]
fn a_caller_that_takes_nothing_is_cut_off_by_its_own_limit_and_not_by_the_streams() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[CALLERS]);
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send(request("GET", "/v2/models/m/large", &[], b""))
        .unwrap();
    assert_eq!(client.receive_head().unwrap().status, 200);
    eventually("its end", || proxy.outcome("m", "caller_slow") == 1);
    assert_eq!(in_flight(&proxy), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_grpc_streams_stay_also_before_the_caller_has_said_anything() {
    let upstream = UpstreamHttp2::start(100);
    let manifest = tailback_tests::upstream::static_manifest("up", upstream.address, &["m"]);
    let proxy = Tailback::start(&manifest, &[CALLERS]);
    let client = http2::Client::connect(proxy.address).await.unwrap();
    // Named by metadata: open at the replica, with nothing said yet.
    let fields = [GRPC, ("seldon-model", "m")];
    let (response, mut stream) = client
        .open(Method::POST, "/any.Service/echo", &fields, false)
        .await
        .unwrap();
    eventually("it to be inside", || in_flight(&proxy) == 1);
    tokio::time::sleep(PAUSE).await;
    assert_eq!(in_flight(&proxy), 1);
    stream.send_data("one".into(), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(http2::piece(&mut body).await.unwrap().unwrap(), "one");
    // Idle, once something was said.
    tokio::time::sleep(PAUSE).await;
    assert_eq!(in_flight(&proxy), 1);
    stream.send_data("two".into(), true).unwrap();
    assert_eq!(http2::piece(&mut body).await.unwrap().unwrap(), "two");
    assert!(http2::piece(&mut body).await.is_none());
    eventually("its end", || in_flight(&proxy) == 0);

    // Named by the first message, which takes its time: as tritonclient's start_stream.
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    let (response, mut stream) = client
        .open(Method::POST, path, &[GRPC], false)
        .await
        .unwrap();
    tokio::time::sleep(PAUSE).await;
    let named = Bytes::from_static(b"\0\0\0\0\x03\x0a\x01m");
    stream.send_data(named, true).unwrap();
    let answer = http2::receive(response).await.unwrap();
    assert_eq!(answer.grpc_status(), Some("0"), "{answer:?}");
    eventually("its end", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "success"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_stream_that_is_idle_for_longer_than_it_may_ends_with_a_status() {
    let upstream = UpstreamHttp2::start(100);
    let manifest = tailback_tests::upstream::static_manifest("up", upstream.address, &["m"]);
    let manifest = with(&manifest, "streamIdleSeconds: 0.3");
    let proxy = Tailback::start(&manifest, &[]);
    let client = http2::Client::connect(proxy.address).await.unwrap();
    let fields = [GRPC, ("seldon-model", "m")];
    let (response, mut stream) = client
        .open(Method::POST, "/any.Service/echo", &fields, false)
        .await
        .unwrap();
    stream.send_data("one".into(), false).unwrap();
    let answer = http2::receive(response).await.unwrap();
    assert_eq!(
        (answer.text(), answer.grpc_status()),
        ("one".into(), Some("14"))
    );
    eventually("its end", || in_flight(&proxy) == 0);
    assert_eq!(proxy.outcome("m", "upstream_slow"), 1);
    eventually("the replica to hear of it", || upstream.active() == 0);
}

#[test]
fn an_idle_tunnel_stays_for_as_long_as_a_stream_may_be_idle() {
    let upstream = Upstream::start();
    let open = |proxy: &Tailback| {
        let mut client = Client::connect(proxy.address).unwrap();
        let upgrade = [("connection", "upgrade"), ("upgrade", "x")];
        client
            .send(request("GET", "/v2/models/m/switch", &upgrade, b""))
            .unwrap();
        assert_eq!(client.receive_head().unwrap().status, 101);
        eventually("it to be inside", || in_flight(proxy) == 1);
        client
    };
    let manifest = upstream.manifest(&["m"]);
    let proxy = Tailback::start(
        &manifest,
        &[CALLERS, ("TAILBACK_KEEP_ALIVE_SECONDS", "0.2")],
    );
    let client = open(&proxy);
    std::thread::sleep(PAUSE);
    assert_eq!(in_flight(&proxy), 1);
    drop(client);
    eventually("its end", || in_flight(&proxy) == 0);
    for limit in ["streamIdleSeconds: 0.3", "totalSeconds: 0.3"] {
        let proxy = Tailback::start(&with(&manifest, limit), &[]);
        let mut client = open(&proxy);
        assert!(client.is_closed(), "{limit}");
        eventually("its end", || in_flight(&proxy) == 0);
        assert_eq!(proxy.outcome("m", "upstream_slow"), 1, "{limit}");
    }
}

#[test]
fn a_start_that_somebody_waited_for_is_not_cut_off_and_tells_when_to_come_back() {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let manifest = format!(
        "{api}\nkind: Server\nmetadata: {{ name: slow }}\nspec: {{ process: {{ command: \
         [sample-server, --port, '{{port}}', --model, m, --start-up-ms, '2000'] }} }}\n---\n\
         {api}\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: slow, minReplicas: 0, \
         hold: {{ seconds: 0.3 }}, scaling: {{ inactiveSeconds: 0.3, stabilitySeconds: 0 }} }}\n"
    );
    let period = [("SELDON_SCALING_STATS_PERIOD_SECONDS", "0.1")];
    let proxy = Tailback::start(&manifest, &period);
    let ready = "/v2/models/m/infer";
    let begun = Instant::now();
    let refused = call(proxy.address, "POST", ready, b"{}").unwrap();
    // How long it takes is not known yet.
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    eventually("its end", || in_flight(&proxy) == 0);
    // No request waits, and the model has been unused for longer than the inactive time.
    eventually("the replica that was waited for", || {
        proxy.log().contains("ready replica=m-0")
    });
    assert!(begun.elapsed() >= Duration::from_secs(2));
    // Then the unused replica stops, and the next caller's error says how long a start takes.
    eventually("none to be left", || {
        let replicas = proxy.model("m")["replicas"].clone();
        replicas["desired"] == 0 && replicas["readyCount"] == 0
    });
    let refused = call(proxy.address, "POST", ready, b"{}").unwrap();
    assert_eq!(refused.status, 503);
    let after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((2..=20).contains(&after), "{after} s");
}

#[test]
fn a_caller_is_held_as_long_as_the_start_may_take() {
    let never =
        never_ready_manifest("m", "").replace("process: {", "process: { startSeconds: 900,");
    let proxy = Tailback::start(&never, &[]);
    assert_eq!(proxy.model("m")["settings"]["holdSeconds"], 900.0);
    let said = never.replace("server: never", "hold: { seconds: 0.2 }, server: never");
    let proxy = Tailback::start(&said, &[]);
    let refused = call(proxy.address, "POST", "/v2/models/m/infer", b"{}").unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
}
