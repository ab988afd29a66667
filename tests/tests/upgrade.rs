//! Upgraded connections: WebSocket with a real client and server, and what is not forwarded.

use nix::sys::signal::Signal;
use tailback_tests::{
    eventually,
    http::{Client, call},
    process::Tailback,
    python::{Running, script},
    upstream::{Upstream, static_manifest},
};

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

fn serving(variables: &[(&str, &str)]) -> (Running, Tailback) {
    let server = Running::start(script("websocket.py", &["serve"]));
    let port = server.line().replace("port ", "");
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let proxy = Tailback::start(&static_manifest("up", address, &["m"]), variables);
    (server, proxy)
}

#[test]
fn websocket_counts_until_it_is_closed() {
    let (_server, proxy) = serving(&[]);
    let address = proxy.address.to_string();
    for (what, outcome) in [("call", "success"), ("leave", "success")] {
        let mut client = Running::start(script("websocket.py", &[what, &address]));
        assert_eq!(client.line(), "open");
        assert_eq!(in_flight(&proxy), 1);
        let before = proxy.outcome("m", outcome);
        client.go_on();
        client.end();
        eventually("its end", || in_flight(&proxy) == 0);
        assert_eq!(proxy.outcome("m", outcome), before + 1, "{what}");
    }
    let labels = "{model=\"m\",server=\"up\",method_type=\"rest\",code=\"101\"}";
    assert_eq!(
        proxy.metric(&format!("seldon_model_infer_total{labels}")),
        2.0
    );
}

#[test]
fn replica_that_goes_takes_its_connections_along() {
    let (server, proxy) = serving(&[]);
    let address = proxy.address.to_string();
    let client = Running::start(script("websocket.py", &["drained", &address]));
    assert_eq!(client.line(), "open");
    drop(server);
    client.end();
    eventually("its end", || in_flight(&proxy) == 0);
}

#[test]
fn draining_closes_what_stays_open() {
    let (_server, mut proxy) = serving(&[("TAILBACK_TUNNEL_DRAIN_SECONDS", "0.3")]);
    let address = proxy.address.to_string();
    let client = Running::start(script("websocket.py", &["drained", &address]));
    assert_eq!(client.line(), "open");
    proxy.signal(Signal::SIGTERM);
    client.end();
    assert!(proxy.wait().success());
}

#[test]
fn upgrade_to_http2_and_unasked_ones_are_not_passed_on() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let mut client = Client::connect(proxy.address).unwrap();
    let fields = [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
    ];
    let answer = client
        .call("POST", "/v2/models/m/ok", &fields, b"x")
        .unwrap();
    assert_eq!((answer.status, answer.text()), (200, "hello".into()));
    // A server that does not upgrade answers as usual, and the connection goes on.
    let fields = [("connection", "upgrade"), ("upgrade", "websocket")];
    let answer = client.call("GET", "/v2/models/m/ok", &fields, b"").unwrap();
    assert_eq!((answer.status, answer.text()), (200, "hello".into()));
    let answer = client.call("GET", "/v2/models/m/ok", &[], b"").unwrap();
    assert_eq!(answer.status, 200);
    let heads: Vec<_> = upstream.heads().iter().map(|h| h.to_lowercase()).collect();
    assert!(!heads[0].contains("upgrade") && !heads[0].contains("http2-settings"));
    assert!(heads[1].contains("upgrade: websocket\r\n"), "{}", heads[1]);
    assert!(!heads[2].contains("upgrade"));
    // A replica that answers 101 without an Upgrade request.
    let answer = call(proxy.address, "GET", "/v2/models/m/switch", b"").unwrap();
    assert_eq!(answer.status, 502, "{}", answer.text());
    eventually("the end of all", || in_flight(&proxy) == 0);
}
