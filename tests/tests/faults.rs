//! Faults in operation: replicas that die or never start, addresses in use, broken manifests, and
//! the end of the proxy.

use std::{net::TcpListener, process::Stdio, sync::atomic::AtomicU32};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tailback_tests::{
    eventually,
    http::{Client, request},
    load::under_load,
    process::{Tailback, processes_with, servers_of, tailback, unique},
    upstream::{Upstream, never_ready_manifest},
};

const BODY: &[u8] = include_bytes!("../../examples/infer.json");

/// The model `name` on a server of its own that runs `command`.
fn manifests(name: &str, command: &str, process: &str, model: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: server }}
spec:
  concurrency: 8
  process:
    command: {command}
    {process}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {name} }}
spec:
  server: server
  {model}
"
    )
}

/// The model `name` at `upstream`, which takes so many requests at once.
fn static_with_concurrency(upstream: &Upstream, name: &str, concurrency: u32) -> String {
    let at = format!("spec: {{ concurrency: {concurrency}, static");
    upstream.manifest(&[name]).replace("spec: { static", &at)
}

/// The sample server with inferences of this many milliseconds.
fn sample(milliseconds: u32) -> String {
    format!(
        "[sample-server, --port, '{{port}}', --model, '{{model}}', --service-time-ms, '{milliseconds}']"
    )
}

#[test]
fn killed_replica_is_replaced_and_costs_no_more_than_it_had() {
    let model = unique();
    let proxy = Tailback::start(&manifests(&model, &sample(5), "", "replicas: 2"), &[]);
    let callers = AtomicU32::new(16);
    let load = under_load(proxy.address, &model, BODY, &callers, || {
        eventually("both replicas", || proxy.ready(&model) == 2);
        let victims = servers_of(&model);
        assert_eq!(victims.len(), 2, "{victims:?}");
        kill(Pid::from_raw(victims[0]), Signal::SIGKILL).unwrap();
        eventually("a failure that says why", || {
            proxy.log().contains("ended by signal 9")
        });
        eventually("another in its place", || {
            let now = servers_of(&model);
            proxy.ready(&model) == 2 && now.len() == 2 && !now.contains(&victims[0])
        });
        let so_far = proxy.outcome(&model, "success");
        eventually("requests after that", || {
            proxy.outcome(&model, "success") > so_far + 100
        });
    });
    // It had at most its concurrency; nothing else was lost.
    assert!(load.failed <= 8, "{load:?}");
    eventually("the end of all", || proxy.model(&model)["inFlight"] == 0);
    eventually("the end of the last", || {
        proxy.model(&model)["inFlight"] == 0
    });
    let state = proxy.model(&model);
    assert_eq!(state["held"], 0);
    assert_eq!(state["arrived"], state["completed"]);
    assert_eq!(proxy.outcome(&model, "success"), load.answered);
    assert_eq!(
        proxy.outcome(&model, "upstream_reset") + proxy.outcome(&model, "unreachable"),
        load.failed
    );
}

#[test]
fn a_server_that_never_becomes_ready_is_reported() {
    let model = unique();
    let proxy = Tailback::start(
        &manifests(
            &model,
            "[sleep, '600', '{port}']",
            "startSeconds: 0.3",
            "hold: { seconds: 0.5 }",
        ),
        &[],
    );
    let mut client = Client::connect(proxy.address).unwrap();
    let answer = client
        .call("POST", &format!("/v2/models/{model}/infer"), &[], BODY)
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    eventually("a failure that says why", || {
        let why = proxy.failure(&model);
        why.contains("startSeconds") && why.contains("cannot connect")
    });
    // It has its answer a moment before that is in the books.
    eventually("its end", || proxy.model(&model)["inFlight"] == 0);
}

#[test]
fn server_that_ends_at_once_is_tried_again_at_once_and_then_ever_more_slowly() {
    let model = unique();
    let command = "[sh, -c, 'echo no such weights >&2; exit 3', '{port}']";
    let proxy = Tailback::start(
        &manifests(&model, command, "", "hold: { seconds: 0.2 }"),
        &[],
    );
    eventually("several failures", || {
        proxy.log().matches("exited with status 3").count() >= 6
    });
    let why = proxy.failure(&model);
    assert!(
        why.contains("exited with status 3") && why.contains("no such weights"),
        "{why}"
    );
    let log = proxy.log();
    let waits: Vec<f64> = log
        .split("again_in_seconds=")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .collect();
    assert!(
        waits[..3] == [0.0; 3] && waits[3] > 0.0 && waits[5] > waits[3] * 1.5,
        "{waits:?}"
    );
    // It still answers, and can be stopped.
    let mut client = Client::connect(proxy.address).unwrap();
    let answer = client
        .call("POST", &format!("/v2/models/{model}/infer"), &[], BODY)
        .unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
}

