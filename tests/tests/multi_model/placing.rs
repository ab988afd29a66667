//! Which models are loaded where.

use tailback_tests::{eventually, http::Client, process::Tailback};

use super::{BODY, eventually_in_state, infer, loaded, manifests, reason, replicas, state};

#[test]
fn models_are_loaded_into_replicas_with_room_and_answer_under_their_own_names() {
    let names = ["a", "b", "c"];
    let text = manifests(&names, "multiModel: {}\n  replicas: 2", "", "");
    let proxy = Tailback::start(&text, &[]);
    for name in names {
        let answer = infer(&proxy, name);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said = format!("\"model_name\":\"{name}\"");
        assert!(answer.text().contains(&said), "{}", answer.text());
        eventually_in_state(&proxy, name, "available");
    }
    let all: Vec<_> = replicas(&proxy).iter().map(loaded).collect();
    assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 3, "{all:?}");
    assert!(all.iter().all(|models| models.len() <= 2), "{all:?}");
}

#[test]
fn a_model_without_room_says_why_and_gets_the_room_of_one_that_is_removed() {
    let server = "multiModel: {}\n  replicas: 1";
    let proxy = Tailback::start(&manifests(&["a", "b", "c"], server, "", ""), &[]);
    eventually("two models", || {
        ["a", "b", "c"]
            .iter()
            .filter(|name| state(&proxy, name) == "available")
            .count()
            == 2
    });
    let waiting = ["a", "b", "c"]
        .into_iter()
        .find(|name| state(&proxy, name) == "waiting");
    let waiting = waiting.unwrap();
    let why = reason(&proxy, waiting);
    assert!(
        why.contains("1 GiB") && why.contains("over-commit 0 %"),
        "{why}"
    );
    let kept: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .filter(|name| *name != waiting)
        .collect();
    proxy.rewrite(&manifests(&[kept[0], waiting], server, "", ""));
    eventually("it to be loaded", || state(&proxy, waiting) == "available");
    assert_eq!(infer(&proxy, waiting).status, 200);
}

#[test]
fn an_evicted_model_comes_back_with_its_next_request_which_is_held_meanwhile() {
    let names = ["a", "b", "c"];
    let server = "multiModel: { overcommitPercentage: 50 }\n  replicas: 1";
    let proxy = Tailback::start(&manifests(&names, server, ", --load-ms, '50'", ""), &[]);
    // Each is loaded once, and there is room for two.
    for _ in 0..2 {
        for name in names {
            let answer = infer(&proxy, name);
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        }
    }
    let decided = proxy.page("/decisions")["placement"].to_string();
    assert!(
        decided.contains("needs the room") && decided.contains("\"drain\""),
        "{decided}"
    );
    let evictions = "seldon_cache_evict_count{server=\"shared\"}";
    assert!(proxy.metric(evictions) >= 2.0);
    assert!(proxy.metric("seldon_cache_miss_count{server=\"shared\"}") >= 1.0);
    eventually("two of three to be there", || {
        loaded(&replicas(&proxy)[0]).len() == 2
    });
    for name in names {
        assert_eq!(proxy.outcome(name, "success"), 2, "{name}");
    }
}

