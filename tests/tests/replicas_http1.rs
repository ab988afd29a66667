//! Requests to replicas on HTTP/1.1, and how their responses are forwarded.

use tailback_tests::{
    eventually,
    http::{Client, field, request},
    process::Tailback,
    upstream::{Upstream, proxy},
};

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

/// How often the replica got requests whose path ends so.
fn times(upstream: &Upstream, path: &str) -> usize {
    let heads = upstream.heads();
    let of = |head: &&String| head.split(' ').nth(1).is_some_and(|p| p.ends_with(path));
    heads.iter().filter(of).count()
}

#[test]
fn a_post_that_the_replica_has_worked_on_is_not_run_a_second_time() {
    let (upstream, proxy) = proxy();
    for length in [10, 60_000, 100_000] {
        let before = times(&upstream, "/die");
        let mut client = Client::connect(proxy.address).unwrap();
        // So that the next request's connection has been used before.
        let answer = client.call("POST", "/v2/models/m/ok", &[], b"x").unwrap();
        assert_eq!(answer.status, 200);
        let body = vec![b'x'; length];
        client
            .send(request("POST", "/v2/models/m/die", &[], &body))
            .unwrap();
        eventually("it to be inside", || in_flight(&proxy) == 1);
        let answer = client.receive().unwrap();
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert_eq!(times(&upstream, "/die"), before + 1, "{length} bytes");
        eventually("its end", || in_flight(&proxy) == 0);
    }
    assert_eq!(proxy.outcome("m", "upstream_reset"), 3);
    // What does no harm when it is run twice is sent once more, on a new connection.
    let before = times(&upstream, "/die");
    let mut client = Client::connect(proxy.address).unwrap();
    client.call("POST", "/v2/models/m/ok", &[], b"x").unwrap();
    let answer = client.call("GET", "/v2/models/m/die", &[], b"").unwrap();
    assert_eq!(answer.status, 502);
    assert_eq!(times(&upstream, "/die"), before + 2);
    eventually("its end", || in_flight(&proxy) == 0);
}

#[test]
fn a_request_of_http_1_0_without_a_host_becomes_a_valid_one_of_http_1_1() {
    let (upstream, proxy) = proxy();
    let mut client = Client::connect(proxy.address).unwrap();
    client.send("GET /v2/models/m/ok HTTP/1.0\r\n\r\n").unwrap();
    let answer = client.receive().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "hello".into()));
    assert!(client.is_closed());
    let head = upstream.heads().pop().unwrap();
    assert!(
        head.starts_with("GET /v2/models/m/ok HTTP/1.1\r\n"),
        "{head}"
    );
    let own = upstream.address.to_string();
    assert_eq!(field(&head, "host"), Some(own.as_str()), "{head}");
    // One that it names stays; HTTP/1.1 must name one.
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send("GET /v2/models/m/ok HTTP/1.0\r\nhost: a.example\r\n\r\n")
        .unwrap();
    assert_eq!(client.receive().unwrap().status, 200);
    let head = upstream.heads().pop().unwrap();
    assert_eq!(field(&head, "host"), Some("a.example"), "{head}");
    let mut client = Client::connect(proxy.address).unwrap();
    client.send("GET /v2/models/m/ok HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().status, 400);
    eventually("the end of all", || in_flight(&proxy) == 0);
}

#[test]
fn replicas_get_the_host_header_that_their_server_sets() {
    let upstream = Upstream::start();
    let own = upstream.address.to_string();
    for (setting, expected) in [
        ("pass", "test"),
        ("upstream", &own),
        ("models.example.org:8080", "models.example.org:8080"),
    ] {
        let manifest = upstream.manifest(&["m"]).replace(
            "spec: { static",
            &format!("spec: {{ hostHeader: '{setting}', static"),
        );
        let proxy = Tailback::start(&manifest, &[]);
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client.call("POST", "/v2/models/m/ok", &[], b"x").unwrap();
        assert_eq!(answer.status, 200);
        let head = upstream.heads().pop().unwrap();
        assert_eq!(field(&head, "host"), Some(expected), "{setting}");
        assert_eq!(field(&head, "x-forwarded-host"), Some("test"), "{setting}");
        eventually("its end", || in_flight(&proxy) == 0);
    }
}

#[test]
fn an_answer_with_very_many_header_fields_passes_or_says_what_to_do() {
    let (_upstream, proxy) = proxy();
    let mut client = Client::connect(proxy.address).unwrap();
    let answer = client.call("GET", "/v2/models/m/fields", &[], b"").unwrap();
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().contains("TAILBACK_HEADER_MAX_FIELDS"),
        "{}",
        answer.text()
    );
    eventually("its end", || in_flight(&proxy) == 0);
    let upstream = Upstream::start();
    let fields = [("TAILBACK_HEADER_MAX_FIELDS", "200")];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &fields);
    let mut client = Client::connect(proxy.address).unwrap();
    let answer = client.call("GET", "/v2/models/m/fields", &[], b"").unwrap();
    assert_eq!((answer.status, answer.text()), (200, "hello".into()));
    assert_eq!(answer.header("x-119"), Some("119"));
    eventually("its end", || in_flight(&proxy) == 0);
}
