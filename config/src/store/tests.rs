//! Tests of reloads.

use std::fs;

use super::*;
use crate::ClusterKind;

const GOOD: &str = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: up }\n\
    spec: { static: { endpoints: ['http://a'] } }\n---\n\
    apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: m }\n";

#[test]
fn a_bad_reload_keeps_what_was_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, GOOD).unwrap();
    let store = Store::open(&[folder.path().to_owned()], Env::default()).unwrap();
    let before = store.current();
    fs::write(&file, "kind: Nonsense\n").unwrap();
    assert!(store.reload().is_err());
    assert!(Arc::ptr_eq(&before, &store.current()));
    fs::remove_file(&file).unwrap();
    assert!(store.reload().is_err());
    assert!(Arc::ptr_eq(&before, &store.current()));
}

#[test]
fn a_reload_says_what_is_different() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), GOOD).unwrap();
    let store = Store::open(&[folder.path().to_owned()], Env::default()).unwrap();
    fs::write(
        folder.path().join("b.yml"),
        "apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: n }\n",
    )
    .unwrap();
    let changed = |notes: &[&str]| Reloaded {
        warnings: Vec::new(),
        changed: true,
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
    };
    assert_eq!(store.reload().unwrap(), changed(&["model n: added"]));
    fs::remove_file(folder.path().join("b.yml")).unwrap();
    assert_eq!(store.reload().unwrap(), changed(&["model n: removed"]));
    fs::write(
        folder.path().join("a.yaml"),
        GOOD.replace("http://a", "http://b"),
    )
    .unwrap();
    assert_eq!(
        store.reload().unwrap(),
        changed(&["server up: changed", "model m: changed"])
    );
}

#[test]
fn a_comment_changes_nothing_but_the_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs::write(&file, GOOD).unwrap();
    let store = Store::open(std::slice::from_ref(&file), Env::default()).unwrap();
    fs::write(&file, format!("# a comment\n{GOOD}")).unwrap();
    assert_eq!(
        store.reload().unwrap(),
        Reloaded {
            warnings: Vec::new(),
            changed: false,
            notes: Vec::new()
        }
    );
    assert_eq!(store.current().servers["up"].place.line, 2);
}

// === objects of a cluster ===

fn in_cluster() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), GOOD).unwrap();
    let env = Env::from([("TAILBACK_KUBE_MODELS", "models")]);
    let store = Store::open(&[folder.path().to_owned()], env).unwrap();
    (folder, store)
}

fn workload(name: &str, annotations: &[(&str, &str)]) -> ClusterObject {
    ClusterObject {
        kind: ClusterKind::Workload {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
        },
        namespace: "models".into(),
        name: name.into(),
        annotations: annotations
            .iter()
            .map(|(name, value)| (format!("tailback.dev/{name}"), (*value).to_owned()))
            .collect(),
    }
}

fn seldon(name: &str, min: u32, max: u32) -> ClusterObject {
    ClusterObject {
        kind: ClusterKind::SeldonModel {
            min: Some(min),
            max: Some(max),
        },
        ..workload(name, &[])
    }
}

#[test]
fn annotated_workloads_and_seldon_models_are_served_beside_the_manifests() {
    let (_folder, store) = in_cluster();
    store.set_cluster(vec![
        workload(
            "llama",
            &[
                ("model", "llama-3"),
                ("min-replicas", "0"),
                ("max-replicas", "5"),
                ("concurrency", "8"),
                ("port", "http"),
                ("lag-threshold", "12"),
                ("inactive-seconds", "2.5"),
            ],
        ),
        workload("database", &[]),
        seldon("iris", 0, 3),
    ]);
    assert_eq!(store.reload().unwrap().warnings, [""; 0]);
    let config = store.current();
    assert_eq!(
        config.models.keys().collect::<Vec<_>>(),
        ["iris", "llama-3", "m"]
    );
    let llama = &config.models["llama-3"];
    assert_eq!(
        llama.server.kubernetes().unwrap().to_string(),
        "Deployment (apps/v1) models/llama, Service llama port http"
    );
    let replicas = &llama.replicas;
    assert_eq!((replicas.min, replicas.max, replicas.scaled), (0, 5, true));
    assert_eq!(llama.concurrency.value.map(u32::from), Some(8));
    assert_eq!(llama.scaling.lag_threshold.value.get(), 12);
    assert_eq!(llama.scaling.inactive.value.as_millis(), 2500);
    let iris = &config.models["iris"];
    assert_eq!(
        iris.server.kubernetes().unwrap().to_string(),
        "Model (mlops.seldon.io/v1alpha1) models/iris, through seldon-mesh.models:80"
    );
    assert_eq!((iris.replicas.min, iris.replicas.max), (1, 3));
    store.set_cluster(Vec::new());
    store.reload().unwrap();
    assert_eq!(store.current().models.len(), 1);
}

