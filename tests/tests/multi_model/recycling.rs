//! Replicas of servers that do not give back the memory of models: they are replaced, as soon as no
//! other model is in them.

use tailback_tests::{eventually, process::Tailback};

use super::{infer, loaded, manifests, replicas, state};

/// One replica, which never unloads models whose names begin with `stuck`.
fn text(names: &[&str]) -> String {
    let server = "multiModel: {}\n  replicas: 1";
    manifests(names, server, ", --stuck, stuck", "")
}

fn start(names: &[&str]) -> Tailback {
    Tailback::start(&text(names), &[("SELDON_MAX_UNLOAD_RETRY_COUNT", "0")])
}

/// Waits until a model that was just configured is known, and answers.
fn eventually_answered(proxy: &Tailback, model: &str) {
    eventually(model, || infer(proxy, model).status == 200);
}

/// The address of the only replica, while it is ready.
fn endpoint(proxy: &Tailback) -> Option<String> {
    let all = replicas(proxy);
    all.first()?["endpoint"].as_str().map(str::to_owned)
}

#[test]
fn a_replica_that_does_not_unload_its_last_model_is_replaced() {
    let proxy = start(&["stuck"]);
    assert_eq!(infer(&proxy, "stuck").status, 200);
    let before = endpoint(&proxy);
    // It needs all the room, so that it does not go in beside the other.
    proxy.rewrite(&text(&["large"]).replace("memory: 1Gi", "memory: 2Gi"));
    eventually_answered(&proxy, "large");
    assert_ne!(endpoint(&proxy), before);
    proxy.logs("does not unload its last models: it is replaced");
    let failed = "seldon_unload_model_counter{server=\"shared\",outcome=\"failed\"}";
    assert!(proxy.metric(failed) >= 1.0);
}

#[test]
fn a_replica_that_has_other_models_stays_says_so_counts_the_room_and_is_replaced_later() {
    let proxy = start(&["stuck-1", "other"]);
    for name in ["stuck-1", "other"] {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    let before = endpoint(&proxy);
    proxy.rewrite(&text(&["other", "third"]));
    eventually("it to be said", || {
        proxy
            .log()
            .contains("it is replaced when its other models have gone")
    });
    eventually("it to wait for room", || {
        state(&proxy, "third") == "waiting"
    });
    let one = &replicas(&proxy)[0];
    assert_eq!(one["usedBytes"], 2_u64 << 30, "{one}");
    assert_eq!(loaded(one), ["other"]);
    assert_eq!(infer(&proxy, "other").status, 200);
    assert_eq!(endpoint(&proxy), before);
    proxy.rewrite(&text(&["large"]).replace("memory: 1Gi", "memory: 2Gi"));
    eventually_answered(&proxy, "large");
    assert_ne!(endpoint(&proxy), before);
}

#[test]
fn a_replica_in_which_several_models_are_stuck_is_replaced() {
    let proxy = start(&["stuck-1", "stuck-2"]);
    for name in ["stuck-1", "stuck-2"] {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    proxy.rewrite(&text(&["third"]));
    eventually_answered(&proxy, "third");
}
