//! Load balancing by what a request begins with, or by its session.

use std::net::SocketAddr;

use tailback_tests::{
    eventually,
    http::{Client, hang},
    process::Tailback,
    upstream::Upstream,
};

/// So many replicas of the model `m`, and a proxy of two workers before them.
struct Fleet {
    replicas: Vec<Upstream>,
    proxy: Tailback,
}

impl Fleet {
    fn start(count: usize, spec: &str) -> Self {
        let replicas: Vec<_> = (0..count).map(|_| Upstream::start()).collect();
        Self::before(replicas, spec)
    }

    fn before(replicas: Vec<Upstream>, spec: &str) -> Self {
        let manifest = manifest(&replicas, spec);
        Self::of(replicas, &manifest)
    }

    fn of(replicas: Vec<Upstream>, manifest: &str) -> Self {
        let proxy = Tailback::start(manifest, &[("TAILBACK_WORKERS", "2")]);
        // Until then, requests are held, and go to the first that there is.
        eventually("the replicas", || proxy.ready("m") == replicas.len());
        Self { replicas, proxy }
    }

    /// Sends a request by a connection of its own, which any worker may get, and returns which
    /// replica answered it.
    fn ask(&self, head: &[(&str, &str)], body: &str) -> usize {
        let before = self.counts();
        let mut client = Client::connect(self.proxy.address).unwrap();
        let answer = client
            .call("POST", "/v1/chat/completions", head, body.as_bytes())
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let after = self.counts();
        let changed: Vec<_> = (0..after.len()).filter(|&i| after[i] > before[i]).collect();
        assert_eq!(
            changed.len(),
            1,
            "{:?}",
            self.replicas.iter().map(|r| r.heads()).collect::<Vec<_>>()
        );
        changed[0]
    }

    fn counts(&self) -> Vec<usize> {
        self.replicas.iter().map(|r| r.heads().len()).collect()
    }

    fn choices(&self, choice: &str) -> f64 {
        let name =
            format!("tailback_model_affinity_requests_total{{model=\"m\",choice=\"{choice}\"}}");
        self.proxy.metric(&name)
    }
}

fn manifest(replicas: &[Upstream], spec: &str) -> String {
    let of = |address: SocketAddr| format!("\"http://{address}\"");
    let all: Vec<_> = replicas.iter().map(|r| of(r.address)).collect();
    replicas[0]
        .manifest(&["m"])
        .replace("spec: { static", &format!("spec: {{ {spec}, static"))
        .replace(&all[0], &all.join(", "))
}

const MANNER: (&str, &str) = ("x-manner", "ok");

