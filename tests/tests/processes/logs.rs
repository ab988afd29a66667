//! What replicas print, as `tailback logs` shows it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;
use tailback_tests::{
    eventually,
    http::Client,
    process::{Tailback, tailback, unique},
};

use super::{manifests, python};

/// Prints `ready` to standard output, an error to standard error, and numbers for ever; ends with
/// status 3 when asked for `/end`.
const PRINTS: &str = r#"
import http.server, os, sys, threading, time
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/end":
            print("told to end", file=sys.stderr, flush=True)
            os._exit(3)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
threading.Thread(target=server.serve_forever).start()
print("up", flush=True)
print("caf\u00e9", file=sys.stderr, flush=True)
number = 0
while sys.argv[2] == "count":
    # A line in two pieces: an upgrade may come between them.
    for piece in "num", f"ber {number}\n":
        sys.stdout.write(piece)
        sys.stdout.flush()
        time.sleep(0.003)
    number += 1
"#;

fn logs(proxy: &Tailback, more: &[&str]) -> Command {
    let mut command = tailback();
    command.args(["logs", "--admin", &proxy.admin.to_string()]);
    command.args(more);
    command
}

/// What the command prints; or, if it fails, what it says.
fn run(mut command: Command) -> Result<Vec<String>, String> {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout).lines().map(str::to_owned).collect()),
        false => Err(text(&output.stderr)),
    }
}

#[test]
fn the_last_lines_of_replicas_that_run_and_of_those_that_ended_are_shown() {
    let model = unique();
    let process = python(PRINTS, &format!("- quiet\n- {model}\nready: /health"));
    let proxy = Tailback::start(&manifests(&model, &process, "aliases: [other]"), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let line = |replica: u32, text: &str| format!("[{model}-{replica}] {text}");
    let mut first = vec![line(0, "up"), line(0, "café")];
    let of = |more: &[&str]| {
        let mut lines = run(logs(&proxy, more)).unwrap();
        // Two outputs have no order.
        lines.sort_unstable_by_key(|line| line.contains("café"));
        lines
    };
    eventually("its lines", || of(&[&model]) == first);
    assert_eq!(of(&["other"]), first, "by an alias");
    let mut caller = Client::connect(proxy.address).unwrap();
    let end = format!("/upstream/{model}/end");
    // The replica ends without a response.
    let _ = caller.call("GET", &end, &[], b"");
    eventually("another replica's lines", || {
        of(&[&model]).contains(&line(1, "up"))
    });
    first.push(line(0, "told to end"));
    let mut found = run(logs(&proxy, &[&model, "--replica", &format!("{model}-0")])).unwrap();
    found.sort_unstable();
    first.sort_unstable();
    assert_eq!(found, first, "of the one that has ended");
    let tail = run(logs(&proxy, &[&model, "--tail", "1"])).unwrap();
    assert_eq!(tail.len(), 1);

    let json = run(logs(&proxy, &[&model, "--json"])).unwrap();
    let json: Vec<Value> = json
        .iter()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let ended = json
        .iter()
        .find(|line| line["text"] == "told to end")
        .unwrap();
    assert_eq!(ended["replica"], format!("{model}-0"));
    assert_eq!(ended["stream"], "stderr");
    let order: Vec<_> = json.iter().map(|line| line["number"].as_u64()).collect();
    assert!(order.is_sorted() && ended["time"].as_f64() > Some(1.7e9));

    for (more, expected) in [
        (
            &["no-such-model"][..],
            "there is no model \"no-such-model\"",
        ),
        (
            &[&model, "--replica", "x"],
            "there is nothing of a replica \"x\"",
        ),
    ] {
        let why = run(logs(&proxy, more)).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

/// A command that runs, and the lines that it has printed.
struct Followed {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Followed {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = lines.clone();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    /// The last number that the replica printed and that was seen.
    fn last(&self) -> Option<u64> {
        let lines = self.lines.lock().unwrap();
        lines.iter().rev().find_map(|line| number(line))
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(line: &str) -> Option<u64> {
    line.split_once("number ")?.1.parse().ok()
}

#[test]
fn whoever_follows_sees_each_line_once_across_upgrades() {
    let model = unique();
    let process = python(PRINTS, &format!("- count\n- {model}\nready: /health"));
    let mut proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let follower = Followed::start(logs(&proxy, &[&model, "--follow"]));
    eventually("some lines", || follower.last() > Some(20));
    for _ in 0..2 {
        proxy.upgrade().unwrap();
        let last = follower.last();
        eventually("lines after the upgrade", || {
            follower.last() > last.map(|last| last + 100)
        });
    }
    let lines = follower.lines.lock().unwrap().clone();
    let numbers: Vec<_> = lines.iter().filter_map(|line| number(line)).collect();
    let gap = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1);
    assert_eq!(gap, None, "{lines:?}");
    // The next process has what was printed before it took over.
    let all = run(logs(&proxy, &[&model])).unwrap();
    assert!(all.iter().any(|line| line.ends_with("] up")) || all.len() == 1_000);
}

#[test]
fn what_replicas_print_is_for_whoever_has_the_token_or_is_on_this_host() {
    let model = unique();
    let process = python(PRINTS, &format!("- quiet\n- {model}\nready: /health"));
    let manifests = manifests(&model, &process, "");
    let path = format!("/models/{model}/logs");
    let status = |proxy: &Tailback, fields: &[(&str, &str)]| {
        let mut client = Client::connect(proxy.admin).unwrap();
        client.call("GET", &path, fields, b"").unwrap().status
    };
    let token = "0123456789abcdef";
    let proxy = Tailback::start(&manifests, &[("TAILBACK_ADMIN_TOKEN", token)]);
    let why = run(logs(&proxy, &[&model])).unwrap_err();
    assert!(why.contains("set TAILBACK_ADMIN_TOKEN"), "{why}");
    let mut bearer = logs(&proxy, &[&model]);
    bearer.env("TAILBACK_ADMIN_TOKEN", token);
    run(bearer).unwrap();
    assert_eq!(status(&proxy, &[]), 401);
    let bearer = format!("Bearer {token}");
    assert_eq!(status(&proxy, &[("authorization", &bearer)]), 200);
    let wrong = format!("{path}?tail=all");
    let mut client = Client::connect(proxy.admin).unwrap();
    let fields = [("authorization", bearer.as_str())];
    assert_eq!(
        client.call("GET", &wrong, &fields, b"").unwrap().status,
        400
    );
    assert_eq!(
        client.call("POST", &path, &fields, b"").unwrap().status,
        405
    );

    let open = Tailback::start(&manifests, &[]);
    for (host, expected) in [
        ("localhost:9006", 200),
        ("127.0.0.1", 200),
        ("evil.example", 403),
    ] {
        let mut client = Client::connect(open.admin).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        client.send(request.as_bytes()).unwrap();
        assert_eq!(client.receive().unwrap().status, expected, "{host}");
    }
}
