//! How replicas and the proxy finish requests, and what callers get if a request cannot be
//! finished.

use std::time::{Duration, Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tailback_tests::{
    eventually,
    http::{Client, request},
    process::{Tailback, servers_of, unique},
};

use super::{BODY, ask, manifests, path, python, sample};

#[test]
fn a_busy_replica_drains_until_its_last_request_and_is_taken_back_when_it_is_needed() {
    let model = unique();
    let proxy = Tailback::start(&manifests(&model, &sample(3000), "replicas: 2"), &[]);
    eventually("both", || proxy.ready(&model) == 2);
    let before = servers_of(&model);
    let mut callers: Vec<_> = (0..3).map(|_| ask(&proxy, &model)).collect();
    eventually("all at replicas", || {
        proxy.model(&model)["inFlight"] == 3 && proxy.model(&model)["held"] == 0
    });
    proxy.rewrite(&manifests(&model, &sample(3000), "replicas: 1"));
    let leaving = || proxy.model(&model)["replicas"]["leaving"].clone();
    eventually("one to drain", || {
        proxy.model(&model)["replicas"]["draining"] == 1
    });
    assert_eq!(
        leaving()[0]["inFlight"],
        1,
        "the one with fewer: {}",
        leaving()
    );
    assert!(leaving()[0]["seconds"].as_f64().unwrap() < 3.0);
    // Needed again, before it is done: no other is started.
    proxy.rewrite(&manifests(&model, &sample(3000), "replicas: 2"));
    eventually("it to be taken back", || proxy.ready(&model) == 2);
    assert_eq!(leaving().as_array().unwrap().len(), 0);
    proxy.logs("the draining replica is needed again");
    for caller in &mut callers {
        assert_eq!(caller.receive().unwrap().status, 200);
    }
    assert_eq!(servers_of(&model), before, "the same processes");
    let mut more: Vec<_> = (0..4).map(|_| ask(&proxy, &model)).collect();
    eventually("all four places in use", || {
        let page = proxy.model(&model);
        page["inFlight"] == 4 && page["held"] == 0
    });
    for caller in &mut more {
        assert_eq!(caller.receive().unwrap().status, 200);
    }
}

#[test]
fn the_idle_replica_goes_and_a_busy_one_is_not_cut_by_the_default_drain() {
    let model = unique();
    let proxy = Tailback::start(&manifests(&model, &sample(2000), "replicas: 3"), &[]);
    eventually("all", || proxy.ready(&model) == 3);
    let mut callers: Vec<_> = (0..2).map(|_| ask(&proxy, &model)).collect();
    eventually("both at replicas", || proxy.model(&model)["inFlight"] == 2);
    proxy.rewrite(&manifests(&model, &sample(2000), "replicas: 0"));
    for caller in &mut callers {
        assert_eq!(caller.receive().unwrap().status, 200);
    }
    eventually("the end of all", || servers_of(&model).is_empty());
    assert_eq!(proxy.outcome(&model, "success"), 2);
}

#[test]
fn at_the_end_of_drain_seconds_what_is_cut_is_counted_as_drained() {
    let model = unique();
    let process = format!(
        "{}\ndrainSeconds: 0.3",
        python(HANGS, &format!("- {model}\nready: /ready"))
    );
    let proxy = Tailback::start(&manifests(&model, &process, "replicas: 1"), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let mut caller = Client::connect(proxy.address).unwrap();
    caller
        .send(request("POST", &path(&model), &[], BODY))
        .unwrap();
    eventually("it to be there", || proxy.model(&model)["inFlight"] == 1);
    proxy.rewrite(&manifests(&model, &process, "replicas: 0"));
    eventually("the cut", || proxy.outcome(&model, "drained") == 1);
    assert_eq!(proxy.outcome(&model, "upstream_reset"), 0);
    proxy.logs("requests are still in flight after drainSeconds (0.3 s)");
}

/// Ready, begins a stream of events, and never ends it.
const HANGS: &str = r#"
import http.server, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"9\r\ndata: x\n\n\r\n")
            self.wfile.flush()
            time.sleep(0.1)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

#[test]
fn a_held_request_is_answered_when_the_time_of_a_shutdown_is_over() {
    let model = unique();
    let never = "command: [sh, -c, 'while :; do sleep 1; done', '{model}', '{port}']";
    let mut proxy = Tailback::start(
        &manifests(&model, never, ""),
        &[("TAILBACK_DRAIN_SECONDS", "1")],
    );
    let mut held = ask(&proxy, &model);
    eventually("it to be held", || proxy.model(&model)["held"] == 1);
    proxy.signal(Signal::SIGTERM);
    let answer = held.receive().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("shut"), "{}", answer.text());
    proxy.wait();
    eventually("the replicas' end", || servers_of(&model).is_empty());
}

#[test]
fn a_model_switched_off_answers_at_once() {
    let model = unique();
    let proxy = Tailback::start(&manifests(&model, &sample(0), "replicas: 0"), &[]);
    let begun = Instant::now();
    let answer = ask(&proxy, &model).receive().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("replicas: 0"), "{}", answer.text());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_replica_killed_while_it_drains_is_replaced_by_none() {
    let model = unique();
    let proxy = Tailback::start(&manifests(&model, &sample(5000), "replicas: 1"), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let mut caller = ask(&proxy, &model);
    eventually("it to be there", || proxy.model(&model)["inFlight"] == 1);
    proxy.rewrite(&manifests(&model, &sample(5000), "replicas: 0"));
    eventually("it to drain", || {
        proxy.model(&model)["replicas"]["draining"] == 1
    });
    for pid in servers_of(&model) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    assert_eq!(caller.receive().unwrap().status, 502);
    assert_eq!(
        proxy.outcome(&model, "upstream_reset"),
        1,
        "nothing of ours"
    );
    eventually("its end", || servers_of(&model).is_empty());
}