#[test]
fn a_model_in_use_keeps_its_room_until_its_request_has_ended() {
    let server = "multiModel: { overcommitPercentage: 100 }\n  replicas: 1";
    let arguments = ", --service-time-ms, '2000'";
    let names = ["a", "b", "c", "d"];
    let proxy = Tailback::start(&manifests(&names, server, arguments, ""), &[]);
    let callers: Vec<_> = names
        .iter()
        .map(|name| {
            let mut caller = Client::connect(proxy.address).unwrap();
            let path = format!("/v2/models/{name}/infer");
            let request = tailback_tests::http::request("POST", &path, &[], BODY);
            caller.send(request).unwrap();
            caller
        })
        .collect();
    for (name, mut caller) in names.iter().zip(callers) {
        let answer = caller.receive().unwrap();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
}

#[test]
fn a_pinned_model_is_never_evicted() {
    let server = "multiModel: { overcommitPercentage: 100 }\n  replicas: 1";
    let mut text = manifests(&["a", "b", "c"], server, "", "");
    text.push_str(
        "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: pinned }
spec: { server: shared, memory: 1Gi, scaling: { pin: true } }
",
    );
    let proxy = Tailback::start(&text, &[]);
    assert_eq!(infer(&proxy, "pinned").status, 200);
    for name in ["a", "b", "c"] {
        assert_eq!(infer(&proxy, name).status, 200);
        assert_eq!(state(&proxy, "pinned"), "available");
    }
}

#[test]
fn a_request_counts_for_the_model_that_answers_it_whatever_else_it_names() {
    let text = manifests(&["a", "b"], "multiModel: {}\n  replicas: 1", "", "");
    let proxy = Tailback::start(&text, &[]);
    for name in ["a", "b"] {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    let mut caller = Client::connect(proxy.address).unwrap();
    // The header decides, and the path is for a model that is not served here by that name.
    let header = [("seldon-model", "a")];
    let answer = caller
        .call("POST", "/v2/models/x/infer", &header, BODY)
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.text().contains("\"model_name\":\"a\""),
        "{}",
        answer.text()
    );
    eventually("it to be counted", || proxy.outcome("a", "success") == 2);
}

#[test]
fn a_replica_takes_no_more_requests_of_all_its_models_than_the_servers_concurrency() {
    const EACH: u32 = 4;
    const TAKES: std::time::Duration = std::time::Duration::from_millis(50);
    let server = "multiModel: {}\n  concurrency: 1\n  replicas: 1";
    let text = manifests(&["a", "b"], server, ", --service-time-ms, '50'", "");
    let proxy = Tailback::start(&text, &[]);
    eventually_in_state(&proxy, "a", "available");
    eventually_in_state(&proxy, "b", "available");
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..EACH {
            for name in ["a", "b"] {
                scope.spawn(|| {
                    let answer = infer(&proxy, name);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                });
            }
        }
    });
    assert!(began.elapsed() >= TAKES * 2 * EACH, "one after the other");
    eventually("nothing in flight", || {
        ["a", "b"]
            .iter()
            .all(|name| proxy.model(name)["inFlight"] == 0)
    });
}

const TOKEN: (&str, &str) = ("TAILBACK_ADMIN_TOKEN", "a-token-of-these-tests");

/// Two replicas, of which `big` fills one, and `a`, for which there is room in the other.
fn one_is_full(counts: &str) -> Tailback {
    let server = "multiModel: {}\n  replicas: 2";
    let mut text = manifests(&["a"], server, "", counts);
    text.push_str(
        "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: big }
spec: { server: shared, memory: 2Gi, scaling: { pin: true } }
",
    );
    let proxy = Tailback::start(&text, &[TOKEN]);
    eventually_in_state(&proxy, "big", "available");
    proxy
}

#[test]
fn a_model_of_which_fewer_fit_than_it_must_have_serves_on_those() {
    let proxy = one_is_full(", minReplicas: 2, maxReplicas: 2");
    eventually_in_state(&proxy, "a", "partial");
    let why = reason(&proxy, "a");
    assert!(why.contains("1 GiB"), "{why}");
    assert_eq!(infer(&proxy, "a").status, 200);
}

#[test]
fn a_scale_up_for_which_there_is_no_room_leaves_nothing_but_its_reason() {
    let proxy = one_is_full(", minReplicas: 1, maxReplicas: 2");
    eventually_in_state(&proxy, "a", "available");
    let mut admin = Client::connect(proxy.admin).unwrap();
    let bearer = format!("Bearer {}", TOKEN.1);
    let headers = [("authorization", bearer.as_str())];
    let body = br#"{"replicas": 2, "seconds": 3600}"#;
    let answer = admin.call("POST", "/models/a/scale", &headers, body);
    assert_eq!(answer.unwrap().status, 200);
    eventually("the reason", || {
        let why = proxy.model("a")["replicas"]["reason"].to_string();
        why.contains("the server has room for 1 only")
    });
    assert_eq!(proxy.model("a")["replicas"]["desired"], 1);
    assert_eq!(
        (state(&proxy, "a"), reason(&proxy, "a")),
        ("available".into(), String::new())
    );
    assert_eq!(infer(&proxy, "a").status, 200);
}