/// A chat after so many turns, with a system prompt that all chats share.
fn chat(name: &str, turns: usize) -> String {
    let mut messages = format!(
        r#"{{"role":"system","content":"{}"}}"#,
        "You are helpful. ".repeat(40)
    );
    for turn in 0..turns {
        let text = format!("{name} {turn}: ").repeat(40);
        messages += &format!(r#",{{"role":"user","content":"{text}"}}"#);
        messages += &format!(r#",{{"role":"assistant","content":"{text}"}}"#);
    }
    format!(r#"{{"model":"m","messages":[{messages}],"temperature":0.{turns}}}"#)
}

#[test]
fn turns_of_a_chat_go_to_one_replica_on_every_worker_also_after_a_reload() {
    let fleet = Fleet::start(4, "loadBalancing: prefix");
    let first: Vec<_> = (0..6)
        .map(|n| fleet.ask(&[MANNER], &chat(&format!("chat {n}"), 1)))
        .collect();
    for turn in 2..5 {
        for (n, first) in first.iter().enumerate() {
            let replica = fleet.ask(&[MANNER], &chat(&format!("chat {n}"), turn));
            assert_eq!(replica, *first, "chat {n}, turn {turn}");
        }
    }
    let known = fleet
        .proxy
        .metric("tailback_model_prompt_known_bytes_total{model=\"m\"}");
    let all = fleet
        .proxy
        .metric("tailback_model_prompt_bytes_total{model=\"m\"}");
    assert!(known > 0.5 * all && known < all, "{known} of {all}");
    assert!(fleet.choices("preferred") >= 18.0);
    // A change of something else forgets nothing.
    let changed = manifest(&fleet.replicas, "concurrency: 7, loadBalancing: prefix");
    fleet.proxy.rewrite(&changed);
    eventually("the reload", || {
        fleet
            .proxy
            .metric("tailback_config_reloads_total{outcome=\"reloaded\"}")
            >= 1.0
    });
    for (n, first) in first.iter().enumerate() {
        assert_eq!(fleet.ask(&[MANNER], &chat(&format!("chat {n}"), 6)), *first);
    }
}

#[test]
fn a_prompt_is_read_from_each_api_and_however_its_body_is_sent() {
    let strategy = "loadBalancing: { strategy: prefix, maxBytes: 256Ki }";
    prompts_of_each_api(&Fleet::start(4, strategy));
}

#[test]
fn a_prompt_is_read_as_well_where_the_model_is_called_otherwise_by_its_replicas() {
    let replicas: Vec<_> = (0..4).map(|_| Upstream::start()).collect();
    let strategy = "loadBalancing: { strategy: prefix, maxBytes: 256Ki }";
    let manifest = manifest(&replicas, strategy).replace(
        "{ server: up }",
        "{ server: up, upstreamName: a-longer-name }",
    );
    prompts_of_each_api(&Fleet::of(replicas, &manifest));
}

/// Sends prompts of three lengths in the form of each API, in two ways and in chunks.
fn prompts_of_each_api(fleet: &Fleet) {
    // Longer than what is read of bodies before a replica is chosen, and known only by its end.
    let long = |end: &str| format!("{}{}", "x".repeat(150_000), end.repeat(2_000));
    let texts = [long("a"), long("b"), "short ".repeat(100)];
    let bodies = |text: &str| {
        [
            format!(r#"{{"model":"m","prompt":"{text}"}}"#),
            format!(r#"{{"prompt":"{text}","stream":true,"model":"m"}}"#),
            format!(
                r#"{{"max_tokens":1,"messages":[{{"content":"{text}"}}],"model":"m","system":"s"}}"#
            ),
            format!(r#"{{"system":"s","model":"m","messages":[{{"content":"{text}"}}]}}"#),
            format!(r#"{{"model":"m","instructions":"s","input":"{text}"}}"#),
            format!(r#"{{"input":"{text}","model":"m","instructions":"s"}}"#),
        ]
    };
    for text in &texts {
        for pair in bodies(text).chunks(2) {
            let first = fleet.ask(&[MANNER], &pair[0]);
            // By a header as well: of such bodies, nothing is read for the model.
            let head = [MANNER, ("seldon-model", "m")];
            assert_eq!(fleet.ask(&head, &pair[1]), first, "{}", &pair[1][..60]);
            let mut client = Client::connect(fleet.proxy.address).unwrap();
            let before = fleet.counts();
            let pieces: Vec<_> = pair[1].as_bytes().chunks(10_000).collect();
            let mut sent = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nx-manner: ok\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for piece in pieces {
                sent.extend(format!("{:x}\r\n", piece.len()).bytes());
                sent.extend(piece);
                sent.extend(b"\r\n");
            }
            sent.extend(b"0\r\n\r\n");
            client.send(&sent).unwrap();
            assert_eq!(client.receive().unwrap().status, 200);
            assert_eq!(fleet.counts()[first], before[first] + 1, "chunked");
        }
    }
}

#[test]
fn a_prefix_that_all_share_is_spread_over_replicas_by_the_bound() {
    let fleet = Fleet::start(3, "loadBalancing: prefix");
    let body = chat("one", 3);
    let address = fleet.proxy.address;
    let _busy: Vec<_> = (0..12)
        .map(|n| {
            let mut client = Client::connect(address).unwrap();
            let head = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-manner: hang\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            client.send(head.as_bytes()).unwrap();
            client.send(body.as_bytes()).unwrap();
            eventually("the request", || fleet.counts().iter().sum::<usize>() == n + 1);
            client
        })
        .collect();
    let counts = fleet.counts();
    // 1.25 × 12 / 3, and two more.
    assert!(counts.iter().all(|&n| n <= 7), "{counts:?}");
    assert!(fleet.choices("spilled") >= 1.0, "{counts:?}");
}

#[test]
fn bodies_that_cannot_be_compared_are_forwarded_as_ever() {
    let fleet = Fleet::start(2, "loadBalancing: prefix");
    for (body, headers) in [
        ("", vec![]),
        ("not JSON", vec![]),
        ("{\"messages\":", vec![]),
        ("{\"messages\":[{\"content\":\"\\", vec![]),
        ("gzip?", vec![("content-encoding", "gzip")]),
    ] {
        let mut head = vec![("seldon-model", "m"), MANNER];
        head.extend(headers);
        fleet.ask(&head, body);
    }
    assert_eq!(fleet.choices("none"), 5.0);
}

#[test]
fn a_session_stays_at_its_replica_by_header_cookie_or_member_of_the_body() {
    for (key, head, body) in [
        ("header: X-Session-Id", "x-session-id", None),
        ("cookie: sid", "cookie", None),
        ("bodyField: conversation", "", Some("conversation")),
    ] {
        let spec = format!("loadBalancing: {{ strategy: session, {key} }}");
        let fleet = Fleet::start(4, &spec);
        let ask = |session: &str| {
            let value = match head {
                "cookie" => format!("a=b; sid={session}; c=d"),
                _ => session.to_owned(),
            };
            let mut headers = vec![MANNER];
            if !head.is_empty() {
                headers.push((head, &value));
            }
            let member = body.map_or(String::new(), |name| format!(",\"{name}\":\"{session}\""));
            fleet.ask(&headers, &format!("{{\"model\":\"m\"{member}}}"))
        };
        let first: Vec<_> = (0..12).map(|n| ask(&format!("s{n}"))).collect();
        let again: Vec<_> = (0..12).map(|n| ask(&format!("s{n}"))).collect();
        assert_eq!(first, again, "{key}");
        assert!(
            first.iter().any(|&replica| replica != first[0]),
            "{first:?}"
        );
        assert_eq!(fleet.choices("preferred"), 24.0, "{key}");
        fleet.ask(&[MANNER], r#"{"model":"m"}"#);
        assert_eq!(fleet.choices("none"), 1.0, "{key}");
        // Another proxy with the same replicas, in another order.
        let mut replicas = fleet.replicas;
        replicas.reverse();
        let fleet = Fleet::before(replicas, &spec);
        if head == "x-session-id" {
            let other: Vec<_> = (0..12)
                .map(|n| 3 - fleet.ask(&[MANNER, (head, &format!("s{n}"))], r#"{"model":"m"}"#))
                .collect();
            assert_eq!(first, other);
        }
    }
}

#[test]
fn a_held_request_goes_to_the_replica_that_has_room_first() {
    let fleet = Fleet::start(2, "concurrency: 1, loadBalancing: prefix");
    let known = fleet.ask(&[MANNER], &chat("held", 2));
    let address = fleet.proxy.address;
    let busy = [hang(address), hang(address)];
    eventually("both to be busy", || {
        fleet.counts().iter().sum::<usize>() == 3
    });
    let waiting = std::thread::spawn(move || {
        let mut client = Client::connect(address).unwrap();
        let body = chat("held", 3);
        client
            .call("POST", "/v1/chat/completions", &[MANNER], body.as_bytes())
            .unwrap()
            .status
    });
    eventually("it to be held", || {
        fleet.proxy.metric("tailback_model_held{model=\"m\"}") == 1.0
    });
    drop(busy);
    assert_eq!(waiting.join().unwrap(), 200);
    assert_eq!(fleet.choices("held"), 1.0);
    assert!(known < 2);
}
