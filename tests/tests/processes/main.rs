//! Replicas as processes: environment, readiness, replacement, and end.

mod draining;
mod logs;
mod resources;
mod starting;
mod stopping;

use tailback_tests::{
    http::{Client, request},
    process::Tailback,
};

const BODY: &[u8] = include_bytes!("../../../examples/infer.json");

/// The model `name` on a server of processes.
fn manifests(name: &str, process: &str, model: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: server }}
spec:
  concurrency: 2
  process:
    {}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {name} }}
spec:
  server: server
  {model}
",
        process.replace('\n', "\n    ")
    )
}

/// The sample server, with inferences of so many milliseconds.
fn sample(milliseconds: u32) -> String {
    format!(
        "command: [sample-server, --port, '{{port}}', --model, '{{model}}', --service-time-ms, '{milliseconds}']"
    )
}

/// A Python program as a command, with `{port}` and more arguments.
fn python(program: &str, arguments: &str) -> String {
    format!(
        "command:\n- python3\n- -c\n- |\n  {}\n- '{{port}}'\n{arguments}",
        program.trim().replace('\n', "\n  ")
    )
}

fn path(model: &str) -> String {
    format!("/v2/models/{model}/infer")
}

/// A request that is at a replica, or held.
fn ask(proxy: &Tailback, model: &str) -> Client {
    let mut caller = Client::connect(proxy.address).unwrap();
    caller
        .send(request("POST", &path(model), &[], BODY))
        .unwrap();
    caller
}
