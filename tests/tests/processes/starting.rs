//! The start of replicas: environment, readiness, and replacement.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Uid};
use tailback_tests::{
    eventually,
    http::Client,
    process::{Tailback, servers_of, unique},
};

use super::{BODY, ask, manifests, path, python, sample};

/// Answers `GET` by one write and closes: 503 while it loads, 200 then, as Python's and
/// llama.cpp's servers do. Other answers are `DATA`, in pieces of one byte.
const CLOSES: &str = r#"
import socket, sys, time
port, loading = int(sys.argv[1]), float(sys.argv[2])
ready_at = time.time() + loading
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", port))
server.listen(64)
while True:
    caller, _ = server.accept()
    caller.recv(65536)
    status = b"200 OK" if time.time() >= ready_at else b"503 Service Unavailable"
    caller.sendall(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    caller.close()
"#;

#[test]
fn a_server_that_closes_after_its_response_becomes_ready_and_until_then_its_response_is_reported() {
    let model = unique();
    let process = python(CLOSES, &format!("- '1.5'\n- {model}\nready: /health"));
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("what the probe got", || {
        proxy
            .failure(&model)
            .contains("GET /health answered 503 Service Unavailable")
    });
    let failing = format!("tailback_model_failing{{model=\"{model}\"}}");
    assert_eq!(proxy.metric(&failing), 0.0, "a start is no failure");
    eventually("it to be ready", || proxy.ready(&model) == 1);
    assert_eq!(proxy.failure(&model), "");
}

#[test]
fn readiness_by_connection_alone_or_without_a_probe() {
    for ready in ["tcp", "none", "{ path: /none, codes: [404] }"] {
        let model = unique();
        let process = format!("{}\nready: {ready}", sample(0));
        let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
        eventually(ready, || proxy.ready(&model) == 1);
        let mut caller = Client::connect(proxy.address).unwrap();
        eventually("an answer", || {
            let answer = caller.call("POST", &path(&model), &[], BODY).unwrap();
            answer.status == 200
        });
    }
}

/// Opens its port at once, says so to standard error, and after this time that it is ready.
const SAYS: &str = r#"
import http.server, sys, threading, time
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
print("listening", file=sys.stderr, flush=True)
threading.Thread(target=server.serve_forever).start()
time.sleep(float(sys.argv[2]))
print("INFO: model loaded in 1.5 s (3 layers)", flush=True)
"#;

#[test]
fn readiness_by_a_line_of_the_output() {
    let model = unique();
    let line = r"'model loaded in [\d.]+ s \('";
    let process = python(
        SAYS,
        &format!("- '1.5'\n- {model}\nready: {{ line: {line} }}"),
    );
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("what is waited for", || {
        proxy.failure(&model).contains("has not printed a line")
    });
    assert_eq!(proxy.ready(&model), 0);
    eventually("it to be ready", || proxy.ready(&model) == 1);
    let mut caller = Client::connect(proxy.address).unwrap();
    let answer = caller.call(
        "GET",
        "/upstream/MODEL/".replace("MODEL", &model).as_str(),
        &[],
        b"",
    );
    assert_eq!(answer.unwrap().status, 200);
}

/// gRPC's own health service, of which `model` does not serve at first.
const HEALTH: &str = r#"
import concurrent.futures, sys, time
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
service = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(service, server)
service.set("model", health_pb2.HealthCheckResponse.NOT_SERVING)
assert server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
time.sleep(float(sys.argv[2]))
service.set("model", health_pb2.HealthCheckResponse.SERVING)
server.wait_for_termination()
"#;

#[test]
fn readiness_by_grpc_health_at_the_port_for_grpc() {
    let model = unique();
    let process = python(
        HEALTH,
        &format!("- '1.5'\n- {model}\nready: {{ grpc: model }}\nenv: {{ HTTP: '{{port}}' }}"),
    );
    let interpreter = tailback_tests::python::program("python");
    let process = process
        .replace("- python3", &format!("- {}", interpreter.display()))
        .replace("- '{port}'", "- '{grpcPort}'");
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("what gRPC health answers", || {
        proxy
            .failure(&model)
            .contains("gRPC health of model answered NOT_SERVING")
    });
    eventually("it to be ready", || proxy.ready(&model) == 1);
}

#[test]
fn a_replica_has_what_its_manifest_says_and_no_secret_of_the_proxy() {
    let model = unique();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("environment");
    let process = format!(
        "command: [sh, -c, 'env > $OUT; exec sample-server --port $PORT --model {{model}}']\n\
         env: {{ PORT: '{{port}}', OUT: {}, HF_HOME: /models }}\ninheritEnv: [MINE_*]",
        file.display()
    );
    let secret = "0123456789abcdef0123";
    let proxy = Tailback::start(
        &manifests(&model, &process, ""),
        &[
            ("TAILBACK_ADMIN_TOKEN", secret),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("CUDA_VISIBLE_DEVICES", "1"),
            ("MINE_A", "mine"),
            ("HF_HOME", "/elsewhere"),
        ],
    );
    eventually("the replica", || proxy.ready(&model) == 1);
    let found = fs::read_to_string(&file).unwrap();
    let has = |line: &str| found.lines().any(|found| found == line);
    assert!(!found.contains(secret), "{found}");
    assert!(
        !found.lines().any(|line| line.starts_with("TAILBACK_")),
        "{found}"
    );
    assert!(
        has("CUDA_VISIBLE_DEVICES=1") && has("MINE_A=mine") && has("HF_HOME=/models"),
        "{found}"
    );
    assert!(
        found.lines().any(|line| line.starts_with("PATH=")),
        "{found}"
    );
}

#[test]
fn folder_user_signal_and_limits_are_those_of_the_manifest() {
    let model = unique();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("work")).unwrap();
    let out = folder.path().join("out");
    fs::write(&out, "").unwrap();
    let root = Uid::effective().is_root();
    if root {
        let open = |path: &std::path::Path, mode| {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(folder.path(), 0o755);
        open(&out, 0o666);
    }
    let program = r#"
import os, resource, signal, sys, time, http.server
out = open(sys.argv[2], "a")
def say(text):
    out.write(text + "\n")
    out.flush()
say("cwd " + os.getcwd())
say("uid %d groups %s" % (os.getuid(), os.getgroups()))
say("nice %d" % os.nice(0))
say("files %d %d" % resource.getrlimit(resource.RLIMIT_NOFILE))
say("home " + os.environ["HOME"])
def interrupted(*_):
    say("interrupted")
    sys.exit(0)
signal.signal(signal.SIGINT, interrupted)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"#;
    let user = if root { "\nuser: nobody" } else { "" };
    let process = python(
        program,
        &format!(
            "- {}\ncwd: {}/work\nready: /\nstopSignal: SIGINT\nlimits: {{ nice: 5, openFiles: 100 }}{user}",
            out.display(),
            folder.path().display(),
        ),
    );
    let mut proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let said = fs::read_to_string(&out).unwrap();
    assert!(
        said.contains(&format!("cwd {}/work\n", folder.path().display())),
        "{said}"
    );
    assert!(
        said.contains("nice 5\n") && said.contains("files 100 100\n"),
        "{said}"
    );
    if root {
        assert!(
            !said.contains("uid 0") && !said.contains("groups [0"),
            "{said}"
        );
        assert!(said.contains("home /nonexistent\n"), "{said}");
    }
    proxy.signal(Signal::SIGTERM);
    proxy.wait();
    assert!(fs::read_to_string(&out).unwrap().contains("interrupted\n"));
}

#[test]
fn a_user_or_folder_that_is_not_there_is_named() {
    for (setting, named) in [
        ("user: no-such-user", "no-such-user"),
        ("cwd: no/such/folder", "no/such/folder"),
    ] {
        let model = unique();
        let process = format!("{}\n{setting}", sample(0));
        let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
        eventually(setting, || proxy.failure(&model).contains(named));
    }
}

#[test]
fn a_corrected_command_starts_at_once_after_a_crash_loop() {
    let model = unique();
    let broken = format!("command: [sh, -c, 'exit 3', '{model}', '{{port}}']");
    let proxy = Tailback::start(&manifests(&model, &broken, ""), &[]);
    let wait = || {
        let log = proxy.log();
        let last = log.rsplit("again_in_seconds=").next().unwrap_or_default();
        let waits = log.matches("again_in_seconds=").count();
        let seconds = last
            .split_whitespace()
            .next()
            .and_then(|s| s.parse::<f64>().ok());
        seconds.filter(|_| waits >= 4).unwrap_or_default()
    };
    eventually("a long wait", || wait() > 1.4);
    let mended = Instant::now();
    proxy.rewrite(&manifests(&model, &sample(0), ""));
    eventually("the replica", || proxy.ready(&model) == 1);
    assert!(
        mended.elapsed() < Duration::from_secs(2),
        "{:?}: {}",
        mended.elapsed(),
        proxy.log()
    );
    assert_eq!(proxy.failure(&model), "");
}

#[test]
fn recreate_never_runs_an_old_and_a_new_replica_at_once() {
    let model = unique();
    // As with a GPU that has room for one: whoever finds it taken fails.
    let lock = std::env::temp_dir().join(&model);
    let device = |name: &str| {
        format!(
            "command: [flock, --nonblock, --no-fork, {}, sample-server, --port, '{{port}}', --model, '{{model}}', \
             --service-time-ms, '{}']\nstrategy: recreate",
            lock.display(),
            if name == "old" { 1 } else { 2 }
        )
    };
    let proxy = Tailback::start(&manifests(&model, &device("old"), ""), &[]);
    eventually("the old replica", || proxy.ready(&model) == 1);
    let old = servers_of(&model);
    proxy.rewrite(&manifests(&model, &device("new"), ""));
    let mut held = ask(&proxy, &model);
    assert_eq!(
        held.receive().unwrap().status,
        200,
        "held, or served by the old one"
    );
    eventually("the new one alone", || {
        let now = servers_of(&model);
        proxy.ready(&model) == 1 && now.len() == 1 && !old.contains(&now[0])
    });
    assert!(!proxy.log().contains("replica failed"), "{}", proxy.log());
    let _ = fs::remove_file(lock);
}

#[test]
fn whoever_else_has_a_replicas_port_gets_no_request() {
    let model = unique();
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let intruder = format!("intruder-{model}");
    // Started by the test, and not by the replica: takes the port that the first replica was given.
    let script = format!(
        "if mkdir {} 2>/dev/null; then echo $1 > {}/port; sleep 60; fi; exec sample-server --port $1 --model $0",
        first.display(),
        first.display()
    );
    let process =
        format!("command: [sh, -c, '{script}', '{{model}}', '{{port}}']\nready: /v2/health/ready");
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    let port = || fs::read_to_string(first.join("port")).unwrap_or_default();
    eventually("its port", || port().trim().parse::<u16>().is_ok());
    let mut stranger = tailback_tests::process::sample_server()
        .args(["--port", port().trim(), "--model", &intruder])
        .spawn()
        .unwrap();
    eventually("it to be seen", || {
        let log = proxy.log();
        log.contains(&format!(
            "port {} is taken by sample-server (pid {})",
            port().trim(),
            stranger.id()
        ))
    });
    eventually("a replica at another port", || proxy.ready(&model) == 1);
    let endpoint = proxy.model(&model)["replicas"]["ready"][0]["endpoint"].clone();
    assert_ne!(
        endpoint.as_str().unwrap(),
        format!("127.0.0.1:{}", port().trim())
    );
    let mut caller = Client::connect(proxy.address).unwrap();
    let answer = caller.call("POST", &path(&model), &[], BODY).unwrap();
    assert!(
        answer.text().contains(&model) && !answer.text().contains("intruder"),
        "{}",
        answer.text()
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn another_services_listener_is_taken_where_the_manifest_says_so() {
    let model = unique();
    // The listener is a child of the test's, as a container's port belongs to its service.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    let process = format!(
        "command: [sh, -c, 'echo $1 > {}; while :; do sleep 0.2; done', '{model}', '{{port}}']\nlistener: any",
        file.display()
    );
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    let port = || {
        fs::read_to_string(&file)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    eventually("its port", || !port().is_empty());
    let mut service = tailback_tests::process::sample_server()
        .args(["--port", &port(), "--model", &model])
        .spawn()
        .unwrap();
    eventually("the replica", || proxy.ready(&model) == 1);
    assert_eq!(ask(&proxy, &model).receive().unwrap().status, 200);
    service.kill().unwrap();
    service.wait().unwrap();
}
