//! Warm-up before a replica takes requests, and how it is asked to end.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tailback_tests::{
    eventually,
    process::{Tailback, servers_of, unique},
};

use super::{manifests, python, sample};

/// Answers `GET`; answers `POST /fail` with 500; prints what is posted elsewhere.
const WARMS: &str = r#"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/fail":
            return self.answer(500, b"no memory")
        print("warmed by", self.path, body.decode(), flush=True)
        self.answer(200, b"")
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

#[test]
fn a_replica_is_warmed_up_before_it_takes_requests() {
    let model = unique();
    let warm_up = "[{ path: '/warm/{model}', body: { prompt: hello }, count: 2 }]";
    let process = python(WARMS, &format!("- {model}\nready: /up\nwarmUp: {warm_up}"));
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    eventually("what it printed", || {
        let log = proxy.log();
        let line = format!("warmed by /warm/{model} {{\"prompt\":\"hello\"}}");
        log.matches(&line).count() == 2
    });
    assert_eq!(
        proxy.model(&model)["arrived"],
        0,
        "they are counted nowhere"
    );
}

#[test]
fn a_warm_up_that_fails_is_a_failure_with_what_was_answered() {
    let model = unique();
    let process = python(
        WARMS,
        &format!("- {model}\nready: /up\nwarmUp: [{{ method: POST, path: /fail }}]"),
    );
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("the failure", || {
        let failure = proxy.failure(&model);
        failure.contains("warm-up: POST /fail: answered 500 Internal Server Error: no memory")
    });
    assert_eq!(proxy.ready(&model), 0);
}

/// Notes each SIGTERM in a file, and ends at the second one; or never.
const ENDS: &str = r#"
import http.server, os, signal, sys
out, needed, seen = sys.argv[2], int(sys.argv[3]), 0
def note(text):
    with open(out, "a") as file:
        file.write(text + "\n")
def asked(*_):
    global seen
    seen += 1
    note("asked")
    if seen == needed:
        os._exit(0)
signal.signal(signal.SIGTERM, asked)
note("pid %d" % os.getpid())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"#;

#[test]
fn a_stop_command_runs_before_the_signal() {
    let model = unique();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let program = format!(
        "[sh, -c, 'echo stop {{port}} $MAINPID $HTTP >> {0}; kill $MAINPID; sleep 0.1; echo stopped >> {0}']",
        out.display()
    );
    let process = python(
        ENDS,
        &format!(
            "- {}\n- '2'\n- {model}\nready: /\nenv: {{ HTTP: 'at {{port}}' }}\nstopCommand: {program}",
            out.display()
        ),
    );
    let mut proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());
    let found = fs::read_to_string(&out).unwrap();
    let lines: Vec<_> = found.lines().collect();
    let [pid, stop, "asked", "stopped", "asked"] = lines[..] else {
        panic!("{found}");
    };
    let pid = pid.strip_prefix("pid ").unwrap();
    let stop: Vec<_> = stop.split(' ').collect();
    assert_eq!((stop[0], stop[2], stop[3]), ("stop", pid, "at"), "{found}");
    assert_eq!(stop[1], stop[4], "its port: {found}");
}

#[test]
fn a_replica_that_does_not_end_is_killed_after_stop_seconds() {
    let model = unique();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let process = python(
        ENDS,
        &format!(
            "- {}\n- '-1'\n- {model}\nready: /\nstopSeconds: 0.5",
            out.display()
        ),
    );
    let mut proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let start = Instant::now();
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());
    let took = start.elapsed();
    assert!(fs::read_to_string(&out).unwrap().contains("asked"));
    // The default is 10 s.
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn a_replica_that_is_killed_now_and_then_is_started_again_at_once() {
    let model = unique();
    let proxy = Tailback::start(&manifests(&model, &sample(0), "minReplicas: 1"), &[]);
    for kills in 1..=3 {
        // The page may still have the one that was killed.
        let name = format!("{model}-{}", kills - 1);
        eventually("the replica", || {
            proxy.model(&model)["replicas"]["ready"][0]["name"] == *name
        });
        for pid in servers_of(&model) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        eventually("its end", || {
            proxy.log().matches("again_in_seconds=").count() == kills
        });
    }
    eventually("the last replica", || proxy.ready(&model) == 1);
    let log = proxy.log();
    let pauses = log.split("again_in_seconds=").skip(1);
    let pauses: Vec<_> = pauses.map(|rest| rest.split_whitespace().next()).collect();
    assert_eq!(pauses, [Some("0.0"); 3], "{log}");
}
