//! What is sent to a replica a second time, and what never is.

use std::{thread, time::Duration};

use tailback_tests::{
    eventually,
    http::{Client, Response, request},
    process::Tailback,
    upstream::Upstream,
};

/// The model `m` at `upstream`, with this `retry`.
fn with_retry(upstream: &Upstream, retry: &str) -> Tailback {
    let manifest = upstream.manifest(&["m"]).replace(
        "spec: { static",
        &format!("spec: {{ retry: {retry}, static"),
    );
    Tailback::start(&manifest, &[("TAILBACK_WORKERS", "1")])
}

/// How often the replica got requests whose path ends so.
fn times(upstream: &Upstream, path: &str) -> usize {
    let heads = upstream.heads();
    let of = |head: &&String| head.split(' ').nth(1).is_some_and(|p| p.ends_with(path));
    heads.iter().filter(of).count()
}

fn post(proxy: &Tailback, path: &str, body: &[u8]) -> Response {
    let mut client = Client::connect(proxy.address).unwrap();
    let path = format!("/v2/models/m/{path}");
    client.call("POST", &path, &[], body).unwrap()
}

/// `body` in chunks of 1,000 bytes.
fn chunked(path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST /v2/models/m/{path} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in body.chunks(1000) {
        bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn retries(proxy: &Tailback, reason: &str) -> f64 {
    let metric = format!("tailback_model_retries_total{{model=\"m\",reason=\"{reason}\"}}");
    proxy.metric(&metric)
}

fn all_out(proxy: &Tailback) {
    eventually("the end of all", || proxy.model("m")["inFlight"] == 0);
    let state = proxy.model("m");
    assert_eq!(state["arrived"], state["completed"]);
}

#[test]
fn a_post_whose_replica_died_of_it_is_sent_again_if_the_model_says_so() {
    let upstream = Upstream::start();
    let proxy = with_retry(&upstream, "{ on: [reset] }");
    for length in [10, 60_000] {
        let body = vec![b'x'; length];
        let path = format!("{length}/first-die");
        let answer = post(&proxy, &path, &body);
        assert_eq!((answer.status, answer.body.len()), (200, length));
        assert_eq!(times(&upstream, &path), 2);
    }
    assert_eq!(retries(&proxy, "reset"), 2.0);
    // Once more and no more.
    let answer = post(&proxy, "die", b"x");
    assert_eq!((answer.status, times(&upstream, "/die")), (502, 2));
    // What is not kept is not sent again.
    let answer = post(&proxy, "large/first-die", &vec![b'x'; 100_000]);
    assert_eq!(
        (answer.status, times(&upstream, "large/first-die")),
        (502, 1)
    );
    all_out(&proxy);
}

#[test]
fn an_answer_that_says_not_now_is_kept_from_the_caller_as_long_as_the_body_can_be_sent_again() {
    let upstream = Upstream::start();
    let proxy = with_retry(
        &upstream,
        "{ on: [429, 502, 503], attempts: 3, methods: [POST] }",
    );
    for status in ["429", "502", "503"] {
        let path = format!("first-status-{status}");
        let answer = post(&proxy, &path, b"hello");
        assert_eq!((answer.status, answer.text()), (200, "hello".into()));
        assert_eq!(times(&upstream, &path), 2);
        assert_eq!(retries(&proxy, status), 1.0);
    }
    // Chunked, as much as is kept and more than that.
    for (length, status) in [(10_000, 200), (100_000, 503)] {
        let mut client = Client::connect(proxy.address).unwrap();
        let path = format!("{length}/first-status-503");
        let body: Vec<u8> = (0..length).map(|n| b'a' + (n % 23) as u8).collect();
        client.send(chunked(&path, &body)).unwrap();
        let answer = client.receive().unwrap();
        assert_eq!(answer.status, status, "{length} bytes");
        if status == 200 {
            assert_eq!(answer.body, body);
        }
    }
    // Another status, another method.
    assert_eq!(post(&proxy, "status-500", b"x").status, 500);
    assert_eq!(times(&upstream, "status-500"), 1);
    let mut client = Client::connect(proxy.address).unwrap();
    let put = client.call("PUT", "/v2/models/m/status-503", &[], b"x");
    assert_eq!(
        (put.unwrap().status, times(&upstream, "/status-503")),
        (503, 1)
    );
    // As often as it says, and then the replica's own answer.
    let answer = post(&proxy, "last/status-503", b"x");
    assert_eq!((answer.status, answer.text()), (503, "no".into()));
    assert_eq!(times(&upstream, "last/status-503"), 4);
    all_out(&proxy);
    assert_eq!(proxy.outcome("m", "server_error"), 4);
}

#[test]
fn with_the_budget_used_up_callers_get_the_replicas_own_answer() {
    let upstream = Upstream::start();
    let proxy = with_retry(
        &upstream,
        "{ on: [503], budget: { percent: 10, minPerSecond: 0 } }",
    );
    for _ in 0..50 {
        assert_eq!(post(&proxy, "status-503", b"x").status, 503);
    }
    assert_eq!(times(&upstream, "status-503"), 55, "10 % of 50 more");
    assert_eq!(retries(&proxy, "503"), 5.0);
    let refused = proxy.metric("tailback_model_retries_refused_total{model=\"m\"}");
    assert_eq!(refused, 45.0);
    all_out(&proxy);
}

#[test]
fn an_answer_that_has_begun_is_never_asked_for_again() {
    let upstream = Upstream::start();
    let proxy = with_retry(&upstream, "{ on: [reset, 500, 502, 503], attempts: 5 }");
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send(request("POST", "/v2/models/m/half", &[], b"x"))
        .unwrap();
    assert!(client.receive().is_err(), "it breaks off");
    assert_eq!(times(&upstream, "half"), 1);
    all_out(&proxy);
    assert_eq!(proxy.outcome("m", "upstream_reset"), 1);
}

#[test]
fn a_retry_goes_to_another_replica_than_the_one_that_failed() {
    let (healthy, sick) = (Upstream::start(), Upstream::start());
    let first = format!("\"http://{}\"", healthy.address);
    let both = format!("{first}, \"http://{}\"", sick.address);
    let manifest = healthy
        .manifest(&["m"])
        .replace(
            "spec: { static",
            "spec: { loadBalancing: roundRobin, retry: { on: [503], budget: { percent: 100 } }, static",
        )
        .replace(&first, &both);
    let proxy = Tailback::start(&manifest, &[("TAILBACK_WORKERS", "1")]);
    // Each path is new to both: whichever has it first fails, so that the other has it second.
    for n in 0..20 {
        let path = format!("n{n}/first-status-503");
        let answer = post(&proxy, &path, b"x");
        assert_eq!(
            answer.status, 503,
            "the other one had it for the first time"
        );
        assert_eq!((times(&healthy, &path), times(&sick, &path)), (1, 1));
    }
    all_out(&proxy);
}

#[test]
fn retries_are_in_the_access_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let upstream = Upstream::start();
    let manifest = upstream
        .manifest(&["m"])
        .replace("spec: { static", "spec: { retry: { on: [503] }, static");
    let proxy = Tailback::start(&manifest, &[("TAILBACK_ACCESS_LOG", log.to_str().unwrap())]);
    post(&proxy, "first-status-503", b"x");
    post(&proxy, "ok", b"x");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("both lines", || lines().lines().count() == 2);
    let retries: Vec<_> = lines()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["retries"].clone())
        .collect();
    assert_eq!(retries, [1, 0]);
}

