//! Repository APIs that fail, hang, or say what is not so.

use std::time::Duration;

use tailback_tests::{eventually, eventually_within, http, http::Client, process::Tailback};

use super::{BODY, double::Double, eventually_in_state, infer, on, reason, replicas, state};

/// For what is done every 5 s.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_replica_is_asked_for_four_loads_at_once_and_the_others_wait() {
    let server = Double::start();
    server.set(|script| script.load = Some(None));
    let names: Vec<String> = (0..10).map(|n| format!("model-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = on(server.address, &names).replace("memory: 2Gi", "memory: 16Gi");
    let proxy = Tailback::start(&text, &[]);
    eventually("four loads", || server.script().loading == 4);
    eventually("all to be loading", || {
        names.iter().all(|name| state(&proxy, name) == "loading")
    });
    assert_eq!(server.script().loading, 4);
    server.set(|script| script.load = None);
    eventually("all to be loaded", || {
        names.iter().all(|name| state(&proxy, name) == "available")
    });
    assert_eq!(server.script().most_loading, 4);
}

#[test]
fn a_server_that_does_not_speak_grpc_shows_that_its_models_cannot_be_listed() {
    let server = Double::start();
    let text =
        on(server.address, &["a"]).replace("multiModel: {}", "multiModel: { repositoryApi: grpc }");
    let proxy = Tailback::start(&text, &[]);
    let trouble = || {
        let all = replicas(&proxy);
        all.first()
            .map(|own| own["trouble"].to_string())
            .unwrap_or_default()
    };
    eventually("the trouble", || trouble().contains("RepositoryIndex"));
    assert!(trouble().contains("cannot be listed"), "{}", trouble());
    assert_eq!(server.script().indexes, 0, "it was not asked by HTTP/1.1");
}

#[test]
fn where_nothing_changes_no_plan_is_made() {
    let server = Double::start();
    let names = ["a", "b", "c"];
    let text = on(server.address, &names).replace("memory: 2Gi", "memory: 3Gi");
    let proxy = Tailback::start(&text, &[("TAILBACK_LOG", "info,tailback_scaler=debug")]);
    eventually("all to be loaded", || {
        names.iter().all(|name| state(&proxy, name) == "available")
    });
    let plans = || proxy.log().matches("made a plan").count();
    let asked_again = |times: usize| {
        let before = server.script().indexes;
        eventually_within(PATIENCE, "it to be asked what it has", || {
            server.script().indexes >= before + times
        });
    };
    asked_again(1);
    let before = plans();
    assert!(before > 0);
    asked_again(2);
    assert_eq!(plans(), before);
    // What it has forgotten is a change.
    server.set(|script| script.loaded.clear());
    asked_again(2);
    assert!(plans() > before);
}

#[test]
fn a_load_that_is_answered_with_500_fails_with_that_answer_and_is_tried_again() {
    let server = Double::start();
    server.set(|script| script.load = Some(Some((500, r#"{"error":"out of disk"}"#))));
    let proxy = Tailback::start(&on(server.address, &["a"]), &[]);
    let answer = infer(&proxy, "a");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("out of disk"), "{}", answer.text());
    eventually_in_state(&proxy, "a", "failed");
    server.set(|script| script.load = None);
    eventually("it to be loaded", || state(&proxy, "a") == "available");
    assert_eq!(infer(&proxy, "a").status, 200);
}

#[test]
fn requests_wait_for_a_load_that_hangs_until_their_hold_ends() {
    let server = Double::start();
    server.set(|script| script.load = Some(None));
    let mut text = on(server.address, &["a"]);
    text = text.replace("memory: 1Gi }", "memory: 1Gi, hold: { seconds: 1 } }");
    let proxy = Tailback::start(&text, &[]);
    let answer = infer(&proxy, "a");
    assert_eq!(answer.status, 503, "{}", answer.text());
    eventually_in_state(&proxy, "a", "loading");
    server.set(|script| script.load = None);
    eventually("an answer", || infer(&proxy, "a").status == 200);
}

#[test]
fn a_model_that_is_said_to_be_loaded_and_is_not_ready_has_failed() {
    let server = Double::start();
    server.set(|script| script.ready = Some(Some((400, ""))));
    let proxy = Tailback::start(&on(server.address, &["a"]), &[]);
    let answer = infer(&proxy, "a");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("not ready"), "{}", answer.text());
    server.set(|script| script.ready = None);
    eventually("an answer", || infer(&proxy, "a").status == 200);
}

#[test]
fn an_index_that_is_no_json_is_said_and_requests_are_held_until_it_is() {
    let server = Double::start();
    server.set(|script| script.index = Some(Some((200, "<html>"))));
    let proxy = Tailback::start(&on(server.address, &["a"]), &[]);
    eventually("the reason", || {
        let why = proxy.failure("a");
        why.contains("the index is no list of models") && why.contains("<html>")
    });
    let mut caller = Client::connect(proxy.address).unwrap();
    let request = http::request("POST", "/v2/models/a/infer", &[], BODY);
    caller.send(request).unwrap();
    eventually("the request to be held", || proxy.model("a")["held"] == 1);
    server.set(|script| script.index = None);
    assert_eq!(caller.receive().unwrap().status, 200);
}

#[test]
fn a_model_that_cannot_be_unloaded_keeps_its_room_until_it_can() {
    let server = Double::start();
    let text = |names: &[&str]| on(server.address, names);
    let proxy = Tailback::start(&text(&["a", "b"]), &[]);
    for name in ["a", "b"] {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    server.set(|script| script.unload = Some(Some((500, r#"{"error":"busy"}"#))));
    proxy.rewrite(&text(&["b", "c"]));
    eventually("a failed unload", || server.script().unloads > 0);
    eventually("it to wait for room", || state(&proxy, "c") == "waiting");
    let why = reason(&proxy, "c");
    assert!(why.contains("1 GiB"), "{why}");
    assert_eq!(replicas(&proxy)[0]["usedBytes"], 2_u64 << 30);
    assert_eq!(infer(&proxy, "b").status, 200);
    server.set(|script| script.unload = None);
    eventually("its room to be free", || state(&proxy, "c") == "available");
    assert_eq!(infer(&proxy, "c").status, 200);
}
