//! Upgrades with a server whose replicas host many models.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use tailback_tests::{
    eventually, eventually_within,
    http::{self, Client, request},
    process::{Tailback, processes_with, unique},
};

const BODY: &[u8] = include_bytes!("../../../examples/infer.json");
const MODELS: [&str; 3] = ["a", "b", "c"];

/// Three models on two replicas that have room for two each. `version` is in the server's
/// command, by which its processes are found.
fn manifests(version: &str) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let mut text = format!(
        "{api}
kind: Server
metadata: {{ name: shared }}
spec:
  memory: 2Gi
  multiModel: {{}}
  replicas: 2
  process:
    command: [sample-server, --port, '{{port}}', --multi-model, --service-time-ms, '20', --broken, {version}]
"
    );
    for model in MODELS {
        text += &format!(
            "---\n{api}\nkind: Model\nmetadata: {{ name: {model} }}\nspec: {{ server: shared, memory: 1Gi, concurrency: 8 }}\n"
        );
    }
    text
}

/// Which models each replica of the server has loaded, by its endpoint.
fn loaded(proxy: &Tailback) -> BTreeMap<String, Vec<String>> {
    let page = proxy.page("/servers");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let replicas = page["servers"][0]["replicas"].as_array();
    let replicas = replicas.cloned().unwrap_or_default();
    replicas
        .iter()
        .map(|replica| {
            let models = replica["models"].as_array().unwrap();
            let loaded = models.iter().filter(|model| model["state"] == "loaded");
            let names = loaded.map(|model| text(&model["model"])).collect();
            (text(&replica["endpoint"]), names)
        })
        .collect()
}

/// Whether the server at this endpoint says that it has the model.
fn has_loaded(endpoint: &str, model: &str) -> bool {
    let (_, address) = endpoint.rsplit_once('/').unwrap_or(("", endpoint));
    let path = format!("/v2/models/{model}/ready");
    http::call(address.parse().unwrap(), "GET", &path, b"").is_ok_and(|own| own.status == 200)
}

fn processes(version: &str) -> Vec<i32> {
    let mut all = processes_with(version);
    let supervisors = processes_with("__supervise");
    all.retain(|pid| !supervisors.contains(pid));
    all.sort_unstable();
    all
}

#[test]
fn upgrades_under_load_keep_server_replicas_and_the_models_in_them() {
    let version = unique();
    let mut proxy = Tailback::start(&manifests(&version), &[]);
    let count = |proxy: &Tailback| loaded(proxy).values().map(Vec::len).sum::<usize>();
    eventually("the models", || count(&proxy) == 3);
    let (before, pids) = (loaded(&proxy), processes(&version));
    assert_eq!(pids.len(), 2);
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let address = proxy.address;
    thread::scope(|scope| {
        for model in MODELS.into_iter().cycle().take(6) {
            let (over, answered, failures) = (&over, &answered, &failures);
            scope.spawn(move || {
                let mut connection = None;
                while !over.load(Ordering::Relaxed) {
                    let client =
                        connection.get_or_insert_with(|| Client::connect(address).unwrap());
                    let path = format!("/v2/models/{model}/infer");
                    match client.call("POST", &path, &[], BODY) {
                        Ok(answer) if answer.status == 200 => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            if answer.header("connection") == Some("close") {
                                connection = None;
                            }
                        }
                        other => {
                            connection = None;
                            failures.lock().unwrap().push(format!("{model}: {other:?}"));
                        }
                    }
                }
            });
        }
        for number in 1..=3 {
            let said = proxy
                .upgrade()
                .unwrap_or_else(|why| panic!("upgrade {number}: {why}"));
            assert!(said.contains("took over"), "{said}");
            let so_far = answered.load(Ordering::Relaxed);
            eventually("requests at the new process", || {
                answered.load(Ordering::Relaxed) > so_far + 20
            });
            eventually("the same models in the same replicas", || {
                loaded(&proxy) == before
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new());
    assert_eq!(processes(&version), pids);
    for what in ["load", "unload"] {
        let own = format!("seldon_{what}_model_counter{{server=\"shared\",outcome=\"ok\"}}");
        assert!(proxy.metrics().contains(&format!("{own} 0\n")), "{own}");
    }
    eventually_within(Duration::from_secs(40), "the old processes' end", || {
        !proxy.has_predecessors()
    });
    assert_eq!(loaded(&proxy), before);
}

#[test]
fn a_model_is_not_unloaded_while_the_process_before_has_a_request_for_it() {
    let version = unique();
    let slow = manifests(&version).replace("'20'", "'3000'");
    let mut proxy = Tailback::start(&slow, &[]);
    eventually("the models", || {
        loaded(&proxy).values().map(Vec::len).sum::<usize>() == 3
    });
    let before = loaded(&proxy);
    let mut caller = Client::connect(proxy.address).unwrap();
    let sent = request("POST", "/v2/models/c/infer", &[], BODY);
    caller.send(sent).unwrap();
    eventually("the request", || proxy.model("c")["inFlight"] == 1);
    proxy.upgrade().unwrap();
    let at = slow.rfind("---").unwrap();
    proxy.rewrite(&slow[..at]);
    let waiting = thread::spawn(move || caller.receive().unwrap());
    eventually("it to be drained", || {
        let page = proxy.page("/servers").to_string();
        page.contains("draining")
    });
    loop {
        let has = before.keys().filter(|at| has_loaded(at, "c")).count();
        if waiting.is_finished() {
            break;
        }
        assert_eq!(has, 1, "the server must have it as long as it is used");
    }
    let answer = waiting.join().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("it to be unloaded", || {
        loaded(&proxy).values().map(Vec::len).sum::<usize>() == 2
    });
}
