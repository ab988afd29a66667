//! MLServers that die under load: one of two replicas, and one that comes back empty at its address.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tailback_tests::{
    eventually, eventually_within, http,
    process::Tailback,
    python::{Running, program, run, script},
};

use super::{
    loaded,
    mlserver::{model, server, servers_by_port},
    placed, replicas, state,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// What a dying server had is sent again: these models answer the same twice.
const RETRY: &str =
    "retry: { on: [reset], attempts: 10, budget: { percent: 100, minPerSecond: 100 } }";
/// A request that any of the models takes.
const INPUT: &[u8] =
    br#"{"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [2.0]}]}"#;

/// A folder with so many models.
fn made(count: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    run(script("many_models.py", &["make", path, count]));
    folder
}

#[test]
fn an_mlserver_that_is_killed_under_load_loses_no_request_and_its_models_are_served_elsewhere() {
    let folder = made("6");
    let mlserver = program("mlserver");
    let mut text = server(folder.path().to_str().unwrap(), mlserver.to_str().unwrap())
        .replace("replicas: 2\n", &format!("replicas: 2\n  {RETRY}\n"));
    let names = (1..=6).map(|k| {
        text.push_str(&model(k));
        format!("m-{k}")
    });
    let names: Vec<_> = names.collect();
    let proxy = Tailback::start(&text, &[]);
    let available = || names.iter().all(|name| state(&proxy, name) == "available");
    eventually_within(PATIENCE, "all models", || {
        available() && replicas(&proxy).len() == 2
    });
    let address = proxy.address.to_string();
    let mut callers = Running::start(script("many_models.py", &["call", &address, "6", "-", "6"]));
    let answered = || {
        names
            .iter()
            .map(|name| proxy.outcome(name, "success"))
            .sum::<u64>()
    };
    eventually_within(PATIENCE, "answers", || answered() > 100);

    let all = replicas(&proxy);
    let busiest = all
        .iter()
        .max_by_key(|replica| loaded(replica).len())
        .unwrap();
    let endpoint = busiest["endpoint"].as_str().unwrap();
    let port = endpoint.rsplit_once(':').unwrap().1;
    for server in servers_by_port(port) {
        kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    }
    let name = busiest["name"].as_str().unwrap();
    eventually_within(PATIENCE, "its models to be served by the other one", || {
        let placed = placed(&proxy);
        !placed.contains_key(name) && placed.values().map(Vec::len).sum::<usize>() == 6
    });
    eventually_within(PATIENCE, "another replica in its place", || {
        available() && replicas(&proxy).len() == 2
    });
    let before = answered();
    eventually_within(PATIENCE, "answers of all that", || {
        answered() > before + 100
    });
    callers.go_on();
    let figures: Value = serde_json::from_str(&callers.line()).unwrap();
    eprintln!("killed under load: {figures}");
    assert_eq!(figures["wrongCount"], 0, "{figures}");
    callers.end();
}

/// An MLServer that nobody but the test starts and stops. It begins without models.
struct MlServer(Child);

impl MlServer {
    fn start(folder: &str, at: SocketAddr) -> Self {
        let child = Command::new(program("mlserver"))
            .args(["start", folder])
            .env("MLSERVER_HTTP_PORT", at.port().to_string())
            .env("MLSERVER_GRPC_PORT", free_address().port().to_string())
            .env("MLSERVER_LOAD_MODELS_AT_STARTUP", "false")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child);
        eventually_within(PATIENCE, "MLServer", || {
            http::call(at, "GET", "/v2/health/ready", b"").is_ok_and(|r| r.status == 200)
        });
        server
    }
}

impl Drop for MlServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn an_mlserver_that_comes_back_empty_at_its_address_gets_its_models_and_answers_nobody_wrongly() {
    let folder = made("2");
    let path = folder.path().to_str().unwrap();
    let address = free_address();
    let first = MlServer::start(path, address);
    let text = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: mlserver }}
spec:
  memory: 8Mi
  multiModel: {{}}
  {RETRY}
  static: {{ endpoints: ['http://{address}'] }}
"
    );
    let proxy = Tailback::start(&(text + &model(1) + &model(2)), &[]);
    let available = || {
        ["m-1", "m-2"]
            .iter()
            .all(|name| state(&proxy, name) == "available")
    };
    eventually_within(PATIENCE, "both models", available);
    let loads = "seldon_load_model_counter{server=\"mlserver\",outcome=\"ok\"}";
    let before = proxy.metric(loads);
    let mut second = None;
    let answers = answers_while(&proxy, || {
        let answered = || proxy.outcome("m-1", "success");
        eventually("answers", || answered() > 20);
        drop(first);
        proxy.logs("its models cannot be listed");
        second = Some(MlServer::start(path, address));
        eventually_within(PATIENCE, "both to be loaded again", || {
            available() && proxy.metric(loads) - before > 1.5
        });
        let before = answered();
        eventually("answers of the new server", || answered() > before + 20);
    });
    eprintln!("came back empty: {answers:?}");
    // Until it is noticed that the server is down. The new one would say 404 before it has the model.
    let expected = |status: &u16| matches!(*status, 200 | 502 | BROKEN_OFF);
    assert!(answers.keys().all(expected), "{answers:?}: {}", proxy.log());
    drop(second);
}

/// In place of a status: the server was killed within its answer.
const BROKEN_OFF: u16 = 0;

/// How often which status was the answer to a request for `m-1`, of which there are two at any time while
/// `during` runs.
fn answers_while(proxy: &Tailback, during: impl FnOnce()) -> BTreeMap<u16, u64> {
    /// Ends the callers, also if `during` fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (ended, answers) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let answer = http::call(proxy.address, "POST", "/v2/models/m-1/infer", INPUT);
                    let status = answer.map_or(BROKEN_OFF, |answer| answer.status);
                    *answers.lock().unwrap().entry(status).or_default() += 1;
                }
            });
        }
        let _end = End(&ended);
        during();
    });
    answers.into_inner().unwrap()
}
