//! Servers that fail, restart, refuse or lie.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tailback_tests::{
    eventually,
    http::{self, Client},
    process::{Tailback, servers_of},
    sample::SampleServer,
};

use super::{BODY, eventually_in_state, infer, loaded, manifests, on, replicas};

#[test]
fn a_model_that_cannot_be_loaded_answers_with_the_servers_own_message() {
    let server = "multiModel: {}\n  replicas: 1";
    let text = manifests(&["good", "bad-one"], server, ", --broken, bad", "");
    let proxy = Tailback::start(&text, &[]);
    let answer = infer(&proxy, "bad-one");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let said = "failed to load 'bad-one', failed to poll from model repository";
    assert!(answer.text().contains(said), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(infer(&proxy, "good").status, 200);
    eventually_in_state(&proxy, "bad-one", "failed");
    assert!(proxy.failure("bad-one").contains(said));
    let failed = "seldon_load_model_counter{server=\"shared\",outcome=\"failed\"}";
    assert!(proxy.metric(failed) >= 1.0);
}

#[test]
fn models_of_a_replica_that_crashes_are_loaded_elsewhere() {
    let server = "multiModel: {}\n  replicas: 2";
    let proxy = Tailback::start(&manifests(&["a", "b", "c"], server, "", ""), &[]);
    for name in ["a", "b", "c"] {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    let port = |replica: &serde_json::Value| {
        let endpoint = replica["endpoint"].as_str().unwrap();
        endpoint.rsplit_once(':').unwrap().1.to_owned()
    };
    let busiest = replicas(&proxy)
        .into_iter()
        .max_by_key(|replica| loaded(replica).len())
        .unwrap();
    for victim in servers_of(&port(&busiest)) {
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    }
    eventually("that replica to be gone", || {
        replicas(&proxy)
            .iter()
            .all(|replica| replica["name"] != busiest["name"])
    });
    for name in ["a", "b", "c"] {
        let answer = infer(&proxy, name);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
}

#[test]
fn a_server_that_forgets_its_models_gets_them_again() {
    let server = SampleServer::start_many(&[]);
    let proxy = Tailback::start(&on(server.address, &["a", "b"]), &[]);
    assert_eq!(infer(&proxy, "a").status, 200);
    // As after a restart at the same address, which the proxy does not see.
    let path = "/v2/repository/models/a/unload";
    assert_eq!(
        http::call(server.address, "POST", path, b"{}")
            .unwrap()
            .status,
        200
    );
    eventually("it to be loaded again", || {
        http::call(server.address, "GET", "/v2/models/a/ready", b"").is_ok_and(|r| r.status == 200)
    });
    eventually("an answer", || infer(&proxy, "a").status == 200);
}

#[test]
fn what_a_server_has_already_is_taken_over_and_what_is_not_configured_stays() {
    let server = SampleServer::start_many(&["--load-ms", "100"]);
    for name in ["a", "other"] {
        let path = format!("/v2/repository/models/{name}/load");
        assert_eq!(
            http::call(server.address, "POST", &path, b"{}")
                .unwrap()
                .status,
            200
        );
    }
    let proxy = Tailback::start(&on(server.address, &["a", "b"]), &[]);
    for name in ["a", "b"] {
        assert_eq!(infer(&proxy, name).status, 200);
    }
    proxy.logs("is loaded there already");
    let replica = &replicas(&proxy)[0];
    assert_eq!(replica["others"], serde_json::json!(["other"]));
    let ready = http::call(server.address, "GET", "/v2/models/other/ready", b"");
    assert_eq!(ready.unwrap().status, 200);
}

#[test]
fn a_server_without_a_repository_says_so_and_its_requests_are_held() {
    let server = SampleServer::start(&[]);
    let proxy = Tailback::start(&on(server.address, &["a"]), &[]);
    eventually("the reason", || {
        let why = proxy.failure("a");
        why.contains("cannot be listed") && why.contains("--model-control-mode=explicit")
    });
    let mut caller = Client::connect(proxy.address).unwrap();
    let request = http::request("POST", "/v2/models/a/infer", &[], BODY);
    caller.send(request).unwrap();
    eventually("the request to be held", || proxy.model("a")["held"] == 1);
}

#[test]
fn models_leave_a_server_that_stays_when_they_are_removed_or_renamed() {
    let server = SampleServer::start_many(&[]);
    let text = on(server.address, &["a", "b"]);
    let proxy = Tailback::start(&text, &[]);
    assert_eq!(infer(&proxy, "a").status, 200);
    let ready = |name: &str| {
        let path = format!("/v2/models/{name}/ready");
        http::call(server.address, "GET", &path, b"").is_ok_and(|r| r.status == 200)
    };
    proxy.rewrite(
        &text
            .replace("memory: 1Gi }", "memory: 1Gi, upstreamName: x }")
            .replacen(
                "memory: 1Gi, upstreamName: x }",
                "memory: 1Gi, upstreamName: y }",
                1,
            ),
    );
    eventually("the new names", || {
        ready("x") && ready("y") && !ready("a") && !ready("b")
    });
    eventually("an answer", || infer(&proxy, "a").status == 200);
    // No model of that server is left.
    let other = manifests(&["c"], "multiModel: {}", "", "").replace("shared", "another");
    proxy.rewrite(&other);
    eventually("them to be unloaded", || !ready("x") && !ready("y"));
    assert_eq!(infer(&proxy, "c").status, 200);
}
