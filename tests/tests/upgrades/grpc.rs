//! A gRPC client across upgrades: grpcio, with calls one after the other and a stream that stays.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use tailback_tests::{
    eventually, eventually_within,
    process::{Tailback, unique},
    python,
};

/// Answers each message of the inference service with the same.
const SERVER: &str = r#"
import concurrent.futures, sys
import grpc
class Inference(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/inference.GRPCInferenceService/ModelInfer":
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        if call.method == "/inference.GRPCInferenceService/ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(lambda requests, context: requests)
server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([Inference()])
assert server.add_insecure_port("127.0.0.1:" + sys.argv[1])
server.start()
server.wait_for_termination()
"#;

/// Calls until its input ends. Prints the number of answers now and then, and what failed at the
/// end.
const CLIENT: &str = r#"
import json, sys, threading, time
import grpc
address, name = sys.argv[1], sys.argv[2].encode()
message = b"\x0a" + bytes([len(name)]) + name
same = lambda raw: raw
channel = grpc.insecure_channel(address)
infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", same, same)
stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer", same, same)
over, failed, counts = threading.Event(), [], {"answered": 0, "streamed": 0}
def call():
    while not over.is_set():
        try:
            assert infer(message, timeout=30) == message
            counts["answered"] += 1
        except Exception as error:
            failed.append(f"call: {error}")
        if counts["answered"] % 20 == 0:
            print(json.dumps(counts), flush=True)
def messages():
    while not over.is_set():
        yield message
        time.sleep(0.02)
def follow():
    try:
        for answer in stream(messages()):
            assert answer == message
            counts["streamed"] += 1
    except Exception as error:
        failed.append(f"stream: {error}")
threads = [threading.Thread(target=what) for what in (call, follow)]
for thread in threads:
    thread.start()
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
print(json.dumps(counts | {"failed": failed}), flush=True)
"#;

struct Caller {
    child: Child,
    answered: Arc<AtomicU64>,
    lines: thread::JoinHandle<Option<Value>>,
}

impl Caller {
    fn start(proxy: &Tailback, model: &str) -> Self {
        let mut child = std::process::Command::new(python::program("python"))
            .args(["-c", CLIENT, &proxy.address.to_string(), model])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let answered = Arc::new(AtomicU64::new(0));
        let seen = answered.clone();
        let lines = thread::spawn(move || {
            let mut last = None;
            for line in output.lines().map_while(Result::ok) {
                let counts: Value = serde_json::from_str(&line).unwrap();
                seen.store(counts["answered"].as_u64().unwrap(), Ordering::Relaxed);
                last = Some(counts);
            }
            last
        });
        Self {
            child,
            answered,
            lines,
        }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends it; what it says in the end.
    fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let last = self.lines.join().unwrap();
        assert!(self.child.wait().unwrap().success());
        last.unwrap()
    }
}

#[test]
fn a_grpc_client_sees_nothing_of_upgrades() {
    let model = unique();
    let program = SERVER.trim().replace('\n', "\n        ");
    let manifests = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: server }}
spec:
  process:
    command:
    - {}
    - -c
    - |
        {program}
    - '{{port}}'
    - {model}
    ready: tcp
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {model} }}
spec: {{ server: server }}
",
        python::program("python").display()
    );
    let mut proxy = Tailback::start(&manifests, &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let caller = Caller::start(&proxy, &model);
    eventually("answers", || caller.answered() > 40);
    for _ in 0..3 {
        proxy.upgrade().unwrap();
        let answered = caller.answered();
        eventually("answers by the new process", || {
            caller.answered() > answered + 100
        });
    }
    let counts = caller.end();
    assert_eq!(counts["failed"], serde_json::json!([]), "{counts}");
    // The stream of the first process has gone on all the time.
    assert!(counts["streamed"].as_u64() > Some(20), "{counts}");
    eventually_within(Duration::from_secs(40), "the old processes' end", || {
        !proxy.has_predecessors()
    });
}
