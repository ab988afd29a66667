//! Models of process servers that share the devices of one machine.
//!
//! A device here is a file that a replica locks for as long as it runs: a second one on the same
//! device fails.

mod language_models;

use std::{fmt::Write, fs, os::unix::fs::PermissionsExt};

use serde_json::Value;
use tailback_tests::{
    eventually,
    http::{Client, Response, request},
    process::{Tailback, tailback},
};

const BODY: &[u8] = include_bytes!("../../../examples/infer.json");

/// Models, each with its memory and the rest of its spec, on a host with these devices of 24 GiB.
fn manifests(folder: &str, devices: &[&str], models: &[(&str, &str)], arguments: &str) -> String {
    let devices = devices
        .iter()
        .map(|name| format!("{{ name: '{name}', memory: 24Gi }}"));
    let devices = devices.collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Host
metadata: {{ name: workstation }}
spec: {{ devices: [{devices}] }}
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: llm }}
spec:
  process:
    command: [flock, --nonblock, '{folder}/device-{{device}}', sample-server, --port, '{{port}}', --model, '{{model}}'{arguments}]
"
    );
    for (name, spec) in models {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {name} }}
spec: {{ server: llm, {spec} }}
"
        );
    }
    text
}

fn ask(proxy: &Tailback, model: &str) -> Client {
    let mut caller = Client::connect(proxy.address).unwrap();
    let path = format!("/v2/models/{model}/infer");
    caller.send(request("POST", &path, &[], BODY)).unwrap();
    caller
}

fn infer(proxy: &Tailback, model: &str) -> Response {
    ask(proxy, model).receive().unwrap()
}

fn placement(proxy: &Tailback, model: &str) -> Value {
    proxy.model(model)["placement"].clone()
}

/// Waits until the page says so: it may be a moment behind the answer of a request.
fn eventually_loaded(proxy: &Tailback, model: &str, devices: &str) {
    eventually("where it is to be shown", || {
        placement(proxy, model)["loaded"] == serde_json::json!([devices])
    });
}

/// What is counted of a model on the host.
fn counted(proxy: &Tailback, what: &str, model: &str, label: &str, value: &str) -> u64 {
    let labels = format!("host=\"workstation\",model=\"{model}\",{label}=\"{value}\"");
    proxy.metric(&format!("tailback_host_{what}_total{{{labels}}}")) as u64
}

#[test]
fn two_models_of_which_one_fits_take_turns_and_all_requests_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let models = [("a", "memory: 16Gi"), ("b", "memory: 16Gi")];
    let text = manifests(folder.path().to_str().unwrap(), &["0"], &models, "");
    let proxy = Tailback::start(&text, &[]);
    for model in ["a", "b", "a"] {
        let answer = infer(&proxy, model);
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        eventually_loaded(&proxy, model, "0");
    }
    eventually("the states of both", || {
        placement(&proxy, "a")["state"] == "available"
            && placement(&proxy, "b")["state"] == "evicted"
    });
    let b = placement(&proxy, "b");
    assert!(
        b["reason"]
            .as_str()
            .is_some_and(|why| why.contains("16 GiB")),
        "{b}"
    );
    let log = proxy.log();
    assert!(
        !log.contains("replica failed"),
        "a device was used twice: {log}"
    );
    assert!(log.contains("model b needs the room"), "{log}");
    eventually("the swaps of each to be counted", || {
        [("a", 2, 1), ("b", 1, 1)]
            .iter()
            .all(|(model, loads, out)| {
                counted(&proxy, "loads", model, "outcome", "ok") == *loads
                    && counted(&proxy, "swaps", model, "direction", "out") == *out
            })
    });
    let seconds = "tailback_host_load_seconds_total{host=\"workstation\",model=\"a\"}";
    assert!(proxy.metric(seconds) > 0.0);
}

#[test]
fn each_device_has_as_many_models_as_fit_and_the_command_is_told_which_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let models = [("a", "memory: 16Gi"), ("b", "memory: 16Gi")];
    let text = manifests(folder.path().to_str().unwrap(), &["0", "1"], &models, "");
    let proxy = Tailback::start(&text, &[]);
    for model in ["a", "b"] {
        assert_eq!(infer(&proxy, model).status, 200);
        eventually("where it is to be shown", || {
            placement(&proxy, model)["loaded"][0].is_string()
        });
    }
    let mut devices: Vec<_> = ["a", "b"]
        .map(|model| placement(&proxy, model)["loaded"][0].clone())
        .into();
    devices.sort_by_key(ToString::to_string);
    assert_eq!(devices, ["0", "1"]);
    for device in ["0", "1"] {
        assert!(folder.path().join(format!("device-{device}")).exists());
    }
}