#[test]
fn command_that_does_not_exist_is_named() {
    let model = unique();
    let command = "[no-such-model-server, '{port}']";
    let proxy = Tailback::start(&manifests(&model, command, "", ""), &[]);
    eventually("a failure that says why", || {
        proxy.failure(&model).contains("no-such-model-server")
    });
}

#[test]
fn address_that_is_taken_is_named_with_what_sets_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, Upstream::start().manifest(&["m"])).unwrap();
    for variable in ["TAILBACK_LISTEN", "TAILBACK_ADMIN"] {
        let output = tailback()
            .arg("serve")
            .arg(&file)
            .env("TAILBACK_LISTEN", "127.0.0.1:0")
            .env("TAILBACK_ADMIN", "127.0.0.1:0")
            .env(variable, &address)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&address) && said.contains(variable) && said.contains("in use"),
            "{said}"
        );
    }
}

#[test]
fn broken_manifest_leaves_what_runs_and_mending_it_takes_effect() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let reloads = |outcome: &str| {
        proxy.metric(&format!(
            "tailback_config_reloads_total{{outcome=\"{outcome}\"}}"
        ))
    };
    proxy.rewrite("kind: Model\nmetadata: [");
    eventually("the refusal", || reloads("refused") >= 1.0);
    let ok = |model: &str| {
        let path = format!("/v2/models/{model}/ok");
        let mut client = Client::connect(proxy.address).unwrap();
        client.call("GET", &path, &[], b"").unwrap().status
    };
    assert_eq!(ok("m"), 200);
    eventually("what is said of it", || {
        let log = proxy.log();
        log.contains("the old one stays in force") && log.contains("manifests.yaml")
    });
    proxy.rewrite(&upstream.manifest(&["m", "n"]));
    eventually("the new model", || ok("n") == 200);
    assert!(reloads("reloaded") >= 1.0);
    proxy.rewrite(&upstream.manifest(&["n"]));
    eventually("the end of the old one", || ok("m") == 404);
    proxy.signal(Signal::SIGHUP);
    eventually("a reload by signal", || reloads("unchanged") >= 1.0);
}

#[test]
fn no_request_fails_while_a_changed_server_is_rolled_out() {
    let model = unique();
    let proxy = Tailback::start(&manifests(&model, &sample(5), "", "replicas: 2"), &[]);
    let callers = AtomicU32::new(12);
    let load = under_load(proxy.address, &model, BODY, &callers, || {
        eventually("both replicas", || proxy.ready(&model) == 2);
        let old = servers_of(&model);
        proxy.rewrite(&manifests(&model, &sample(6), "", "replicas: 2"));
        eventually("two new replicas in place of the old", || {
            let now = servers_of(&model);
            proxy.ready(&model) == 2 && now.len() == 2 && now.iter().all(|p| !old.contains(p))
        });
        // Scaling by hand, up and down.
        proxy.rewrite(&manifests(&model, &sample(6), "", "replicas: 4"));
        eventually("four", || proxy.ready(&model) == 4);
        proxy.rewrite(&manifests(&model, &sample(6), "", "replicas: 1"));
        eventually("one", || servers_of(&model).len() == 1);
    });
    assert_eq!(load.failed, 0, "{load:?}");
    assert!(load.answered > 100, "{load:?}");
}

#[test]
fn sigterm_finishes_what_is_inside_and_takes_the_replicas_along() {
    let model = unique();
    let mut proxy = Tailback::start(&manifests(&model, &sample(400), "", ""), &[]);
    let path = format!("/v2/models/{model}/infer");
    eventually("the replica", || proxy.ready(&model) == 1);
    let mut callers: Vec<_> = (0..20)
        .map(|_| Client::connect(proxy.address).unwrap())
        .collect();
    for caller in &mut callers {
        caller.send(request("POST", &path, &[], BODY)).unwrap();
    }
    // Eight are with the replica, the others are held.
    eventually("all inside", || proxy.model(&model)["inFlight"] == 20);
    proxy.signal(Signal::SIGTERM);
    for caller in &mut callers {
        let answer = caller.receive().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.log());
    assert_eq!(servers_of(&model), Vec::<i32>::new());
}

