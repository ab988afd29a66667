//! The replica sets of a workload, event by event.

use std::path::Path;

use serde_json::json;
use tailback_config::{Env, load_text};

use super::*;

fn model(way: &str) -> Arc<Model> {
    let text = format!(
        "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: s }}\n\
         spec: {{ concurrency: 4, kubernetes: {{ name: llama, {way} }} }}\n---\n\
         apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\n"
    );
    let config = load_text(Path::new("a.yaml"), &text, &Env::default()).unwrap();
    config.models["m"].clone()
}

fn state(model: &Model) -> WorkloadState {
    let mut state = WorkloadState::new("s", &model.server.kubernetes().unwrap().source);
    state.set_concurrency(Some(4));
    state
}

fn observed(replicas: u32, ready: Option<u32>, version: &str) -> ObservedWorkload {
    ObservedWorkload {
        replicas: Some(replicas),
        ready,
        version: version.into(),
        failure: None,
        grace: None,
    }
}

#[test]
fn pods_that_are_killed_sooner_than_a_request_may_end_are_warned_about() {
    let warning = |grace: Option<u64>, timeouts: &str| {
        let model = model(&format!(
            "endpoints: ['http://a'] }}, timeouts: {{ {timeouts}"
        ));
        let mut state = state(&model);
        let observed = ObservedWorkload {
            grace: grace.map(Duration::from_secs),
            ..observed(1, None, "1")
        };
        state.workload_seen(&observed, CountAt::Spec, at(0));
        state.set(&model).unwrap().warning
    };
    assert_eq!(warning(None, ""), None);
    assert_eq!(warning(Some(600), ""), None);
    let why = warning(Some(30), "").unwrap();
    assert!(
        why.contains("killed 30 s after") && why.contains("600 s (timeouts.responseHeaderSeconds"),
        "{why}"
    );
    assert_eq!(warning(Some(30), "totalSeconds: 30"), None);
    let why = warning(Some(30), "totalSeconds: 31").unwrap();
    assert!(why.contains("31 s (timeouts.totalSeconds)"), "{why}");
}

fn slice(pods: &[&str]) -> EndpointSlice {
    let endpoint = |pod: &&str| json!({ "addresses": [pod], "targetRef": { "kind": "Pod", "name": pod, "uid": pod } });
    serde_json::from_value(json!({
        "addressType": "IPv4", "metadata": {}, "ports": [{ "port": 80 }],
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
    }))
    .unwrap()
}

fn at(seconds: u64) -> Nanos {
    Nanos::from_duration(Duration::from_secs(seconds))
}

fn see(state: &mut WorkloadState, pods: &[&str], now: Nanos) {
    state.slices_changed(|all| *all = [("a".to_owned(), slice(pods))].into(), now);
}

#[test]
fn before_both_watches_have_delivered_only_errors_are_reported() {
    let model = model("service: { name: llama }");
    let mut state = state(&model);
    assert!(state.set(&model).is_none());
    state.slices_trouble("no".into());
    let set = state.set(&model).unwrap();
    assert_eq!((set.desired, set.failure.as_deref()), (None, Some("no")));
    state.workload_seen(&observed(3, None, "1"), CountAt::Spec, at(0));
    assert_eq!(
        state.set(&model).unwrap().desired,
        None,
        "where they are is unknown"
    );
    see(&mut state, &["a", "b"], at(1));
    let set = state.set(&model).unwrap();
    assert_eq!(
        (set.desired, set.ready.len(), set.starting),
        (Some(3), 2, 1)
    );
    assert_eq!(set.failure, None);
}

#[test]
fn the_last_known_state_stays_while_a_watch_is_broken() {
    let model = model("service: { name: llama }");
    let mut state = state(&model);
    state.workload_seen(&observed(2, None, "1"), CountAt::Spec, at(0));
    see(&mut state, &["a", "b"], at(0));
    state.workload_trouble("away".into());
    state.slices_trouble("away".into());
    let set = state.set(&model).unwrap();
    assert_eq!((set.desired, set.ready.len()), (Some(2), 2));
    state.workload_gone("there is none".into(), at(9));
    let set = state.set(&model).unwrap();
    assert_eq!(
        (set.desired, set.ready.len()),
        (None, 2),
        "its pods may still serve"
    );
}

#[test]
fn start_up_is_timed_from_our_request_to_readiness() {
    let model = model("service: { name: llama }");
    let mut state = state(&model);
    state.workload_seen(&observed(1, None, "1"), CountAt::Spec, at(0));
    see(&mut state, &["a"], at(0));
    let scale = Scale {
        replicas: 2,
        present: 1,
        version: "2".into(),
    };
    state.answered(&scale, Some(1), at(10));
    see(&mut state, &["a", "b"], at(17));
    let set = state.set(&model).unwrap();
    assert_eq!(set.start_up, Some(Duration::from_secs(7)));
    see(&mut state, &["a", "c"], at(90));
    let set = state.set(&model).unwrap();
    assert_eq!(
        set.start_up,
        Some(Duration::from_secs(7)),
        "nobody asked for c"
    );
}

#[test]
fn behind_a_gateway_as_many_are_ready_as_the_status_or_the_scale_says() {
    let model = model("endpoints: [http://gateway]");
    let mut state = state(&model);
    state.workload_seen(&observed(3, Some(2), "1"), CountAt::Spec, at(0));
    let set = state.set(&model).unwrap();
    assert_eq!(
        (set.ready.len(), set.ready_count(), set.starting),
        (1, 2, 1)
    );
    state.workload_seen(&observed(3, None, "2"), CountAt::Spec, at(1));
    assert!(state.set(&model).unwrap().ready.is_empty());
    state.workload_seen(&observed(3, None, "3"), CountAt::Scale, at(2));
    let scale = Scale {
        replicas: 3,
        present: 3,
        version: "3".into(),
    };
    state.scale_read(&scale, at(2));
    assert_eq!(state.set(&model).unwrap().ready_count(), 3);
}