#[test]
fn a_model_that_takes_two_devices_gets_both_when_they_are_free() {
    let folder = tempfile::tempdir().unwrap();
    let models = [
        ("small", "memory: 16Gi, minReplicas: 0, maxReplicas: 1"),
        (
            "large",
            "memory: 20Gi, devices: 2, minReplicas: 0, maxReplicas: 1",
        ),
    ];
    let text = manifests(folder.path().to_str().unwrap(), &["0", "1"], &models, "");
    let proxy = Tailback::start(&text, &[]);
    assert_eq!(infer(&proxy, "small").status, 200);
    let answer = infer(&proxy, "large");
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually_loaded(&proxy, "large", "0,1");
    assert!(folder.path().join("device-0,1").exists());
}

#[test]
fn a_request_in_flight_keeps_its_model_until_it_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let models = [("a", "memory: 16Gi"), ("b", "memory: 16Gi")];
    let arguments = ", --service-time-ms, '12000'";
    let text = manifests(folder.path().to_str().unwrap(), &["0"], &models, arguments);
    let proxy = Tailback::start(&text, &[]);
    let mut first = ask(&proxy, "a");
    eventually("it to be at its replica", || {
        proxy.model("a")["replicas"]["ready"][0]["inFlight"] == 1
    });
    let mut second = ask(&proxy, "b");
    assert_eq!(first.receive().unwrap().status, 200);
    assert_eq!(second.receive().unwrap().status, 200);
    assert!(!proxy.log().contains("replica failed"));
}

