//! Who owns the replicas after an upgrade, and whose requests they have.

use std::{thread, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tailback_tests::{
    eventually,
    http::{Client, request},
    process::{Tailback, processes_with, unique},
};

use super::{echo, manifests, replicas, tunnel};

fn upgraded(model: &str, more: &str) -> Tailback {
    let mut proxy = Tailback::start(&manifests(model, more), &[]);
    eventually("the replicas", || proxy.ready(model) == 2);
    proxy.upgrade().unwrap();
    proxy
}

#[test]
fn replicas_end_with_the_process_that_took_over_however_it_ends() {
    let model = unique();
    let mut proxy = upgraded(&model, "replicas: 2");
    proxy.signal(Signal::SIGKILL);
    proxy.wait();
    eventually("nothing to be left", || processes_with(&model).is_empty());
}

#[test]
fn how_long_each_replica_took_to_start_is_known_after_an_upgrade() {
    let model = unique();
    let mut proxy = Tailback::start(&manifests(&model, "replicas: 2"), &[]);
    eventually("the replicas", || proxy.ready(&model) == 2);
    let times = |proxy: &Tailback| -> Vec<f64> {
        let replicas = proxy.model(&model)["replicas"]["ready"].clone();
        let replicas = replicas.as_array().unwrap().iter();
        let mut times: Vec<_> = replicas
            .map(|replica| replica["startUpSeconds"].as_f64().unwrap())
            .collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let before = times(&proxy);
    proxy.upgrade().unwrap();
    eventually("the replicas", || proxy.ready(&model) == 2);
    assert_eq!(times(&proxy), before);
}

#[test]
fn nothing_is_left_of_a_replica_whose_supervisors_are_killed_after_an_upgrade() {
    let model = unique();
    let mut proxy = upgraded(&model, "replicas: 2");
    eventually("the old process's end", || !proxy.has_predecessors());
    let before = replicas(&model);
    let supervisors = processes_with(&format!("__supervise {model}-0"));
    let supervisors = match supervisors.is_empty() {
        true => processes_with("__supervise")
            .into_iter()
            .filter(|pid| processes_with(&format!("{model}-0")).contains(pid))
            .collect(),
        false => supervisors,
    };
    assert_eq!(supervisors.len(), 2);
    for pid in supervisors {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    eventually("another replica in its place", || {
        let now = replicas(&model);
        proxy.ready(&model) == 2 && now.len() == 2 && now != before
    });
    eventually("its reason in the log, if the model still has one", || {
        proxy.failure(&model).is_empty() || proxy.log().contains("its supervisor was killed")
    });
}

#[test]
fn a_replica_that_crashes_after_an_upgrade_is_replaced_and_its_status_is_known() {
    let model = unique();
    let mut proxy = upgraded(&model, "replicas: 2");
    eventually("the old process's end", || !proxy.has_predecessors());
    let before = replicas(&model);
    kill(Pid::from_raw(before[0]), Signal::SIGKILL).unwrap();
    eventually("another replica in its place", || {
        let now = replicas(&model);
        proxy.ready(&model) == 2 && now.len() == 2 && !now.contains(&before[0])
    });
    assert!(replicas(&model).contains(&before[1]));
    proxy.logs("ended by signal 9 while it was serving");
}

#[test]
fn a_replica_with_requests_of_the_old_process_is_not_stopped() {
    let model = unique();
    let mut proxy = Tailback::start(&manifests(&model, "replicas: 2"), &[]);
    eventually("the replicas", || proxy.ready(&model) == 2);
    // Two, so that each replica has one: the less busy is chosen.
    let mut tunnels = [tunnel(proxy.address, &model), tunnel(proxy.address, &model)];
    proxy.upgrade().unwrap();
    proxy.rewrite(&manifests(&model, "replicas: 0"));
    eventually("both to drain", || {
        proxy.model(&model)["replicas"]["draining"] == 2
    });
    // Long enough for a process that is taken for idle to be stopped.
    thread::sleep(Duration::from_millis(500));
    tunnels.iter_mut().for_each(echo);
    assert_eq!(replicas(&model).len(), 2);
    drop(tunnels);
    eventually("the replicas' end", || replicas(&model).is_empty());
    eventually("the old process's end", || !proxy.has_predecessors());
}

#[test]
fn a_model_that_is_gone_with_the_upgrade_keeps_its_requests() {
    let (model, other) = (unique(), unique());
    let mut proxy = Tailback::start(&manifests(&model, "replicas: 1"), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let mut tunnel = tunnel(proxy.address, &model);
    let pid = replicas(&model);
    proxy.rewrite(&manifests(&other, "replicas: 1"));
    proxy.upgrade().unwrap();
    eventually("the other model", || proxy.ready(&other) == 1);
    echo(&mut tunnel);
    assert_eq!(replicas(&model), pid);
    drop(tunnel);
    eventually("the replica's end", || replicas(&model).is_empty());
}

#[test]
fn what_the_old_process_holds_is_answered_by_a_replica_of_the_new_one() {
    let model = unique();
    let slow = |milliseconds: u32| {
        format!(
            "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: server }}
spec:
  process:
    command: [sample-server, --port, '{{port}}', --model, '{{model}}', --start-up-ms, '{milliseconds}']
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {model} }}
spec: {{ server: server, minReplicas: 0, maxReplicas: 1 }}
"
        )
    };
    let mut proxy = Tailback::start(&slow(4000), &[]);
    let mut caller = Client::connect(proxy.address).unwrap();
    let body = include_bytes!("../../../examples/infer.json");
    let path = format!("/v2/models/{model}/infer");
    caller.send(request("POST", &path, &[], body)).unwrap();
    eventually("it to be held", || {
        proxy.model(&model)["held"] == 1 && processes_with(&model).len() == 3
    });
    proxy.upgrade().unwrap();
    let answer = caller.receive().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(processes_with(&model).len(), 3, "the one that was started");
}
