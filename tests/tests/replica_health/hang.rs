//! Replicas that take connections and requests, and answer nothing.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tailback_tests::{
    eventually, eventually_within,
    http::{Client, request},
    load::under_load,
    process::{Tailback, servers_of, unique},
    sample::SampleServer,
    upstream::Upstream,
};

use super::{INPUT, logged, manifest, replica};

/// What a hung replica has at once, and may get later.
const CONCURRENCY: u64 = 4;

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn one_of_two_endpoints_that_is_stopped_gets_nothing_after_five_seconds_and_is_back_when_it_goes_on()
 {
    let servers = [(); 2].map(|()| SampleServer::start(&["--service-time-ms", "10"]));
    let endpoints = servers.each_ref().map(|server| server.address);
    let fields = format!("concurrency: {CONCURRENCY},");
    let proxy = Tailback::start(&manifest(&endpoints, &fields), &[]);
    let stopped = || replica(&proxy, endpoints[0]);
    let callers = AtomicU32::new(12);
    under_load(proxy.address, "m", INPUT, &callers, || {
        eventually("both to be used", || {
            number(&stopped()["requests"]) > 50
                && number(&replica(&proxy, endpoints[1])["requests"]) > 50
        });
        servers[0].signal(Signal::SIGSTOP);
        let start = Instant::now();
        eventually("it to be found", || stopped()["health"] == "hung");
        let found = start.elapsed();
        let (given, stuck) = (
            number(&stopped()["requests"]),
            number(&stopped()["inFlight"]),
        );
        println!("found after {found:?}, {stuck} callers stuck");
        assert!(found < Duration::from_secs(5), "{found:?}");
        assert!(stuck <= CONCURRENCY, "{stuck} callers are stuck");
        // The others have the healthy one for themselves.
        let before = number(&replica(&proxy, endpoints[1])["requests"]);
        eventually("the healthy one to take over", || {
            number(&replica(&proxy, endpoints[1])["requests"]) > before + 500
        });
        assert_eq!(
            number(&stopped()["requests"]),
            given,
            "requests to a hung replica"
        );
        assert_eq!(proxy.model("m")["replicas"]["unhealthyCount"], 1);
        assert_eq!(logged(&proxy, &["it hangs: no byte for", "1 of 2"]), 1);
        servers[0].signal(Signal::SIGCONT);
        eventually("it to be used again", || {
            number(&stopped()["requests"]) > given + 20
        });
        assert_eq!(logged(&proxy, &["no longer ejected"]), 1);
        callers.store(0, Ordering::Relaxed);
    });
}

#[test]
fn a_process_that_is_stopped_gets_nothing_after_five_seconds_and_is_replaced() {
    let model = unique();
    let api = "apiVersion: tailback.dev/v1alpha1";
    let proxy = Tailback::start(
        &format!(
            "{api}\nkind: Server\nmetadata: {{ name: s }}\nspec: {{ concurrency: {CONCURRENCY}, \
             healthCheck: {{ replaceAfterSeconds: 0.2 }}, process: {{ command: [sample-server, \
             --port, '{{port}}', --model, '{{model}}', --service-time-ms, '10'] }} }}\n---\n\
             {api}\nkind: Model\nmetadata: {{ name: {model} }}\nspec: {{ server: s, replicas: 2 }}\n"
        ),
        &[],
    );
    let ready = || proxy.model(&model)["replicas"]["ready"].clone();
    let find = |test: &dyn Fn(&Value) -> bool| {
        ready()
            .as_array()
            .expect("a list")
            .iter()
            .find(|r| test(r))
            .cloned()
    };
    eventually("both", || proxy.ready(&model) == 2);
    let callers = AtomicU32::new(12);
    let load = under_load(proxy.address, &model, INPUT, &callers, || {
        eventually("both to be used", || {
            find(&|r| number(&r["requests"]) <= 50).is_none()
        });
        kill(Pid::from_raw(servers_of(&model)[0]), Signal::SIGSTOP).expect("it runs");
        let start = Instant::now();
        let mut hung = None;
        eventually("it to be found", || {
            hung = find(&|r| r["health"] == "hung");
            hung.is_some()
        });
        let (found, hung) = (start.elapsed(), hung.expect("it is found"));
        println!("found after {found:?}, {} callers stuck", hung["inFlight"]);
        assert!(found < Duration::from_secs(5), "{found:?}");
        assert!(number(&hung["inFlight"]) <= CONCURRENCY, "{hung}");
        eventually_within(Duration::from_secs(40), "another one in its place", || {
            proxy.ready(&model) == 2 && find(&|r| r["name"] == hung["name"]).is_none()
        });
        println!("replaced after {:?}", start.elapsed());
        eventually("that one to be used", || {
            find(&|r| number(&r["requests"]) <= 50).is_none()
        });
        callers.store(0, Ordering::Relaxed);
    });
    assert!(load.failed <= CONCURRENCY, "{load:?}");
    assert_eq!(
        logged(&proxy, &["stays unhealthy: it is stopped and replaced"]),
        1
    );
    assert!(proxy.failure(&model).is_empty());
}

#[test]
fn one_that_answers_probes_and_no_requests_is_ejected_while_others_answer() {
    let good = SampleServer::start(&["--service-time-ms", "5"]);
    let deaf = Upstream::start();
    deaf.set_manner(Some("deaf"));
    let fields = "healthCheck: { hangSeconds: 0.1 },";
    let proxy = Tailback::start(&manifest(&[good.address, deaf.address], fields), &[]);
    let is_out = || replica(&proxy, deaf.address)["health"] == "ejected";
    let infer = request("POST", "/v2/models/m/infer", &[], INPUT);
    let mut stuck = Vec::new();
    eventually("it to be ejected", || {
        let mut client = Client::connect(proxy.address).expect("a connection");
        let short = Some(Duration::from_millis(200));
        client.stream().set_read_timeout(short).expect("a limit");
        client.send(&infer).expect("it is sent");
        if client.receive().is_err() {
            stuck.push(client);
        }
        is_out()
    });
    println!("{} callers were stuck", stuck.len());
    assert!(!stuck.is_empty());
    assert_eq!(
        logged(&proxy, &["it answered none of the requests", "1 of 2"]),
        1,
        "{}",
        proxy.log()
    );
    assert_eq!(logged(&proxy, &["it hangs"]), 0);
}

#[test]
fn where_the_only_replica_hangs_requests_are_held_until_it_goes_on() {
    let server = SampleServer::start(&["--service-time-ms", "10"]);
    let proxy = Tailback::start(&manifest(&[server.address], ""), &[]);
    let infer = request("POST", "/v2/models/m/infer", &[], INPUT);
    let ask = || {
        let mut client = Client::connect(proxy.address).expect("a connection");
        client.send(&infer).expect("it is sent");
        client
    };
    assert_eq!(ask().receive().expect("an answer").status, 200);
    server.signal(Signal::SIGSTOP);
    let mut first = ask();
    eventually("it to be found", || {
        replica(&proxy, server.address)["health"] == "hung"
    });
    let mut later = [ask(), ask(), ask()];
    eventually("the later ones to be held", || {
        proxy.model("m")["held"] == 3
    });
    thread::sleep(Duration::from_millis(300));
    assert_eq!(replica(&proxy, server.address)["inFlight"], 1);
    server.signal(Signal::SIGCONT);
    assert_eq!(first.receive().expect("an answer").status, 200);
    for client in &mut later {
        assert_eq!(client.receive().expect("an answer").status, 200);
    }
}