#[test]
fn an_object_that_is_wrong_stays_as_it_was_and_leaves_the_others_alone() {
    let (_folder, store) = in_cluster();
    let good = || workload("a", &[("model", "a"), ("max-replicas", "3")]);
    store.set_cluster(vec![good(), workload("b", &[("model", "b")])]);
    store.reload().unwrap();
    let bad = || workload("a", &[("model", "a"), ("max-replicas", "many")]);
    let others = || workload("c", &[("model", "c"), ("min-replica", "1")]);
    store.set_cluster(vec![
        bad(),
        workload("b", &[("model", "b"), ("port", "80")]),
        others(),
    ]);
    let reloaded = store.reload().unwrap();
    assert_eq!(
        reloaded.warnings,
        [
            "Deployment models/a: tailback.dev/max-replicas: found \"many\", expected a whole number from 0 to \
             4294967295; it stays as it was",
            "Deployment models/c: metadata.annotations[tailback.dev/min-replica]: there is no such annotation; did you \
             mean min-replicas?; it is not served",
        ]
    );
    let config = store.current();
    assert_eq!(config.models["a"].replicas.max, 3);
    let b = config.models["b"].server.kubernetes().unwrap().to_string();
    assert!(b.ends_with("port 80"), "{b}");
    assert!(!config.models.contains_key("c"));
    assert_eq!(store.reload().unwrap().warnings, [""; 0], "said once");
    store.set_cluster(vec![good()]);
    assert_eq!(store.reload().unwrap().warnings, [""; 0]);
    store.set_cluster(vec![bad()]);
    assert_eq!(store.reload().unwrap().warnings.len(), 1, "wrong again");
}

#[test]
fn an_annotation_names_the_strategy_by_which_replicas_are_chosen() {
    let (_folder, store) = in_cluster();
    let with = |strategy| workload("a", &[("model", "a"), ("load-balancing", strategy)]);
    store.set_cluster(vec![with("prefix")]);
    assert_eq!(store.reload().unwrap().warnings, [""; 0]);
    let strategy = || store.current().models["a"].server.load_balancing.clone();
    assert_eq!(strategy().as_str(), "prefix");
    store.set_cluster(vec![with("prefixes")]);
    let warnings = store.reload().unwrap().warnings;
    assert!(
        warnings[0].starts_with(
            "Deployment models/a: tailback.dev/load-balancing: found \"prefixes\", expected powerOfTwo"
        ),
        "{warnings:?}"
    );
    assert_eq!(strategy().as_str(), "prefix");
}

#[test]
fn the_manifests_win_over_the_cluster_and_the_first_object_over_the_second() {
    let (folder, store) = in_cluster();
    store.set_cluster(vec![
        workload("z", &[("model", "x")]),
        workload("m", &[("model", "m"), ("max-replicas", "4")]),
        workload("a", &[("model", "x")]),
    ]);
    assert_eq!(
        store.reload().unwrap().warnings,
        [
            "Deployment models/m: the manifests have a model m already; it is not served",
            "Deployment models/z: Deployment models/a describes model x already; it is not served",
        ]
    );
    let config = store.current();
    assert!(config.models["m"].server.endpoints().is_some());
    let x = config.models["x"].server.kubernetes().unwrap();
    assert_eq!(x.name, "a");
    // A wrong manifest is still refused.
    fs::write(folder.path().join("a.yaml"), "kind: Nonsense\n").unwrap();
    assert!(store.reload().is_err());
}

#[test]
fn whatever_annotations_say_they_are_text_and_no_yaml() {
    let (_folder, store) = in_cluster();
    for value in [
        "a\" }, spec: {",
        "\u{0}\n\\",
        "{{}}",
        "",
        "1.2.3",
        "true",
        "é",
    ] {
        store.set_cluster(vec![
            workload("a", &[("model", value), ("service", value)]),
            workload("b", &[("model", "b"), ("upstream-name", "q\"}\\")]),
        ]);
        store.reload().unwrap();
        let config = store.current();
        assert_eq!(config.models["b"].upstream_name.as_deref(), Some("q\"}\\"));
    }
}

#[test]
fn an_object_of_the_cluster_gives_way_to_an_alias_of_the_manifests() {
    let (folder, store) = in_cluster();
    let aliased = format!("{GOOD}spec: {{ aliases: [Qwen/Qwen2.5] }}\n");
    fs::write(folder.path().join("a.yaml"), aliased).unwrap();
    store.set_cluster(vec![
        workload("w", &[("model", "Qwen/Qwen2.5")]),
        workload("v", &[("model", "other/one")]),
    ]);
    let reloaded = store.reload().unwrap();
    assert_eq!(reloaded.warnings.len(), 1, "{reloaded:?}");
    let warning = &reloaded.warnings[0];
    assert!(
        warning.starts_with("Deployment models/w: ")
            && warning.contains("it is an alias of model m")
            && warning.ends_with("it is not served"),
        "{warning}"
    );
    let models: Vec<_> = store.current().models.keys().cloned().collect();
    assert_eq!(models, ["m", "other/one"]);
}
