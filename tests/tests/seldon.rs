//! Models of Seldon Core 2, scaled by triggers to its scheduler.

use std::time::UNIX_EPOCH;

use tailback_tests::{
    eventually_async,
    http::{call, hang},
    process::Tailback,
    seldon::{Scheduler, State},
    upstream::Upstream,
};

fn manifests(scheduler: &Scheduler, mesh: &Upstream, model: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: mesh }}
spec:
  concurrency: 2
  seldon:
    scheduler: {0}
    agent: {0}
    endpoints: ['http://{1}']
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m }}
spec: {{ server: mesh, upstreamName: iris, {model} }}
",
        scheduler.address, mesh.address
    )
}

const QUICK: &[(&str, &str)] = &[
    ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "1"),
    ("SELDON_SCALING_STATS_PERIOD_SECONDS", "0.2"),
    ("TAILBACK_SCALING_STABILITY_SECONDS", "0"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_reached_by_single_triggers_and_none_is_sent_too_early() {
    let scheduler = Scheduler::start(State::of("iris", 1, 1, 4)).await;
    let mesh = Upstream::start();
    let model = "minReplicas: 1, maxReplicas: 4, scaling: { lagThreshold: 2 }";
    let proxy = Tailback::start(&manifests(&scheduler, &mesh, model), QUICK);
    eventually_async("what there is", || {
        proxy.model("m")["replicas"]["readyCount"] == 1
    })
    .await;
    assert!(
        scheduler.state().triggers.is_empty(),
        "it was there already"
    );
    let callers: Vec<_> = (0..8).map(|_| hang(proxy.address)).collect();
    eventually_async("four replicas", || scheduler.state().replicas == 4).await;
    assert_eq!(scheduler.state().triggers, [(true, 1); 3]);
    eventually_async("what four take", || {
        proxy.model("m")["replicas"]["ready"][0]["inFlight"] == 8
    })
    .await;
    // Down only once the scheduler would do it: a minute after the change.
    drop(callers);
    proxy.rewrite(&manifests(&scheduler, &mesh, "replicas: 1"));
    eventually_async("a wish for less", || {
        proxy.model("m")["replicas"]["desired"] == 1
    })
    .await;
    assert_eq!(scheduler.state().triggers.len(), 3);
    while scheduler.state().replicas > 1 {
        let before = scheduler.state().replicas;
        scheduler.state().changed = UNIX_EPOCH;
        eventually_async("one less", || scheduler.state().replicas == before - 1).await;
    }
    assert_eq!(scheduler.state().triggers[3..], [(false, 1); 3]);
    assert_eq!(
        call(proxy.address, "GET", "/v2/models/m/ok", b"")
            .unwrap()
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_is_lost_is_sent_again_and_another_version_is_taken_note_of() {
    let mut state = State::of("iris", 1, 1, 4);
    (state.lose, state.version) = (1, 7);
    let scheduler = Scheduler::start(state).await;
    let mesh = Upstream::start();
    let model = "minReplicas: 2, maxReplicas: 4";
    let proxy = Tailback::start(&manifests(&scheduler, &mesh, model), QUICK);
    eventually_async("a trigger", || scheduler.state().triggers == [(true, 7)]).await;
    // A new version is known for a reason to look anew, at once.
    scheduler.state().version = 8;
    eventually_async("two", || scheduler.state().replicas == 2).await;
    assert_eq!(scheduler.state().triggers, [(true, 7), (true, 8)]);
    eventually_async("two ready", || {
        proxy.model("m")["replicas"]["readyCount"] == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_the_scheduler_would_ignore_is_refused_with_what_to_change() {
    let mesh = Upstream::start();
    for (change, part) in [
        (
            (|state: &mut State| state.max = 1) as fn(&mut State),
            "room for 1",
        ),
        (
            |state| (state.min, state.max) = (0, 0),
            "without minReplicas and maxReplicas",
        ),
        (|state| state.enabled = false, "autoscalingModelEnabled"),
        (
            |state| state.model = "other".into(),
            "Failed to find model iris",
        ),
        (|state| state.room = 1, "enough suitable replicas"),
    ] {
        let mut state = State::of("iris", 1, 1, 4);
        change(&mut state);
        let scheduler = Scheduler::start(state).await;
        let model = "minReplicas: 2, maxReplicas: 4";
        let proxy = Tailback::start(&manifests(&scheduler, &mesh, model), QUICK);
        eventually_async(part, || {
            let replicas = &proxy.model("m")["replicas"];
            let failure = format!("{} {}", replicas["failure"], replicas["reason"]);
            let decisions = proxy.page("/decisions").to_string();
            failure.contains(part) || decisions.contains(part)
        })
        .await;
    }
}
