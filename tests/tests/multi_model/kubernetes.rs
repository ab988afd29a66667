//! Servers whose replicas are pods: which of them go is the workload's choice.

use std::collections::BTreeMap;

use tailback_tests::{cluster::Cluster, eventually};

use super::{failed_while, manifests, placed, replicas, state};

/// Models of 1 GiB on a workload of this kind, each of whose pods has room for two.
fn on_pods(kind: &str, names: &[&str]) -> String {
    let server =
        "multiModel: {}\n  minReplicas: 1\n  maxReplicas: 3\n  scaling: { stabilitySeconds: 0.2 }";
    let text = manifests(names, server, "", "");
    let (head, rest) = text.split_once("  process:").unwrap();
    let (_, models) = rest.split_once("---").unwrap();
    let service = "service: { name: llama, port: http }";
    // Packing leaves a tenth free.
    let head = head.replace("memory: 2Gi", "memory: 2500Mi");
    format!("{head}  kubernetes: {{ name: llama, kind: {kind}, {service} }}\n---{models}")
}

/// Six models come to a server of one pod and four leave it: all but those of the pod that
/// `stays` picks. Returns what the models of that pod are, and where they were and are.
fn come_and_leave(
    kind: &str,
    stays: impl Fn(&BTreeMap<String, Vec<String>>) -> String,
) -> (Vec<String>, String, BTreeMap<String, Vec<String>>, f64) {
    let all = ["a", "b", "c", "d", "e", "f"];
    let arguments = ["--multi-model", "--service-time-ms", "5"];
    let cluster = Cluster::start_with(kind, 1, &arguments);
    let packing = [("SERVER_PACKING_ENABLED", "true")];
    let proxy = cluster.serve_with(&on_pods(kind, &all[..1]), &packing);
    eventually("the first model", || state(&proxy, "a") == "available");
    let failed = failed_while(&proxy, &["a".to_owned()], &mut || {
        proxy.rewrite(&on_pods(kind, &all));
        eventually("all to be placed", || {
            placed(&proxy).values().map(Vec::len).sum::<usize>() == 6
        });
    });
    assert_eq!(failed, 0);
    assert_eq!(cluster.replicas(), 3);
    let before = placed(&proxy);
    let pod = stays(&before);
    let models = before[&pod].clone();
    let loads = "seldon_load_model_counter{server=\"shared\",outcome=\"ok\"}";
    let loads_before = proxy.metric(loads);
    let failed = failed_while(&proxy, &models, &mut || {
        let names: Vec<_> = models.iter().map(String::as_str).collect();
        proxy.rewrite(&on_pods(kind, &names));
        eventually("the others to go", || {
            cluster.replicas() == 1 && cluster.pods().len() == 1 && replicas(&proxy).len() == 1
        });
    });
    assert_eq!(failed, 0);
    let loads = proxy.metric(loads) - loads_before;
    (models, pod, placed(&proxy), loads)
}

#[test]
fn models_of_the_last_pod_of_a_stateful_set_move_before_it_goes() {
    let last = |pods: &BTreeMap<String, Vec<String>>| pods.keys().next_back().unwrap().clone();
    let (models, pod, after, loads) = come_and_leave("StatefulSet", last);
    assert_eq!(pod, "llama-2");
    assert_eq!(after, BTreeMap::from([("llama-0".to_owned(), models)]));
    assert!(loads >= 2.0, "{loads} loads");
}

#[test]
fn of_a_deployment_the_pods_go_that_were_emptied() {
    for pick in 0..3 {
        let nth = |pods: &BTreeMap<String, Vec<String>>| pods.keys().nth(pick).unwrap().clone();
        let (models, pod, after, loads) = come_and_leave("Deployment", nth);
        assert_eq!(after, BTreeMap::from([(pod, models)]));
        assert!(loads.abs() < 0.1, "{loads} loads");
    }
}
