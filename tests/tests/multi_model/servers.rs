//! Counts of servers that follow what their models need.

use tailback_tests::{eventually, eventually_within, process::Tailback};

use super::{failed_while, infer, loaded, manifests, placed, replicas, state};

const SCALED: &str =
    "multiModel: {}\n  minReplicas: 1\n  maxReplicas: 3\n  scaling: { stabilitySeconds: 0.2 }";

#[test]
fn a_server_gets_replicas_as_models_need_room_and_gives_them_back() {
    let all = ["a", "b", "c", "d", "e"];
    let proxy = Tailback::start(&manifests(&all[..1], SCALED, "", ""), &[]);
    assert_eq!(infer(&proxy, "a").status, 200);
    assert_eq!(replicas(&proxy).len(), 1);
    proxy.rewrite(&manifests(&all, SCALED, "", ""));
    eventually("the reload", || {
        proxy.page("/models").to_string().contains("\"e\"")
    });
    eventually("all to be placed", || {
        all.iter().all(|name| state(&proxy, name) == "available")
    });
    assert_eq!(replicas(&proxy).len(), 3);
    for name in all {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    proxy.rewrite(&manifests(&all[..1], SCALED, "", ""));
    eventually("the empty ones to go", || replicas(&proxy).len() == 1);
    assert_eq!(loaded(&replicas(&proxy)[0]), ["a"]);
    assert_eq!(infer(&proxy, "a").status, 200);
}

#[test]
fn processes_come_before_models_and_go_when_they_are_empty_and_no_request_is_lost() {
    let all = ["a", "b", "c", "d", "e", "f"];
    // Packing leaves a tenth free.
    let text = |names: &[&str]| {
        let text = manifests(names, SCALED, ", --service-time-ms, '5'", "");
        text.replace("memory: 2Gi", "memory: 2500Mi")
    };
    let packing = [("SERVER_PACKING_ENABLED", "true")];
    let proxy = Tailback::start(&text(&all[..1]), &packing);
    assert_eq!(infer(&proxy, "a").status, 200);
    let failed = failed_while(&proxy, &["a".to_owned()], &mut || {
        proxy.rewrite(&text(&all));
        eventually("the reload", || {
            proxy.page("/models").to_string().contains("\"f\"")
        });
        // They wait for a process, and then for their load.
        for name in all {
            let answer = infer(&proxy, name);
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        }
        eventually("all to be placed", || {
            placed(&proxy).values().map(Vec::len).sum::<usize>() == 6
        });
    });
    assert_eq!(failed, 0);
    assert_eq!(replicas(&proxy).len(), 3);
    let of = |what: &str| proxy.metric(&format!("{what}{{server=\"shared\",outcome=\"failed\"}}"));
    assert!(of("seldon_load_model_counter") < 0.5);

    // One model of each of two processes stays: one of them moves to the other's.
    let before = placed(&proxy);
    let stay: Vec<_> = before.values().take(2).map(|own| own[0].clone()).collect();
    let failed = failed_while(&proxy, &stay, &mut || {
        let names: Vec<_> = stay.iter().map(String::as_str).collect();
        proxy.rewrite(&text(&names));
        let patience = std::time::Duration::from_secs(40);
        eventually_within(patience, "two processes to go", || {
            let all = placed(&proxy);
            all.len() == 1 && all.values().all(|own| own.len() == 2)
        });
    });
    assert_eq!(failed, 0);
    assert!(of("seldon_unload_model_counter") < 0.5);
}

#[test]
fn models_are_moved_together_so_that_a_replica_can_go() {
    let packing = [("SERVER_PACKING_ENABLED", "true")];
    let all = ["a", "b", "c", "d"];
    let proxy = Tailback::start(&manifests(&all, SCALED, "", ""), &packing);
    eventually("all to be placed", || {
        all.iter().all(|name| state(&proxy, name) == "available")
    });
    assert_eq!(replicas(&proxy).len(), 2);
    // One of each replica.
    let stay: Vec<_> = replicas(&proxy)
        .iter()
        .map(|replica| loaded(replica)[0].clone())
        .collect();
    let stay: Vec<_> = stay.iter().map(String::as_str).collect();
    let small = manifests(&stay, SCALED, "", "").replace("memory: 1Gi", "memory: 800Mi");
    proxy.rewrite(&small);
    eventually_within(std::time::Duration::from_secs(40), "one to go", || {
        replicas(&proxy).len() == 1
    });
    for name in stay {
        let answer = infer(&proxy, name);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
}

#[test]
fn a_server_without_bounds_keeps_its_count() {
    let server = "multiModel: {}\n  replicas: 1";
    let proxy = Tailback::start(&manifests(&["a", "b", "c"], server, "", ""), &[]);
    assert_eq!(infer(&proxy, "a").status, 200);
    eventually("two to be placed", || {
        loaded(&replicas(&proxy)[0]).len() == 2
    });
    assert_eq!(replicas(&proxy).len(), 1);
}

#[test]
fn a_model_with_several_replicas_has_one_in_each_of_the_servers() {
    let text = manifests(&["a"], SCALED, "", ", minReplicas: 2, maxReplicas: 3");
    let proxy = Tailback::start(&text, &[]);
    eventually("two replicas", || proxy.ready("a") == 2);
    let all: Vec<_> = replicas(&proxy).iter().map(loaded).collect();
    assert_eq!(all, [["a"], ["a"]]);
}

#[test]
fn a_folder_of_seldons_documents_is_served_once_a_config_says_how_servers_are_run() {
    let mut text = String::from(
        "apiVersion: tailback.dev/v1alpha1
kind: ServerConfig
metadata: { name: mlserver }
spec:
  memory: 2Gi
  capabilities: [mlserver, sklearn]
  scaling: { stabilitySeconds: 0.2 }
  process: { command: [sample-server, --port, '{port}', --multi-model] }
---
apiVersion: mlops.seldon.io/v1alpha1
kind: Server
metadata: { name: mlserver, namespace: seldon-mesh }
spec: { serverConfig: mlserver, minReplicas: 1, maxReplicas: 2, extraCapabilities: [mine] }
---
apiVersion: mlops.seldon.io/v1alpha1
kind: Pipeline
metadata: { name: both }
spec: { steps: [{ name: a }, { name: b, inputs: [a] }], output: { steps: [b] } }
",
    );
    for name in ["a", "b", "c"] {
        text.push_str(&format!(
            "---
apiVersion: mlops.seldon.io/v1alpha1
kind: Model
metadata: {{ name: {name} }}
spec: {{ requirements: [sklearn, mine], memory: 1Gi, replicas: 1 }}
"
        ));
    }
    let proxy = Tailback::start(&text, &[("TAILBACK_SKIP_OTHER_KINDS", "true")]);
    for name in ["a", "b", "c"] {
        let answer = infer(&proxy, name);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    assert_eq!(replicas(&proxy).len(), 2, "one has room for two models");
}
