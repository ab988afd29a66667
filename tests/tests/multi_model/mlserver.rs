//! MLServer, which loads many models into one process: 20 models of which 16 fit.

use std::{fs, time::Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tailback_tests::{
    eventually, eventually_within,
    process::{Tailback, servers_of},
    python::{printed, program, run, script},
};

use super::{infer, loaded, replicas, state};

const MODELS: usize = 20;

/// Twenty models of 1 MiB, on two replicas that have 8 MiB each.
fn manifests(folder: &str, program: &str) -> String {
    let mut text = server(folder, program);
    for k in 1..=MODELS {
        text.push_str(&model(k));
    }
    text
}

pub(super) fn model(k: usize) -> String {
    format!(
        "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m-{k} }}
spec: {{ server: mlserver, memory: 1Mi }}
"
    )
}

pub(super) fn server(folder: &str, program: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: mlserver }}
spec:
  memory: 8Mi
  multiModel: {{ overcommitPercentage: 25 }}
  replicas: 2
  process:
    command: ['{program}', start, '{folder}']
    env:
      MLSERVER_HTTP_PORT: '{{port}}'
      MLSERVER_GRPC_PORT: '{{grpcPort}}'
      MLSERVER_LOAD_MODELS_AT_STARTUP: 'false'
    ready: /v2/health/ready
"
    )
}

#[test]
fn models_are_loaded_and_unloaded_by_grpc_where_the_server_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    let models = models.to_str().unwrap();
    run(script("many_models.py", &["make", models, "3"]));
    let mlserver = program("mlserver");
    let mut text = server(models, mlserver.to_str().unwrap())
        .replace(
            "overcommitPercentage: 25",
            "overcommitPercentage: 100, repositoryApi: grpc",
        )
        .replace("memory: 8Mi", "memory: 2Mi")
        .replace("replicas: 2", "replicas: 1");
    // Of the four, two fit at once, and the last has no files.
    (1..=4).for_each(|k| text.push_str(&model(k)));
    let proxy = Tailback::start(&text, &[]);
    let patience = std::time::Duration::from_secs(90);
    eventually_within(patience, "two models", || {
        replicas(&proxy).iter().any(|own| loaded(own).len() == 2)
    });
    let address = proxy.address.to_string();
    run(script("many_models.py", &["call", &address, "3", "5", "3"]));
    let counted = |name: &str| proxy.metric(&format!("{name}{{server=\"mlserver\"}}"));
    assert!(counted("seldon_cache_evict_count") >= 1.0);
    let answer = infer(&proxy, "m-4");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let said = answer.text();
    assert!(said.contains("load answered NotFound"), "{said}");
    // What it has was read meanwhile, and is what is known.
    let log = proxy.log();
    assert!(!log.contains("is no longer loaded there"), "{log}");
}

#[test]
fn twenty_models_of_which_sixteen_fit_are_all_answered_and_survive_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    fs::create_dir(&models).unwrap();
    let models = models.to_str().unwrap();
    let count = MODELS.to_string();
    run(script("many_models.py", &["make", models, &count]));
    let mlserver = program("mlserver");
    let proxy = Tailback::start(&manifests(models, mlserver.to_str().unwrap()), &[]);
    let patience = std::time::Duration::from_secs(90);
    eventually_within(patience, "sixteen models", || {
        replicas(&proxy)
            .iter()
            .map(|replica| loaded(replica).len())
            .sum::<usize>()
            == 16
    });
    let address = proxy.address.to_string();
    let loads = || {
        let loads = "seldon_load_model_counter{server=\"mlserver\",outcome=\"ok\"}";
        proxy.metric(loads)
    };
    let before = loads();
    let arguments = [address.as_str(), count.as_str(), "20", "6"];
    let figures = |what: &str, place: &str| -> Value {
        let [_, rest @ ..] = arguments;
        let arguments = [&[what, place], &rest[..]].concat();
        let line = printed(script("many_models.py", &arguments));
        serde_json::from_str(&line).unwrap()
    };
    let began = Instant::now();
    let own = figures("call", arguments[0]);
    let (reloads, took) = (loads() - before, began.elapsed());
    // The same callers on servers that load whatever is asked for at once.
    let lru = figures("lru", models);
    eprintln!("placement: {own}, reloads {reloads}; plain LRU: {lru}");
    // Each of the sixteen places is kept for 1 s at least by whoever is used there.
    let most = 16.0 * (took.as_secs_f64() + 1.0);
    assert!(reloads <= most, "{reloads} reloads in {took:?}");
    let evictions = "seldon_cache_evict_count{server=\"mlserver\"}";
    assert!(
        proxy.metric(evictions) >= 4.0,
        "{}",
        proxy.metric(evictions)
    );
    assert!(
        replicas(&proxy)
            .iter()
            .all(|replica| replica["usedBytes"].as_u64() <= Some(8 << 20))
    );

    let all = replicas(&proxy);
    let endpoint = all[0]["endpoint"].as_str().unwrap();
    let port = endpoint.rsplit_once(':').unwrap().1;
    for server in servers_by_port(port) {
        kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    }
    eventually("the replica to be gone", || {
        replicas(&proxy)
            .iter()
            .all(|replica| replica["name"] != all[0]["name"])
    });
    run(script(
        "many_models.py",
        &["call", &address, &count, "5", "4"],
    ));
    eventually("nothing in flight", || proxy.model("m-1")["inFlight"] == 0);
    assert_ne!(state(&proxy, "m-1"), "failed");
}

/// The processes whose environment has this port: MLServer's command line does not.
pub(super) fn servers_by_port(port: &str) -> Vec<i32> {
    let mark = format!("MLSERVER_HTTP_PORT={port}");
    let has = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|line| line == mark.as_bytes())
    };
    servers_of("mlserver").into_iter().filter(has).collect()
}
