//! Language models that take turns on one device.

use std::{fmt::Write, time::Instant};

use tailback_tests::{
    eventually,
    process::Tailback,
    python::{program, root, run, script},
};

use super::counted;

#[test]
fn language_models_of_which_one_fits_answer_all_their_callers_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let (python, server) = (program("python3"), root().join("examples/llm/server.py"));
    let (python, server) = (python.display(), server.display());
    let mut text = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Host
metadata: {{ name: workstation }}
spec: {{ devices: [{{ name: '0', memory: 24Gi }}] }}
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: llama-cpp }}
spec:
  concurrency: 2
  process:
    command: [flock, --nonblock, '{folder}/device-{{device}}', '{python}', '{server}', '{{port}}']
    runtime: llama.cpp
"
    );
    for name in ["a", "b", "c"] {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {name} }}
spec: {{ server: llama-cpp, memory: 16Gi, upstreamName: HuggingFaceTB/SmolLM2-135M-Instruct }}
"
        );
    }
    let proxy = Tailback::start(&text, &[]);
    let address = proxy.address.to_string();
    let began = Instant::now();
    run(script(
        "llm_turns.py",
        &[&address, "25", "4", "a", "b", "c"],
    ));
    let (log, took) = (proxy.log(), began.elapsed());
    assert!(
        !log.contains("replica failed"),
        "a device was used twice: {log}"
    );
    // Each keeps its room for ten times as long as its start took, 10 s at most and 1 s at least, so that there are
    // no more turns than that allows.
    let starts = log.lines().filter_map(|line| line.rsplit_once("seconds="));
    let starts = starts.filter_map(|(_, seconds)| seconds.parse::<f64>().ok());
    let least = starts.fold(f64::INFINITY, f64::min);
    let most = took.as_secs_f64() / (10.0 * least).clamp(1.0, 10.0) + 4.0;
    let turns = log.matches("gives its room").count() + log.matches("needs the room").count();
    let swapped = |model| counted(&proxy, "swaps", model, "direction", "out");
    eventually("the swaps to be counted", || {
        ["a", "b", "c"].map(swapped).iter().sum::<u64>() == turns as u64
    });
    assert!(turns >= 1 && turns as f64 <= most, "{turns} turns: {log}");
    for name in ["a", "b", "c"] {
        eventually("the end of all", || proxy.model(name)["inFlight"] == 0);
        eventually("its outcomes", || proxy.outcome(name, "success") > 0);
        // OpenAI's client leaves as soon as it has read `[DONE]`.
        assert_eq!(proxy.outcome(name, "caller_gone"), 0);
    }
}
