//! Hostile HTTP/1.1 requests: what is refused and reaches no replica.

use std::net::Shutdown;

use tailback_tests::{
    corpus, eventually,
    http::{Client, field, request},
    process::Tailback,
    upstream::{Upstream, proxy},
};

fn client(proxy: &Tailback) -> Client {
    Client::connect(proxy.address).unwrap()
}

#[test]
fn each_request_of_the_corpus_is_refused_or_forwarded_as_it_says() {
    let (upstream, proxy) = proxy();
    let mut wrong = Vec::new();
    for case in corpus::requests() {
        let before = upstream.heads().len();
        let mut client = client(&proxy);
        client.send(&case.bytes).unwrap();
        let status = client.receive_head().map_or(0, |answer| answer.status);
        let heads = upstream.heads();
        let head = heads.get(before).map_or("", String::as_str);
        let is_forwarded = |wanted: &String| match wanted.strip_prefix('!') {
            Some(name) => !head.is_empty() && field(head, name).is_none(),
            None => head.lines().any(|line| line.eq_ignore_ascii_case(wanted)),
        };
        let count = usize::from(!case.forwarded.is_empty());
        if status != case.status
            || heads.len() - before != count
            || !case.forwarded.iter().all(is_forwarded)
        {
            wrong.push(format!("{}\n  got {status}, forwarded {head:?}", case.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eventually("their ends", || proxy.model("m")["inFlight"] == 0);
    // No series came of any of it.
    assert!(!proxy.metrics().contains("other"));
}

#[test]
fn chunks_win_over_a_length_and_nothing_is_smuggled() {
    let (upstream, proxy) = proxy();
    let mut client = client(&proxy);
    client
        .send(
            "POST /v2/models/m/echo HTTP/1.1\r\nhost: t\r\ncontent-length: 40\r\n\
             transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
             GET /v2/models/m/smuggled HTTP/1.1\r\nhost: t\r\n\r\n",
        )
        .unwrap();
    let first = client.receive().unwrap();
    if first.status == 200 {
        assert_eq!(first.text(), "hello");
    } else {
        assert_eq!(first.status, 400);
    }
    for head in upstream.heads() {
        let both =
            field(&head, "content-length").is_some() && field(&head, "transfer-encoding").is_some();
        assert!(!both, "{head}");
    }
}

#[test]
fn destination_never_comes_from_the_request() {
    let (upstream, proxy) = proxy();
    let elsewhere = Upstream::start();
    let mut client = client(&proxy);
    let target = format!("http://{}/v2/models/m/ok", elsewhere.address);
    let answer = client
        .call("GET", &target, &[("host", "elsewhere")], b"")
        .unwrap();
    // `call` adds a Host of its own: with two, nothing is forwarded at all.
    assert_eq!(answer.status, 400);
    client
        .send(format!("GET {target} HTTP/1.1\r\nhost: elsewhere\r\n\r\n"))
        .unwrap();
    assert_eq!(client.receive().unwrap().status, 200);
    assert_eq!((upstream.heads().len(), elsewhere.heads().len()), (1, 0));
    assert!(upstream.heads()[0].starts_with("GET /v2/models/m/ok HTTP/1.1\r\n"));
}

#[test]
fn header_block_that_does_not_arrive_ends_the_connection() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[
            ("TAILBACK_HEADER_TIMEOUT_SECONDS", "0.2"),
            ("TAILBACK_KEEP_ALIVE_SECONDS", "0.2"),
        ],
    );
    let mut slow = client(&proxy);
    slow.send("GET /v2/models/m/ok HTTP/1.1\r\nhost:").unwrap();
    assert!(slow.is_closed());
    let mut idle = client(&proxy);
    assert_eq!(idle.call("GET", "/v2", &[], b"").unwrap().status, 200);
    assert!(idle.is_closed());
    let gone = client(&proxy);
    gone.stream().shutdown(Shutdown::Write).unwrap();
    eventually("no connection", || {
        proxy.metric("tailback_downstream_connections") == 0.0
    });
}

#[test]
fn connections_over_the_limit_get_a_refusal() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_MAX_CONNECTIONS", "2")],
    );
    // Whoever looked whether it serves has gone.
    eventually("no connection", || {
        proxy.metric("tailback_downstream_connections") == 0.0
    });
    let mut taken: Vec<_> = (0..2).map(|_| client(&proxy)).collect();
    for client in &mut taken {
        let answer = client.call("GET", "/v2/models/m/ok", &[], b"").unwrap();
        assert_eq!(answer.status, 200);
    }
    let refused = client(&proxy).receive().unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let why: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert!(why["error"].as_str().unwrap().contains("connections"));
    drop(taken);
    eventually("room again", || {
        client(&proxy)
            .call("GET", "/v2/models/m/ok", &[], b"")
            .is_ok_and(|a| a.status == 200)
    });
}

/// RFC 9112, 6.3: another reader may have taken what follows the chunks for the rest of the body, or the
/// other way round.
#[test]
fn a_length_beside_chunks_ends_the_connection_after_the_answer() {
    let (_upstream, proxy) = proxy();
    let fields = ["content-length: 6", "transfer-encoding: chunked"];
    for order in [[0, 1], [1, 0]] {
        let [first, second] = order.map(|at| fields[at]);
        let mut client = Client::connect(proxy.address).unwrap();
        let head = format!("POST /v2/models/m/echo HTTP/1.1\r\nhost: t\r\n{first}\r\n{second}\r\n");
        let next = request("POST", "/v2/models/m/echo", &[], b"next");
        let both = [head.as_bytes(), b"\r\n1\r\nx\r\n0\r\n\r\n", &next].concat();
        client.send(both).unwrap();
        let answer = client.receive().unwrap();
        assert_eq!((answer.status, answer.text()), (200, "x".to_owned()));
        assert_eq!(
            answer.header("connection"),
            Some("close"),
            "{first}, {second}"
        );
        assert!(client.is_closed());
    }
    eventually("all to be over", || proxy.model("m")["inFlight"] == 0);
    assert_eq!(proxy.model("m")["arrived"], 2, "nothing behind it is read");
}