#[test]
fn a_model_that_does_not_start_answers_its_callers_and_gives_the_device_back() {
    let folder = tempfile::tempdir().unwrap();
    let models = [("good", "memory: 16Gi")];
    let mut text = manifests(folder.path().to_str().unwrap(), &["0"], &models, "");
    text.push_str(
        "---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: broken }
spec: { process: { command: [sh, -c, 'echo no weights; exit 3', '{port}'] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: bad }
spec: { server: broken, memory: 16Gi }
",
    );
    let proxy = Tailback::start(&text, &[]);
    assert_eq!(infer(&proxy, "good").status, 200);
    let answer = infer(&proxy, "bad");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(
        answer.text().contains("before it was ready"),
        "{}",
        answer.text()
    );
    assert_eq!(infer(&proxy, "good").status, 200);
    eventually("its state", || {
        placement(&proxy, "bad")["state"] == "failed"
    });
    eventually_loaded(&proxy, "good", "0");
    assert!(counted(&proxy, "loads", "bad", "outcome", "failed") >= 1);
}

#[test]
fn a_model_that_somebody_wants_at_all_times_keeps_its_device() {
    let folder = tempfile::tempdir().unwrap();
    let models = [
        ("kept", "memory: 16Gi, minReplicas: 1, maxReplicas: 1"),
        ("other", "memory: 16Gi, hold: { seconds: 13 }"),
    ];
    let text = manifests(folder.path().to_str().unwrap(), &["0"], &models, "");
    let proxy = Tailback::start(&text, &[]);
    assert_eq!(infer(&proxy, "kept").status, 200);
    let answer = infer(&proxy, "other");
    assert_eq!(answer.status, 503, "{}", answer.text());
    eventually("its state", || {
        placement(&proxy, "other")["state"] == "waiting"
    });
    assert_eq!(infer(&proxy, "kept").status, 200);
}

#[test]
fn a_pinned_model_keeps_its_device() {
    let folder = tempfile::tempdir().unwrap();
    let models = [
        ("kept", "memory: 16Gi, scaling: { pin: true }"),
        ("other", "memory: 16Gi, hold: { seconds: 12 }"),
    ];
    let text = manifests(folder.path().to_str().unwrap(), &["0"], &models, "");
    let proxy = Tailback::start(&text, &[]);
    assert_eq!(infer(&proxy, "kept").status, 200);
    let answer = infer(&proxy, "other");
    assert_eq!(answer.status, 503, "{}", answer.text());
    eventually_loaded(&proxy, "kept", "0");
    let decided = proxy.page("/decisions")["placement"].clone();
    let all = decided.as_array().unwrap();
    assert!(
        all.iter()
            .all(|one| one["action"] == "load" && one["model"] == "kept"),
        "{decided}"
    );
}

#[test]
fn devices_that_are_not_written_are_those_that_nvidia_smi_lists() {
    const DEVICE: &str = "GPU-8f5b9c1e-0d6b-2f4a-9d3e-7a1c5e0b2d11";
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nvidia-smi");
    fs::write(&program, format!("#!/bin/sh\necho '0, {DEVICE}, 24564'\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let own = tailback();
    let path = own.get_envs().find(|(name, _)| *name == "PATH");
    let path = path.and_then(|(_, value)| value?.to_str()).unwrap();
    let path = format!("{}:{path}", folder.path().display());
    let models = [("a", "memory: 16Gi"), ("b", "memory: 16Gi")];
    let written = manifests(folder.path().to_str().unwrap(), &[], &models, "");
    let text = written.replace("spec: { devices: [] }", "spec: {}");
    let proxy = Tailback::start(&text, &[("PATH", &path)]);
    for model in ["a", "b"] {
        assert_eq!(infer(&proxy, model).status, 200);
        eventually_loaded(&proxy, model, DEVICE);
    }
    assert!(folder.path().join(format!("device-{DEVICE}")).exists());
}

#[test]
fn a_changed_command_gets_the_device_when_the_old_one_has_left_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let models = [("a", "memory: 16Gi")];
    let proxy = Tailback::start(&manifests(folder, &["0"], &models, ""), &[]);
    assert_eq!(infer(&proxy, "a").status, 200);
    let name = |proxy: &Tailback| proxy.model("a")["replicas"]["ready"][0]["name"].clone();
    let before = name(&proxy);
    proxy.rewrite(&manifests(folder, &["0"], &models, ", --jitter, '0.1'"));
    eventually("another replica", || {
        let now = name(&proxy);
        now.is_string() && now != before
    });
    assert_eq!(infer(&proxy, "a").status, 200);
    assert!(!proxy.log().contains("replica failed"));
}

#[test]
fn replicas_keep_their_devices_through_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let models = [("a", "memory: 16Gi"), ("b", "memory: 16Gi")];
    let mut proxy = Tailback::start(&manifests(folder, &["0", "1"], &models, ""), &[]);
    let of = |proxy: &Tailback, model: &str| {
        let ready = &proxy.model(model)["replicas"]["ready"][0];
        (
            ready["endpoint"].clone(),
            placement(proxy, model)["loaded"].clone(),
        )
    };
    for model in ["a", "b"] {
        assert_eq!(infer(&proxy, model).status, 200);
    }
    let before = [of(&proxy, "a"), of(&proxy, "b")];
    proxy.upgrade().unwrap();
    for (model, before) in ["a", "b"].into_iter().zip(before) {
        eventually("it to be known", || proxy.ready(model) == 1);
        assert_eq!(infer(&proxy, model).status, 200);
        assert_eq!(of(&proxy, model), before, "{model}");
    }
    let log = proxy.log();
    assert!(
        !log.contains("replica failed") && !log.contains("goes:"),
        "{log}"
    );
}

#[test]
fn a_model_that_is_removed_keeps_its_device_until_its_last_request_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let arguments = ", --service-time-ms, '3000'";
    let old = manifests(folder, &["0"], &[("a", "memory: 16Gi")], arguments);
    let proxy = Tailback::start(&old, &[]);
    let mut first = ask(&proxy, "a");
    eventually("it to be at its replica", || {
        proxy.model("a")["replicas"]["ready"][0]["inFlight"] == 1
    });
    proxy.rewrite(&manifests(
        folder,
        &["0"],
        &[("b", "memory: 16Gi")],
        arguments,
    ));
    eventually("the reload", || {
        proxy.page("/models")["models"][0]["name"] == "b"
    });
    let mut second = ask(&proxy, "b");
    assert_eq!(first.receive().unwrap().status, 200);
    assert_eq!(second.receive().unwrap().status, 200);
    assert!(!proxy.log().contains("replica failed"), "{}", proxy.log());
}
