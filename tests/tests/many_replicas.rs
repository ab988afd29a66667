//! Several replicas of a real language model, each with a cache of its own.

use serde_json::Value;
use tailback_tests::{
    eventually,
    process::Tailback,
    python::{program, root, script},
};

/// Has chats with three replicas of llama.cpp, and returns what they said of their caches.
fn chats(strategy: &str) -> Value {
    let (python, server) = (program("python3"), root().join("examples/llm/server.py"));
    let api = "apiVersion: tailback.dev/v1alpha1";
    let proxy = Tailback::start(
        &format!(
            "{api}\nkind: Server\nmetadata: {{ name: llama-cpp }}\nspec:\n  loadBalancing: {strategy}\n  \
             concurrency: 2\n  process: {{ command: [{}, {}, '{{port}}'], ready: /health }}\n---\n\
             {api}\nkind: Model\nmetadata: {{ name: smollm2 }}\nspec: {{ server: llama-cpp, replicas: 3 }}\n",
            python.display(),
            server.display()
        ),
        &[],
    );
    eventually("the replicas", || proxy.ready("smollm2") == 3);
    let address = proxy.address.to_string();
    let output = script("chats.py", &[&address, "6", "3"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    if strategy == "prefix" {
        let bytes = |which: &str| {
            proxy.metric(&format!(
                "tailback_model_prompt_{which}total{{model=\"smollm2\"}}"
            ))
        };
        let known = bytes("known_bytes_") / bytes("bytes_");
        assert!(known > 0.6, "{known}: {text}");
    }
    serde_json::from_str(&text).unwrap()
}

#[test]
fn by_prefix_more_of_the_prompts_is_in_the_caches_of_llama_cpp() {
    let share = |told: &Value| {
        let tokens = |name: &str| told[name].as_f64().unwrap();
        tokens("cached_tokens") / tokens("prompt_tokens")
    };
    let (prefix, two) = (chats("prefix"), chats("powerOfTwo"));
    assert!(share(&prefix) > 0.6, "{prefix}");
    assert!(share(&prefix) > share(&two), "{prefix} beside {two}");
}
