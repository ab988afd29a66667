//! What `runtime` presets, with the real servers.

use std::{
    env,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tailback_tests::{
    eventually,
    http::call,
    process::Tailback,
    python::{program, root, run},
};

/// A proxy that serves this example; programs are found in the tests' environment.
fn serving(example: &str) -> Tailback {
    let folder = program("python3").parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path))).unwrap();
    let example = root().join("examples").join(example);
    Tailback::start_path(example, &[("PATH", path.to_str().unwrap())])
}

/// Ends the proxy, whose replica must end by the signal alone: it is killed after `stopSeconds`,
/// which are 10 in both runtimes.
fn ends_by_its_signal(mut proxy: Tailback) {
    let begun = Instant::now();
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait().success());
    let taken = begun.elapsed();
    assert!(
        taken < Duration::from_secs(10),
        "{taken:?}: {}",
        proxy.log()
    );
}

#[test]
fn llama_cpp_gets_ready_and_ends_by_its_runtime_and_prometheus_finds_its_metrics() {
    let proxy = serving("llm/llm.yaml");
    eventually("the replica", || proxy.ready("smollm2") == 1);
    let targets = proxy.page("/targets");
    let model = proxy.model("smollm2");
    let replica = &model["replicas"]["ready"][0];
    let expected = json!([{
        "targets": [replica["endpoint"]],
        "labels": {
            "__metrics_path__": "/metrics",
            "model": "smollm2",
            "server": "llama-cpp",
            "replica": replica["name"],
        },
    }]);
    assert_eq!(targets, expected);
    let address = replica["endpoint"].as_str().unwrap().parse().unwrap();
    let metrics = call(address, "GET", "/metrics", b"").unwrap();
    assert_eq!(metrics.status, 200);
    assert!(
        metrics.text().contains("# TYPE llamacpp:"),
        "{}",
        metrics.text()
    );
    assert_eq!(model["settings"]["holdSeconds"], 600.0);
    ends_by_its_signal(proxy);
}

#[test]
fn mlserver_gets_ready_and_ends_by_its_runtime() {
    let mut train = std::process::Command::new(program("python"));
    train.arg(root().join("examples/mlserver/train.py"));
    run(train);
    let proxy = serving("mlserver/mlserver.yaml");
    eventually("the replica", || proxy.ready("iris") == 1);
    assert_eq!(proxy.page("/targets"), Value::Array(Vec::new()));
    ends_by_its_signal(proxy);
}
