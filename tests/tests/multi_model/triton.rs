//! Triton's ways, by a double: unloads that go on after their answer, refusals, ensembles.

use tailback_tests::{eventually, process::Tailback};

use super::{
    eventually_in_state, infer, on, reason, replicas, state,
    triton_double::{State, Triton},
};

/// Waits until it has been asked what it has so many times more.
fn asked_again(server: &Triton, times: usize) {
    let before = server.shared().indexes;
    eventually("it to be asked what it has", || {
        server.shared().indexes >= before + times
    });
}

#[test]
fn room_of_a_model_is_given_away_when_triton_has_freed_it_and_not_when_it_says_so() {
    let server = Triton::start(2, &["a", "b", "c"]);
    let proxy = Tailback::start(&on(server.address, &["a", "b"]), &[]);
    for name in ["a", "b"] {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    server.shared().keeps_memory = true;
    proxy.rewrite(&on(server.address, &["b", "c"]));
    eventually("the unload", || server.state("a") == State::Unloading);
    eventually("it to wait for room", || state(&proxy, "c") == "waiting");
    asked_again(&server, 3);
    assert_eq!(state(&proxy, "c"), "waiting");
    let why = reason(&proxy, "c");
    assert!(why.contains("1 GiB"), "{why}");
    assert_eq!(infer(&proxy, "b").status, 200);
    server.free();
    assert_eq!(infer(&proxy, "c").status, 200);
    let shared = server.shared();
    assert_eq!((shared.did_not_fit, shared.reloads), (0, 0));
}

#[test]
fn what_triton_unloads_when_the_proxy_starts_takes_its_room_until_it_is_gone() {
    let server = Triton::start(2, &["a", "b", "c"]);
    server.put("a", State::Unloading);
    server.put("b", State::Ready);
    let proxy = Tailback::start(&on(server.address, &["a", "b", "c"]), &[]);
    assert_eq!(infer(&proxy, "b").status, 200);
    proxy.logs("is being unloaded there");
    eventually("them to wait for room", || {
        state(&proxy, "a") == "waiting" || state(&proxy, "c") == "waiting"
    });
    asked_again(&server, 3);
    let one = &replicas(&proxy)[0];
    assert_eq!(one["usedBytes"], 2_u64 << 30, "{one}");
    server.free();
    // Which of the two gets the room is not said.
    eventually("one of them to be loaded", || {
        state(&proxy, "a") == "available" || state(&proxy, "c") == "available"
    });
    let shared = server.shared();
    assert_eq!((shared.did_not_fit, shared.reloads), (0, 0));
}

#[test]
fn what_triton_says_of_a_load_that_it_refuses_reaches_the_caller_and_the_page() {
    let server = Triton::start(2, &["a"]);
    let proxy = Tailback::start(&on(server.address, &["a", "unknown"]), &[]);
    let answer = infer(&proxy, "unknown");
    let said = "failed to load 'unknown', failed to poll from model repository";
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains(said), "{}", answer.text());
    eventually_in_state(&proxy, "unknown", "failed");
    assert!(proxy.failure("unknown").contains(said));
    assert_eq!(infer(&proxy, "a").status, 200);
    // It is there now, and the load is tried again.
    server.put("unknown", State::Never);
    eventually("an answer", || infer(&proxy, "unknown").status == 200);
}

#[test]
fn models_that_triton_unloads_by_itself_are_loaded_again() {
    let server = Triton::start(2, &["a"]);
    let proxy = Tailback::start(&on(server.address, &["a"]), &[]);
    assert_eq!(infer(&proxy, "a").status, 200);
    server.put("a", State::Unavailable);
    eventually("it to be loaded again", || {
        server.state("a") == State::Ready
    });
    eventually("an answer", || infer(&proxy, "a").status == 200);
    proxy.logs("reason=\"unloaded\"");
}

#[test]
fn what_an_ensemble_has_loaded_stays_at_triton_and_is_listed() {
    let server = Triton::start(3, &["a", "ensemble", "step"]);
    server.compose("ensemble", &["step"]);
    let proxy = Tailback::start(&on(server.address, &["a", "ensemble"]), &[]);
    assert_eq!(infer(&proxy, "ensemble").status, 200);
    proxy.rewrite(&on(server.address, &["a"]));
    eventually("it to be unloaded", || {
        server.state("ensemble") == State::Unavailable
    });
    assert!(server.state("step") == State::Ready);
    eventually("the step to be listed", || {
        replicas(&proxy)[0]["others"] == serde_json::json!(["step"])
    });
    assert_eq!(infer(&proxy, "a").status, 200);
}
