//! Servers whose replicas host many models: placement, over-commit, loads on demand, and counts
//! of servers that follow what models need.

mod double;
mod failures;
mod fetching;
mod kubernetes;
mod lies;
mod mlserver;
mod placing;
mod recycling;
mod replacing;
mod restarts;
mod servers;
mod storage;
mod triton;
mod triton_double;
mod triton_server;

use std::{collections::BTreeMap, fmt::Write, net::SocketAddr, sync::atomic::AtomicU32};

use serde_json::Value;
use tailback_tests::{
    eventually,
    http::{Client, Response},
    load::under_load,
    process::Tailback,
};

const BODY: &[u8] = include_bytes!("../../../examples/infer.json");

/// Models of 1 GiB, `names`, on a server of which each replica has room for two. `server` and
/// `model` are added to their specs, `arguments` to the server's command.
fn manifests(names: &[&str], server: &str, arguments: &str, model: &str) -> String {
    let mut text = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: shared }}
spec:
  memory: 2Gi
  {server}
  process:
    command: [sample-server, --port, '{{port}}', --multi-model{arguments}]
"
    );
    for name in names {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {name} }}
spec: {{ server: shared, memory: 1Gi{model} }}
"
        );
    }
    text
}

/// Models on a static server at `address`.
fn on(address: SocketAddr, names: &[&str]) -> String {
    let text = manifests(names, "multiModel: {}", "", "");
    let (head, rest) = text.split_once("  process:").unwrap();
    let (_, models) = rest.split_once("---").unwrap();
    format!("{head}  static: {{ endpoints: ['http://{address}'] }}\n---{models}")
}

fn infer(proxy: &Tailback, model: &str) -> Response {
    let mut caller = Client::connect(proxy.address).unwrap();
    let path = format!("/v2/models/{model}/infer");
    caller.call("POST", &path, &[], BODY).unwrap()
}

/// The state of a model's placement.
fn state(proxy: &Tailback, model: &str) -> String {
    let page = proxy.model(model);
    page["placement"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Waits for the state: the page may be a moment behind the answer of a request.
fn eventually_in_state(proxy: &Tailback, model: &str, expected: &str) {
    eventually(expected, || state(proxy, model) == expected);
}

fn reason(proxy: &Tailback, model: &str) -> String {
    let page = proxy.model(model);
    page["placement"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The replicas of the server, as the admin address lists them.
fn replicas(proxy: &Tailback) -> Vec<Value> {
    let page = proxy.page("/servers");
    let replicas = page["servers"][0]["replicas"].as_array();
    replicas.cloned().unwrap_or_default()
}

/// The names of models that are loaded in a replica.
fn loaded(replica: &Value) -> Vec<String> {
    let models = replica["models"].as_array().cloned().unwrap_or_default();
    let loaded = models.iter().filter(|model| model["state"] == "loaded");
    loaded
        .map(|model| model["model"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The models of each replica, by its name.
fn placed(proxy: &Tailback) -> BTreeMap<String, Vec<String>> {
    let name = |replica: &Value| replica["name"].as_str().unwrap().to_owned();
    let replicas = replicas(proxy);
    replicas
        .iter()
        .map(|own| (name(own), loaded(own)))
        .collect()
}

/// Calls these models all the time while `during` runs. Returns how many requests failed.
fn failed_while(proxy: &Tailback, models: &[String], during: &mut dyn FnMut()) -> u64 {
    let Some((model, others)) = models.split_first() else {
        during();
        return 0;
    };
    let mut failed = 0;
    let load = under_load(proxy.address, model, BODY, &AtomicU32::new(1), || {
        failed = failed_while(proxy, others, during);
    });
    failed + load.failed
}