#[test]
fn connections_that_the_replica_closes_for_being_idle_lose_no_body_however_large() {
    const IDLE: Duration = Duration::from_millis(700);
    let upstream = Upstream::with_idle_limit(IDLE);
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let caller = |n: u64| {
        let mut client = Client::connect(proxy.address).unwrap();
        let body = vec![b'x'; 100_000];
        for round in 0..4 {
            let answer = match (n + round) % 2 {
                0 => client.call("POST", "/v2/models/m/sink", &[], &body),
                _ => client
                    .send(chunked("sink", &body))
                    .and_then(|()| client.receive()),
            };
            let answer = answer.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "100000".into()));
            // Around the very moment at which the replica closes.
            thread::sleep(IDLE - Duration::from_millis(3) + Duration::from_micros(250 * n));
        }
    };
    thread::scope(|scope| {
        for n in 0..24 {
            scope.spawn(move || caller(n));
        }
    });
    all_out(&proxy);
    assert_eq!(proxy.outcome("m", "success"), 96);
}

#[test]
fn connections_that_the_replica_has_just_closed_lose_no_body_however_large() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[("TAILBACK_WORKERS", "1")]);
    let mut client = Client::connect(proxy.address).unwrap();
    let body = vec![b'x'; 100_000];
    for round in 0..100 {
        let answer = client.call("POST", "/v2/models/m/close-after", &[], b"x");
        assert_eq!(answer.unwrap().status, 200);
        thread::sleep(Duration::from_micros(20 * round));
        let answer = match round % 2 {
            0 => client.call("POST", "/v2/models/m/sink", &[], &body),
            _ => client
                .send(chunked("sink", &body))
                .and_then(|()| client.receive()),
        };
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
    }
    all_out(&proxy);
}

#[test]
fn a_full_queue_says_to_come_back_when_those_that_wait_are_through() {
    let upstream = Upstream::start();
    let manifest = upstream
        .manifest(&["m"])
        .replace("spec: { static", "spec: { concurrency: 1, static")
        .replace(
            "spec: { server: up }",
            "spec: { server: up, hold: { queue: 4 } }",
        );
    let period = ("SELDON_SCALING_STATS_PERIOD_SECONDS", "0.2");
    let proxy = Tailback::start(&manifest, &[period]);
    let late = || {
        let mut client = Client::connect(proxy.address).unwrap();
        client
            .send(request("POST", "/v2/models/m/late", &[], b"x"))
            .unwrap();
        client
    };
    let mut measured: Vec<_> = (0..3).map(|_| late()).collect();
    for client in &mut measured {
        assert_eq!(client.receive().unwrap().status, 200);
    }
    // One is served, for a second, and four wait.
    let mut callers: Vec<_> = (0..5).map(|_| late()).collect();
    eventually("four to wait", || proxy.model("m")["held"] == 4);
    let refused = post(&proxy, "ok", b"x");
    assert_eq!(refused.status, 429, "{}", refused.text());
    let after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3..=6).contains(&after), "{after} s");
    for client in &mut callers {
        assert_eq!(client.receive().unwrap().status, 200);
    }
    all_out(&proxy);
}