#[test]
fn killed_proxy_leaves_no_replica_behind() {
    let model = unique();
    let mut proxy = Tailback::start(&manifests(&model, &sample(0), "", "replicas: 3"), &[]);
    eventually("the replicas", || proxy.ready(&model) == 3);
    proxy.signal(Signal::SIGKILL);
    proxy.wait();
    eventually("the end of all replicas", || {
        processes_with(&model).is_empty()
    });
}

#[test]
fn held_requests_follow_their_model_to_another_server() {
    let upstream = Upstream::start();
    let model = unique();
    let fixed = static_with_concurrency(&upstream, &model, 1);
    let never = never_ready_manifest(&model, "");
    let proxy = Tailback::start(&never, &[]);
    let path = format!("/v2/models/{model}/infer");
    let mut caller = Client::connect(proxy.address).unwrap();
    let hold = || {
        let mut caller = Client::connect(proxy.address).unwrap();
        caller.send(request("POST", &path, &[], BODY)).unwrap();
        eventually("it to be held", || proxy.model(&model)["held"] == 1);
        caller
    };
    for round in 1..=3 {
        let mut held = hold();
        proxy.rewrite(&fixed);
        assert_eq!(held.receive().unwrap().text(), "hello");

        let mut busy = Client::connect(proxy.address).unwrap();
        busy.send(request("GET", &format!("{path}/hang"), &[], b""))
            .unwrap();
        let hangs = || {
            let heads = upstream.heads();
            heads.iter().filter(|head| head.contains("/hang")).count()
        };
        eventually("the static server to be busy", || hangs() == round);
        let mut held = hold();
        proxy.rewrite(&manifests(&model, &sample(0), "", ""));
        assert!(held.receive().unwrap().text().contains("outputs"));
        drop(busy);

        proxy.rewrite(&fixed);
        eventually("the processes' end", || processes_with(&model).is_empty());
        caller.send(request("POST", &path, &[], BODY)).unwrap();
        assert_eq!(caller.receive().unwrap().text(), "hello");
        proxy.rewrite(&never);
        eventually("no replica", || proxy.ready(&model) == 0);
    }
}

#[test]
fn a_model_that_comes_back_is_not_taken_for_what_it_was() {
    let upstream = Upstream::start();
    let model = unique();
    let processes = manifests(&model, &sample(2000), "", "");
    let proxy = Tailback::start(&processes, &[]);
    let path = format!("/v2/models/{model}/infer");
    eventually("the replica", || proxy.ready(&model) == 1);
    let mut first = Client::connect(proxy.address).unwrap();
    first.send(request("POST", &path, &[], BODY)).unwrap();
    eventually("it to be there", || proxy.model(&model)["inFlight"] == 1);
    proxy.rewrite(&upstream.manifest(&[&model]));
    let endpoint = || proxy.model(&model)["replicas"]["ready"][0]["endpoint"].clone();
    let fixed = upstream.address.to_string();
    eventually("the address", || endpoint() == fixed);
    proxy.rewrite(&processes);
    eventually("a second process", || servers_of(&model).len() == 2);
    eventually("it to be ready", || {
        proxy.ready(&model) == 1 && endpoint() != fixed
    });
    let second = endpoint();
    assert_eq!(first.receive().unwrap().status, 200);
    eventually("the first one's end", || servers_of(&model).len() == 1);
    eventually("its end to be logged", || proxy.log().contains("stopped"));
    let mut next = Client::connect(proxy.address).unwrap();
    let answer = next.call("POST", &path, &[], BODY).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((endpoint(), proxy.ready(&model)), (second, 1));
}

#[test]
fn more_concurrency_serves_held_requests_at_once() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&static_with_concurrency(&upstream, "m", 1), &[]);
    let mut busy = Client::connect(proxy.address).unwrap();
    busy.send(request("GET", "/v2/models/m/infer/hang", &[], b""))
        .unwrap();
    eventually("it to be there", || upstream.heads().len() == 1);
    let mut held = Client::connect(proxy.address).unwrap();
    held.send(request("POST", "/v2/models/m/infer/echo", &[], b"x"))
        .unwrap();
    eventually("it to be held", || proxy.model("m")["held"] == 1);
    proxy.rewrite(&static_with_concurrency(&upstream, "m", 2));
    assert_eq!(held.receive().unwrap().text(), "x");
}
