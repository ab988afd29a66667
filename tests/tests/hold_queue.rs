//! Who goes first of held requests: classes, and fairness between tenants.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tailback_tests::{
    eventually,
    http::{Client, Response, hang, request},
    process::{Tailback, tailback},
    sample::SampleServer,
    upstream::{Upstream, static_manifest},
};

const BODY: &[u8] = include_bytes!("../../examples/infer.json");

/// The model `m` on one replica that takes `concurrency` requests at once, with these fields of
/// `hold`.
fn manifest(replica: SocketAddr, concurrency: u32, hold: &str) -> String {
    let fields = format!("spec: {{ concurrency: {concurrency}, hold: {{ {hold} }},");
    static_manifest("up", replica, &["m"]).replacen("spec: {", &fields, 1)
}

fn held(proxy: &Tailback) -> u64 {
    proxy.model("m")["held"].as_u64().unwrap()
}

/// The 99th percentile of the light tenant's latencies, of `count` requests one after the other.
fn light(proxy: SocketAddr, count: usize) -> Duration {
    let mut client = Client::connect(proxy).unwrap();
    let mut latencies: Vec<_> = (0..count)
        .map(|_| {
            let start = Instant::now();
            let tenant = [("x-tenant", "light")];
            let answer = client
                .call("POST", "/v2/models/m/infer", &tenant, BODY)
                .unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            start.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    latencies[(count * 99).div_ceil(100) - 1]
}

/// The same, while another tenant sends all that it can by many connections.
fn light_beside_a_flood(proxy: &Tailback, count: usize) -> Duration {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..40 {
            let (over, address) = (&over, proxy.address);
            scope.spawn(move || {
                let mut client = Client::connect(address).unwrap();
                while !over.load(Ordering::Relaxed) {
                    let tenant = [("x-tenant", "flood")];
                    let answer = client.call("POST", "/v2/models/m/infer", &tenant, BODY);
                    assert_eq!(answer.unwrap().status, 200);
                }
            });
        }
        eventually("the flood", || held(proxy) >= 30);
        let latency = light(proxy.address, count);
        over.store(true, Ordering::Relaxed);
        latency
    })
}

#[test]
fn a_flooding_tenant_does_not_double_the_latency_of_a_light_one() {
    let replica = SampleServer::start(&["--service-time-ms", "60", "--jitter", "0.4"]);
    let fair = manifest(replica.address, 4, "fairBy: { header: x-tenant }");
    let proxy = Tailback::start(&fair, &[]);
    let alone = light(proxy.address, 100);
    let beside = light_beside_a_flood(&proxy, 100);
    println!("p99 of the light tenant: {alone:?} alone, {beside:?} beside the flood");
    assert!(
        beside <= 2 * alone,
        "{alone:?} alone, {beside:?} beside the flood"
    );
    // First come, first served, it waits for the whole flood.
    let proxy = Tailback::start(&manifest(replica.address, 4, "queue: 1000"), &[]);
    let unfair = light_beside_a_flood(&proxy, 5);
    println!("first come, first served: {unfair:?}");
    assert!(
        unfair > 4 * alone,
        "{alone:?} alone, {unfair:?} first come, first served"
    );
}

/// Sends a request for `path` that is held, and waits until it is.
fn hold(proxy: &Tailback, path: &str, headers: &[(&str, &str)]) -> Client {
    let before = held(proxy);
    let mut client = Client::connect(proxy.address).unwrap();
    let path = format!("/v2/models/m/{path}");
    client.send(request("GET", &path, headers, b"")).unwrap();
    eventually("the request is held", || held(proxy) == before + 1);
    client
}

fn answered(mut client: Client) -> Response {
    client.receive().unwrap()
}

#[test]
fn higher_classes_go_first_and_an_api_key_says_how_high_a_request_may_be() {
    let upstream = Upstream::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.yaml");
    let add = |name: &str, more: &[&str]| {
        let mut command: Command = tailback();
        command
            .args(["keys", "add", name, "--api-keys-file"])
            .arg(&file)
            .args(more);
        let output = command.output().unwrap();
        format!(
            "Bearer {}",
            String::from_utf8(output.stdout).unwrap().trim()
        )
    };
    let (any, low) = (add("any", &[]), add("low", &["--class", "batch"]));
    let classes = "classes: { names: [interactive, usual, batch], default: usual }";
    let proxy = Tailback::start(
        &manifest(upstream.address, 1, classes),
        &[("TAILBACK_API_KEYS_FILE", file.to_str().unwrap())],
    );
    let mut busy = Client::connect(proxy.address).unwrap();
    let authorization = [("authorization", any.as_str())];
    busy.send(request("GET", "/v2/models/m/hang", &authorization, b""))
        .unwrap();
    eventually("the replica is busy", || upstream.heads().len() == 1);
    let class = |name| ("x-request-class", name);
    let clients = [
        hold(
            &proxy,
            "ok?1",
            &[("authorization", &low), class("interactive")],
        ),
        hold(&proxy, "ok?2", &[("authorization", &any), class("batch")]),
        hold(&proxy, "ok?3", &[("authorization", &any)]),
        hold(
            &proxy,
            "ok?4",
            &[("authorization", &any), class("interactive")],
        ),
        hold(
            &proxy,
            "ok?5",
            &[("authorization", &any), class("interactive")],
        ),
    ];
    drop(busy);
    for client in clients {
        assert_eq!(answered(client).status, 200);
    }
    let heads = upstream.heads();
    let order: Vec<_> = heads[1..]
        .iter()
        .map(|head| head.split(['?', ' ']).nth(2).unwrap())
        .collect();
    assert_eq!(order, ["4", "5", "3", "1", "2"]);
    assert!(heads.iter().all(|head| !head.contains("Bearer")));
    fs::remove_file(&file).unwrap();
}

#[test]
fn of_a_full_queue_a_lower_class_goes_and_then_whoever_has_most_waiting() {
    let upstream = Upstream::start();
    let hold_fields = "queue: 3, classes: [interactive, batch], fairBy: { header: x-tenant }";
    let proxy = Tailback::start(&manifest(upstream.address, 1, hold_fields), &[]);
    let busy = hang(proxy.address);
    eventually("the replica is busy", || upstream.heads().len() == 1);
    let batch = ("x-request-class", "batch");
    let of = |tenant| ("x-tenant", tenant);
    let first = hold(&proxy, "ok?1", &[of("a")]);
    let second = hold(&proxy, "ok?2", &[of("a")]);
    let low = hold(&proxy, "ok?3", &[of("b"), batch]);
    let send = |headers: &[(&str, &str)]| {
        let mut client = Client::connect(proxy.address).unwrap();
        client
            .send(request("GET", "/v2/models/m/ok?late", headers, b""))
            .unwrap();
        client
    };
    // The queue is full of those that count as much.
    let refused = answered(send(&[of("c"), batch]));
    assert_eq!(refused.status, 429);
    // A higher class sends the lower one away.
    let third = send(&[of("a")]);
    let gone = answered(low);
    assert_eq!(gone.status, 429, "{}", gone.text());
    assert!(gone.header("retry-after").is_some());
    // Of one class, a tenant without any sends the last of the three away.
    let other = send(&[of("b")]);
    assert_eq!(answered(third).status, 429);
    assert_eq!(answered(send(&[of("a")])).status, 429);
    drop(busy);
    for client in [first, second, other] {
        assert_eq!(answered(client).status, 200);
    }
    assert_eq!(proxy.outcome("m", "queue_full"), 4);
    assert_eq!(held(&proxy), 0);
}
