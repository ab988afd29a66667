//! Server replicas that are replaced: restarted, or with another command.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value;
use tailback_tests::{eventually, http, process::Tailback};

use super::{infer, loaded, manifests, replicas};

const NAMES: [&str; 2] = ["a", "b"];
const SERVER: &str = "multiModel: {}\n  replicas: 1";
const MISSES: &str = "seldon_cache_miss_count{server=\"shared\"}";
const TOKEN: (&str, &str) = ("TAILBACK_ADMIN_TOKEN", "a-token-of-these-tests");

/// Both models, on a server with one replica, in which a load takes so many ms.
fn text(load: u32) -> String {
    let slow = format!(", --load-ms, '{load}'");
    manifests(&NAMES, SERVER, &slow, "")
}

/// Calls both models without a pause while `change` runs. All are answered.
fn answered_during(proxy: &Tailback, change: impl FnOnce()) {
    /// Ends the callers, also if the change fails.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for name in NAMES {
            let ended = &ended;
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let answer = infer(proxy, name);
                    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
                }
            });
        }
        let _end = End(&ended);
        change();
    });
}

/// The models of a new replica are loaded before the old one goes: no request waits for a load.
fn replaced_by(proxy: &Tailback, change: impl FnOnce(&Value)) {
    for name in NAMES {
        assert_eq!(infer(proxy, name).status, 200);
    }
    let before = replicas(proxy)[0].clone();
    let misses = proxy.metric(MISSES);
    answered_during(proxy, || {
        change(&before);
        eventually("the old replica to have gone", || {
            let all = replicas(proxy);
            all.len() == 1 && all[0]["name"] != before["name"]
        });
    });
    assert_eq!(loaded(&replicas(proxy)[0]), NAMES);
    assert_eq!(proxy.metric(MISSES), misses, "{}", proxy.log());
}

#[test]
fn a_changed_command_gets_the_models_before_the_old_process_goes() {
    let proxy = Tailback::start(&text(300), &[]);
    replaced_by(&proxy, |_| proxy.rewrite(&text(301)));
}

#[test]
fn a_replica_that_is_restarted_goes_when_its_models_are_in_the_new_one() {
    let proxy = Tailback::start(&text(300), &[TOKEN]);
    replaced_by(&proxy, |before| {
        let endpoint = before["endpoint"].as_str().unwrap();
        let path = format!("/models/a/replicas/{endpoint}/restart");
        let bearer = format!("Bearer {}", TOKEN.1);
        let headers = [("authorization", bearer.as_str())];
        let mut caller = http::Client::connect(proxy.admin).unwrap();
        let answer = caller.call("POST", &path, &headers, b"").unwrap();
        assert!(answer.status < 300, "{}", answer.text());
    });
}

#[test]
fn where_there_is_no_room_for_both_all_models_go_at_once_and_the_log_says_so() {
    let alone = |load| text(load).replace("  process:\n", "  process:\n    strategy: recreate\n");
    let proxy = Tailback::start(&alone(0), &[]);
    assert_eq!(infer(&proxy, "a").status, 200);
    let before = replicas(&proxy)[0]["name"].clone();
    proxy.rewrite(&alone(1));
    eventually("another replica", || {
        let all = replicas(&proxy);
        all.len() == 1 && all[0]["name"] != before
    });
    assert!(
        proxy.log().contains("drains with all its models"),
        "{}",
        proxy.log()
    );
    for name in NAMES {
        assert_eq!(infer(&proxy, name).status, 200);
    }
}
