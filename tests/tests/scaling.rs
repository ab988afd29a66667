//! Replicas follow lag: real processes, real load.

use std::sync::atomic::{AtomicU32, Ordering};

use tailback_tests::{
    eventually,
    http::{Client, call, request},
    load::under_load,
    process::Tailback,
};

const BODY: &[u8] = include_bytes!("../../examples/infer.json");

/// A server of the sample model, and the model `m` with what `model` adds to its spec.
fn manifests(server: &str, model: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: sample }}
spec:
  concurrency: 4
  maxReplicas: 3
  {server}
  process:
    command: [sample-server, --port, '{{port}}', --model, '{{model}}', --service-time-ms, '20', --concurrency, '4']
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m }}
spec:
  server: sample
  {model}
"
    )
}

const QUICK: &[(&str, &str)] = &[
    ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "6"),
    ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "2"),
    ("SELDON_SCALING_STATS_PERIOD_SECONDS", "1"),
    ("TAILBACK_SCALING_STABILITY_SECONDS", "1"),
];

#[test]
fn replicas_follow_load_up_and_down_and_no_request_fails() {
    let proxy = Tailback::start(&manifests("", "minReplicas: 1"), QUICK);
    let callers = AtomicU32::new(2);
    let load = under_load(proxy.address, "m", BODY, &callers, || {
        eventually("the first replica", || proxy.ready("m") == 1);
        callers.store(24, Ordering::Relaxed);
        eventually("all three replicas, each with requests", || {
            let replicas = proxy.model("m")["replicas"]["ready"].clone();
            let busy = replicas
                .as_array()
                .unwrap()
                .iter()
                .filter(|r| r["inFlight"].as_u64() > Some(0))
                .count();
            busy == 3
        });
        let sent = proxy.model("m")["arrived"].as_u64();
        eventually("more requests", || {
            proxy.model("m")["arrived"].as_u64() > sent.map(|n| n + 500)
        });
        callers.store(0, Ordering::Relaxed);
        eventually("one replica again", || proxy.ready("m") == 1);
    });
    assert!(load.answered > 100, "{load:?}");
    assert_eq!(load.failed, 0);
    let decisions = proxy.page("/decisions")["decisions"].clone();
    let first = decisions.as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&first["from"], &first["outcome"]),
        (&1.into(), &"accepted".into())
    );
    // By what waits, at four slots each, or by the threshold: whichever is seen first.
    let reason = first["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("4 each") || reason.contains("6 each"),
        "{first}"
    );
    assert!(
        proxy.metric("tailback_scale_requests_total{direction=\"up\",outcome=\"accepted\"}") >= 1.0
    );
    assert!(
        proxy.metric("tailback_scale_requests_total{direction=\"down\",outcome=\"accepted\"}")
            >= 1.0
    );
    eventually("the end of the last", || proxy.model("m")["inFlight"] == 0);
    let state = proxy.model("m");
    assert_eq!(state["arrived"], state["completed"]);
}

#[test]
fn crossing_the_threshold_is_answered_within_milliseconds() {
    // From zero, each first request crosses; unused for a moment, it is zero again.
    let proxy = Tailback::start(
        &manifests("", "minReplicas: 0"),
        &[
            ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "0.05"),
            ("SELDON_SCALING_STATS_PERIOD_SECONDS", "0.05"),
            ("TAILBACK_SCALING_STABILITY_SECONDS", "0"),
        ],
    );
    let bucket = |le: &str| {
        proxy.metric(&format!(
            "tailback_scale_reaction_seconds_bucket{{le=\"{le}\"}}"
        ))
    };
    // A request that comes in the moment in which the last replica goes finds it still, and crosses
    // nothing: not each of them is a reaction.
    for _ in 0..20 {
        if bucket("+Inf") >= 10.0 {
            break;
        }
        eventually("no replica", || {
            proxy.model("m")["replicas"]["desired"] == 0
        });
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client
            .call("POST", "/v2/models/m/infer", &[], BODY)
            .unwrap();
        assert_eq!(
            answer.status,
            200,
            "held until the replica was there: {}",
            answer.text()
        );
    }
    let all = bucket("+Inf");
    assert!(all >= 10.0, "{all}");
    // The bound is 5 ms at the 99th percentile on an idle machine; one of these ten may have
    // waited for a core.
    assert!(
        bucket("0.005") >= all - 1.0,
        "{} of {all} within 5 ms",
        bucket("0.005")
    );
}

#[test]
fn only_replicas_means_exactly_that_many() {
    let proxy = Tailback::start(&manifests("", "replicas: 2"), QUICK);
    let callers = AtomicU32::new(24);
    let load = under_load(proxy.address, "m", BODY, &callers, || {
        eventually("load on both", || {
            proxy.ready("m") == 2 && proxy.model("m")["held"].as_u64() > Some(3)
        });
        eventually("a few periods", || {
            proxy.model("m")["arrived"].as_u64() > Some(500)
        });
        assert_eq!(proxy.model("m")["replicas"]["desired"], 2);
        callers.store(0, Ordering::Relaxed);
    });
    assert_eq!(load.failed, 0, "{load:?}");
    assert_eq!(proxy.page("/decisions")["decisions"], serde_json::json!([]));
}

