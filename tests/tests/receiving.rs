//! Requests whose body has not come: they are in the lag, and no demand for replicas.

use std::{thread, time::Duration};

use serde_json::json;
use tailback_tests::{
    eventually,
    http::{Client, request},
    process::{Tailback, unique},
    upstream::Upstream,
};

/// Any inference.
const BODY: &[u8] = include_bytes!("../../examples/infer.json");

fn infer(model: &str) -> Vec<u8> {
    request("POST", &format!("/v2/models/{model}/infer"), &[], BODY)
}

/// The manifests of a model that sleeps, and has up to four replicas.
fn asleep(model: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: s }}
spec:
  process:
    command: [sample-server, --port, '{{port}}', --model, '{{model}}']
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {model} }}
spec: {{ server: s, minReplicas: 0, maxReplicas: 4, scaling: {{ policy: lag-step, lagThreshold: 5 }} }}
"
    )
}

#[test]
fn a_request_whose_body_has_not_come_is_in_the_lag_and_starts_no_replica() {
    let model = unique();
    let proxy = Tailback::start(&asleep(&model), &[]);
    let whole = infer(&model);
    let (start, rest) = whole.split_at(whole.len() - 10);
    let mut slow: Vec<_> = (0..20)
        .map(|_| {
            let mut caller = Client::connect(proxy.address).unwrap();
            caller.send(start).unwrap();
            caller
        })
        .collect();
    eventually("all of them", || {
        let page = proxy.model(&model);
        page["inFlight"] == 20 && page["receiving"] == 20 && page["held"] == 0
    });
    let series = format!("tailback_model_receiving{{model=\"{model}\"}}");
    assert_eq!(proxy.metric(&series), 20.0);
    assert_eq!(proxy.model(&model)["replicas"]["desired"], 0);
    // One of them becomes demand with the rest of its body: it starts one replica, and not four.
    let mut first = slow.remove(0);
    first.send(rest).unwrap();
    assert_eq!(first.receive().unwrap().status, 200);
    let page = proxy.model(&model);
    assert_eq!(
        (&page["receiving"], &page["replicas"]["desired"]),
        (&json!(19), &json!(1))
    );
    // Those that leave are not counted any more, and all others are answered.
    drop(slow.split_off(10));
    for caller in &mut slow {
        caller.send(rest).unwrap();
    }
    for caller in &mut slow {
        assert_eq!(caller.receive().unwrap().status, 200);
    }
    eventually("all out", || {
        let page = proxy.model(&model);
        page["inFlight"] == 0 && page["receiving"] == 0
    });
    assert_eq!(proxy.outcome(&model, "success"), 11);
}

#[test]
fn the_first_bytes_of_a_large_body_are_no_demand_either() {
    let model = unique();
    let proxy = Tailback::start(&asleep(&model), &[]);
    let json = "content-type: application/json\r\n";
    let mut callers = Vec::new();
    for (begins, bytes) in [
        ("content-length: 70000\r\n\r\n".to_owned(), "{"),
        (format!("{json}content-length: 1000000\r\n\r\n"), "{\"a\":"),
        (
            format!("{json}transfer-encoding: chunked\r\n\r\n"),
            "1\r\n{\r\n",
        ),
    ] {
        for _ in 0..7 {
            let mut caller = Client::connect(proxy.address).unwrap();
            let head =
                format!("POST /v2/models/{model}/infer HTTP/1.1\r\nhost: t\r\n{begins}{bytes}");
            caller.send(head).unwrap();
            callers.push(caller);
        }
    }
    eventually("all of them", || {
        let page = proxy.model(&model);
        page["inFlight"] == 21 && page["receiving"] == 21 && page["held"] == 0
    });
    assert_eq!(proxy.model(&model)["replicas"]["desired"], 0);
    let mut honest = Client::connect(proxy.address).unwrap();
    honest.send(infer(&model)).unwrap();
    assert_eq!(honest.receive().unwrap().status, 200);
    let page = proxy.model(&model);
    assert_eq!(
        (&page["receiving"], &page["replicas"]["desired"]),
        (&json!(21), &json!(1))
    );
}

#[test]
fn a_caller_that_sends_its_body_a_byte_at_a_time_is_too_slow() {
    let upstream = Upstream::start();
    let variables = [
        ("TAILBACK_BODY_TIMEOUT_SECONDS", "1"),
        ("TAILBACK_BODY_MIN_BYTES_PER_SECOND", "30000"),
    ];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &variables);
    for (framing, coded) in [
        ("content-length: 60000", false),
        ("transfer-encoding: chunked", true),
    ] {
        let mut caller = Client::connect(proxy.address).unwrap();
        let head = format!("POST /v2/models/m/sink HTTP/1.1\r\nhost: t\r\n{framing}\r\n\r\n");
        caller.send(head).unwrap();
        let mut writer = caller.stream().try_clone().unwrap();
        let dripping = thread::spawn(move || {
            use std::io::Write;
            let piece: &[u8] = if coded { b"1\r\nx\r\n" } else { b"x" };
            // Never silent for as long as the time limit, until the connection is closed.
            while writer.write_all(piece).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        // Once its body is on the way to a replica, the connection is all that can end.
        match caller.receive_head() {
            Ok(answer) => assert_eq!(answer.status, 408, "{framing}"),
            Err(_) => assert!(coded, "{framing}"),
        }
        drop(caller);
        dripping.join().unwrap();
    }
    eventually("both counted", || proxy.outcome("m", "caller_slow") == 2);
}

#[test]
fn a_large_body_that_comes_fast_enough_may_take_longer_than_the_time_limit() {
    let upstream = Upstream::start();
    let variables = [
        ("TAILBACK_BODY_TIMEOUT_SECONDS", "1"),
        ("TAILBACK_BODY_MIN_BYTES_PER_SECOND", "1000"),
    ];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &variables);
    let mut caller = Client::connect(proxy.address).unwrap();
    let length = 20 * 10_000;
    let head =
        format!("POST /v2/models/m/sink HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n");
    caller.send(head).unwrap();
    for _ in 0..20 {
        caller.send([b'x'; 10_000]).unwrap();
        thread::sleep(Duration::from_millis(100));
    }
    let answer = caller.receive().unwrap();
    assert_eq!((answer.status, answer.text()), (200, length.to_string()));
}