#[test]
fn lag_step_takes_one_step_at_a_time() {
    let policy = "scaling: { policy: lag-step }\n  minReplicas: 1";
    let proxy = Tailback::start(&manifests("", policy), QUICK);
    let callers = AtomicU32::new(24);
    under_load(proxy.address, "m", BODY, &callers, || {
        eventually("three replicas", || proxy.ready("m") == 3)
    });
    let decisions = proxy.page("/decisions")["decisions"].clone();
    let mut ups: Vec<_> = decisions
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["from"].as_u64(), d["to"].as_u64()))
        .collect();
    ups.reverse();
    assert_eq!(ups[..2], [(Some(1), Some(2)), (Some(2), Some(3))]);
}

#[test]
fn lag_step_starts_a_replica_for_a_first_request() {
    let policy = "scaling: { policy: lag-step }\n  minReplicas: 0";
    let proxy = Tailback::start(&manifests("", policy), QUICK);
    assert_eq!(proxy.model("m")["replicas"]["desired"], 0);
    let answer = call(proxy.address, "POST", "/v2/models/m/infer", BODY).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn minimum_that_a_reload_raises_is_a_decision_that_says_so() {
    let proxy = Tailback::start(&manifests("", "minReplicas: 1"), QUICK);
    eventually("one replica", || proxy.ready("m") == 1);
    proxy.rewrite(&manifests("", "minReplicas: 3"));
    eventually("three", || proxy.ready("m") == 3);
    let last = proxy.page("/decisions")["decisions"][0].clone();
    assert_eq!((&last["from"], &last["to"]), (&1.into(), &3.into()));
    assert_eq!(last["reasons"][0], "3 configured");
    proxy.logs("scale up: 3 configured");
}

#[test]
fn dry_run_decides_and_does_nothing() {
    let policy = "scaling: { dryRun: true }\n  minReplicas: 1";
    let proxy = Tailback::start(&manifests("", policy), QUICK);
    let callers = AtomicU32::new(24);
    under_load(proxy.address, "m", BODY, &callers, || {
        eventually("a decision", || {
            proxy.page("/decisions")["decisions"][0]["outcome"] == "dry_run"
        });
        eventually("more load", || {
            proxy.model("m")["arrived"].as_u64() > Some(200)
        });
    });
    assert_eq!(
        (proxy.ready("m"), &proxy.model("m")["replicas"]["starting"]),
        (1, &0.into())
    );
}

#[test]
fn a_paused_model_is_not_scaled_until_it_is_resumed() {
    let token = "a token of sixteen".replace(' ', "-");
    let variables = [QUICK, &[("TAILBACK_ADMIN_TOKEN", &*token)]].concat();
    let proxy = Tailback::start(&manifests("", "minReplicas: 1"), &variables);
    let bearer = format!("Bearer {token}");
    let order = |path: &str, authorization: &str| {
        let headers = [("authorization", authorization)];
        let mut admin = Client::connect(proxy.admin).unwrap();
        admin.send(request("POST", path, &headers, b"")).unwrap();
        let answer = admin.receive().unwrap();
        (answer.status, answer.text())
    };
    let wrong = order("/models/m/pause", "Bearer a-token-of-sixteem");
    assert_eq!(wrong.0, 401, "{}", wrong.1);
    assert_eq!(order("/models/n/pause", &bearer).0, 404);
    assert_eq!(order("/models/m/pause", &bearer).0, 200);
    assert_eq!(proxy.model("m")["replicas"]["paused"], true);
    assert_eq!(proxy.metric("tailback_model_paused{model=\"m\"}"), 1.0);
    let callers = AtomicU32::new(24);
    under_load(proxy.address, "m", BODY, &callers, || {
        eventually("a wish that is not carried out", || {
            let why = proxy.model("m")["replicas"]["reason"].to_string();
            why.contains("but the model is paused")
        });
        eventually("more load", || {
            proxy.model("m")["arrived"].as_u64() > Some(200)
        });
        proxy.rewrite(&manifests("", "minReplicas: 2"));
        eventually("the reload", || {
            proxy.model("m")["settings"]["minReplicas"] == 2
        });
        eventually("that nothing is asked for by it either", || {
            let replicas = proxy.model("m")["replicas"].clone();
            let why = replicas["reason"].to_string();
            replicas["desired"] == 1 && why.contains("but the model is paused")
        });
        assert_eq!(proxy.ready("m"), 1);
        assert_eq!(order("/models/m/resume", &bearer).0, 200);
        eventually("more replicas", || proxy.ready("m") > 1);
    });
    assert!(!proxy.log().contains(&token), "the token is a secret");
}

#[test]
fn nobody_can_pause_a_model_where_no_token_is_set() {
    let proxy = Tailback::start(&manifests("", "minReplicas: 1"), &[]);
    let answer = call(proxy.admin, "POST", "/models/m/pause", b"").unwrap();
    assert_eq!(answer.status, 403);
    assert!(
        answer.text().contains("TAILBACK_ADMIN_TOKEN"),
        "{}",
        answer.text()
    );
    let get = call(proxy.admin, "GET", "/models/m/pause", b"").unwrap();
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
}
