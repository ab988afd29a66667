//! What answers of language models say of tokens, as metrics, in the access log and on `/models`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    time::Instant,
};

use serde_json::Value;
use tailback_tests::{
    eventually,
    http::{Client, request},
    llm_upstream::LlmUpstream,
    process::Tailback,
    python::{run, script},
    upstream::static_manifest,
};

const CHAT: &str = "/v1/chat/completions";
const STREAM: &[u8] =
    br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Count"}]}"#;

/// Path and body; then the tokens that went in, those from the cache, and why it ended.
type Call = (
    &'static str,
    &'static [u8],
    Option<u64>,
    Option<u64>,
    &'static str,
);

/// A proxy that serves `upstream` as the model `m`, and its access log.
fn proxy(upstream: &LlmUpstream, spec: &str, folder: &Path) -> Tailback {
    let manifest = static_manifest("up", upstream.address, &["m"]);
    let manifest = manifest.replace("server: up }", &format!("server: up{spec} }}"));
    let log = folder.join("access.log");
    Tailback::start(&manifest, &[("TAILBACK_ACCESS_LOG", log.to_str().unwrap())])
}

/// The access log's lines, when there are so many.
fn lines(folder: &Path, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(folder.join("access.log")).unwrap_or_default();
    eventually("the lines", || read().lines().count() == count);
    let line = |line| serde_json::from_str(line).expect("a line of JSON");
    read().lines().map(line).collect()
}

fn post(proxy: &Tailback, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let mut client = Client::connect(proxy.address).unwrap();
    let answer = client.call("POST", path, headers, body).unwrap();
    answer.text()
}

#[test]
fn each_api_says_how_many_tokens_and_why_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = LlmUpstream::start();
    let proxy = proxy(&upstream, "", folder.path());
    let usage = br#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    let whole = br#"{"model":"m"}"#;
    let calls: [Call; 8] = [
        (CHAT, usage, Some(12), Some(8), "stop"),
        (CHAT, STREAM, None, None, "stop"),
        (CHAT, whole, Some(12), Some(8), "length"),
        ("/v1/completions", STREAM, Some(12), None, "length"),
        ("/v1/responses", STREAM, Some(12), Some(8), "stop"),
        ("/v1/messages", STREAM, Some(12), Some(8), "stop"),
        ("/api/chat", STREAM, Some(12), None, "stop"),
        ("/v2/models/m/generate_stream", b"{}", None, None, ""),
    ];
    for (i, (path, body, input, cached, finish)) in calls.into_iter().enumerate() {
        post(&proxy, path, &[], body);
        let line = lines(folder.path(), i + 1).pop().unwrap();
        let number = |field: &str| line.get(field).map(|value| value.as_u64().unwrap());
        assert_eq!(number("input_tokens"), input, "{line}");
        assert_eq!(number("cached_tokens"), cached, "{line}");
        assert_eq!(number("output_tokens"), Some(2), "{line}");
        assert_eq!(
            line.get("finish_reason")
                .map_or("", |r| r.as_str().unwrap()),
            finish
        );
        let is_timed = body != whole;
        for time in [
            "time_to_first_token_seconds",
            "time_per_output_token_seconds",
        ] {
            assert_eq!(line.get(time).is_some(), is_timed, "{line}");
        }
    }
    let of = |metric: &str, labels: &str| proxy.metric(&format!("{metric}{{model=\"m\"{labels}}}"));
    let usage = |operation: &str, kind: &str, part: &str| {
        let labels = format!(",gen_ai_operation_name=\"{operation}\",gen_ai_token_type=\"{kind}\"");
        of(&format!("gen_ai_client_token_usage_{part}"), &labels)
    };
    assert_eq!(usage("chat", "input", "sum"), 60.0);
    assert_eq!(usage("chat", "input", "count"), 5.0);
    assert_eq!(usage("chat", "output", "sum"), 12.0);
    assert_eq!(usage("text_completion", "input", "sum"), 12.0);
    assert_eq!(usage("text_completion", "output", "sum"), 4.0);
    assert_eq!(of("tailback_model_cached_tokens_total", ""), 32.0);
    assert_eq!(
        of("tailback_model_finish_reasons_total", ",reason=\"stop\""),
        5.0
    );
    assert_eq!(
        of("tailback_model_finish_reasons_total", ",reason=\"length\""),
        2.0
    );
    let first = "gen_ai_server_time_to_first_token_seconds_count";
    assert_eq!(of(first, ",gen_ai_operation_name=\"chat\""), 5.0);

    let model = proxy.model("m");
    let chat = &model["llm"]["operations"]["chat"];
    assert_eq!(
        (&chat["inputTokens"], &chat["outputTokens"]),
        (&60.0.into(), &12.0.into())
    );
    assert!(chat["timeToFirstTokenSeconds"]["p99"].as_f64().unwrap() > 0.0);
    assert_eq!(model["llm"]["cachedTokens"], 32);
    assert_eq!(model["llm"]["finishReasons"]["stop"], 5);
}

#[test]
fn the_time_to_the_first_token_is_that_of_the_first_text_and_not_of_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = LlmUpstream::gated();
    let proxy = proxy(&upstream, "", folder.path());
    let mut client = Client::connect(proxy.address).unwrap();
    let begun = Instant::now();
    client.send(request("POST", CHAT, &[], STREAM)).unwrap();
    client.receive_head().unwrap();
    // The event with the role, which has no text.
    upstream.release(1);
    let mut reader = BufReader::new(client.stream());
    let mut next = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
    };
    next("role");
    let role = Instant::now();
    // Longer than all else on a fast machine, and right on a slow one too.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let at_least = role.elapsed();
    upstream.release(1);
    next("One");
    let at_most = begun.elapsed();
    let first = Instant::now();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let step_at_least = first.elapsed();
    upstream.release(1);
    next(" two");
    let step_at_most = begun.elapsed();
    upstream.release(10);
    next("[DONE]");
    let line = lines(folder.path(), 1).pop().unwrap();
    let seconds = |field: &str| line[field].as_f64().unwrap();
    let found = seconds("time_to_first_token_seconds");
    let range = at_least.as_secs_f64()..at_most.as_secs_f64() + 1e-6;
    assert!(range.contains(&found), "{found} in {range:?}");
    // Two tokens, one step.
    let found = seconds("time_per_output_token_seconds");
    let range = step_at_least.as_secs_f64() - 1e-6..step_at_most.as_secs_f64();
    assert!(range.contains(&found), "{found} in {range:?}");
}

#[test]
fn what_no_answer_said_is_unknown_and_not_zero() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = LlmUpstream::start();
    let proxy = proxy(&upstream, "", folder.path());
    // A stream without `usage`.
    post(&proxy, CHAT, &[], STREAM);
    lines(folder.path(), 1);
    let llm = &proxy.model("m")["llm"];
    let chat = &llm["operations"]["chat"];
    assert_eq!(
        (&chat["inputTokens"], &chat["outputTokens"]),
        (&Value::Null, &2.0.into())
    );
    assert_eq!(llm.get("cachedTokens"), Some(&Value::Null));
    let cached = "tailback_model_cached_tokens_total{";
    assert!(!proxy.metrics().contains(cached));
    // An answer that says how many tokens there were, and no times.
    post(&proxy, CHAT, &[], br#"{"model":"m"}"#);
    lines(folder.path(), 2);
    let llm = &proxy.model("m")["llm"];
    let chat = &llm["operations"]["chat"];
    assert_eq!(
        (&chat["inputTokens"], &llm["cachedTokens"]),
        (&12.0.into(), &8.into())
    );
    assert!(proxy.metrics().contains(cached));
}

#[test]
fn what_is_no_text_encoded_or_an_error_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = LlmUpstream::start();
    let proxy = proxy(&upstream, "", folder.path());
    post(&proxy, "/v1/embeddings", &[], br#"{"model":"m"}"#);
    post(&proxy, CHAT, &[("x-coding", "gzip")], STREAM);
    post(&proxy, CHAT, &[("x-status", "500")], STREAM);
    for line in lines(folder.path(), 3) {
        let fields = ["output_tokens", "input_tokens", "finish_reason"];
        assert!(
            fields.iter().all(|field| line.get(field).is_none()),
            "{line}"
        );
    }
    let series = |line: &&str| line.starts_with("gen_ai") && !line.starts_with('#');
    assert_eq!(proxy.metrics().lines().filter(series).count(), 0);
    assert_eq!(proxy.model("m").get("llm"), None);
}

#[test]
fn usage_is_asked_for_where_the_model_says_so_and_the_caller_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = LlmUpstream::start();
    let fields = ", includeUsage: true, upstreamName: other";
    let proxy = proxy(&upstream, fields, folder.path());
    let asking = r#"{"stream_options":{"include_usage":true},"model":"other","stream":true,"messages":[{"role":"user","content":"Count"}]}"#;
    let text = post(&proxy, CHAT, &[], STREAM);
    assert!(
        text.contains("\"prompt_tokens\":12"),
        "it goes on to the caller: {text}"
    );
    assert_eq!(upstream.bodies(), [asking]);
    // In pieces of unknown length, and larger than what is read before it is sent.
    let long = "x".repeat(200_000);
    let body = format!(r#"{{"model":"m","prompt":"{long}","stream":true}}"#);
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send(request("POST", "/v1/completions", &[], body.as_bytes()))
        .unwrap();
    client.receive().unwrap();
    let sent = upstream.bodies().pop().unwrap();
    let start = r#"{"stream_options":{"include_usage":true},"model":"other","prompt":"xx"#;
    assert!(sent.starts_with(start) && sent.ends_with(r#"x","stream":true}"#));
    assert_eq!(
        sent.len(),
        body.len() + asking.find(r#""model""#).unwrap() - 1 + 4
    );
    // Requests that do not stream, of other APIs, or that say it themselves stay as they are.
    for (path, body) in [
        (CHAT, r#"{"model":"other","stream":false}"#),
        (
            CHAT,
            r#"{"model":"other","stream":true,"stream_options":{"include_usage":false}}"#,
        ),
        ("/v1/messages", r#"{"model":"other","stream":true}"#),
    ] {
        post(&proxy, path, &[], body.replace("other", "m").as_bytes());
        assert_eq!(upstream.bodies().pop().unwrap(), body);
    }
    // And those that are too long to be copied.
    let long = "x".repeat(8 * 1024 * 1024);
    let body = format!(r#"{{"model":"other","stream":true,"prompt":"{long}"}}"#);
    post(
        &proxy,
        "/v1/completions",
        &[],
        body.replacen("other", "m", 1).as_bytes(),
    );
    assert!(upstream.bodies().pop().unwrap() == body);
    // Encoded ones too.
    let other = self::proxy(&upstream, ", includeUsage: true", folder.path());
    let coding = [("seldon-model", "m"), ("content-encoding", "x")];
    post(&other, CHAT, &coding, STREAM);
    assert_eq!(upstream.bodies().pop().unwrap().as_bytes(), STREAM);
}

#[test]
fn the_openai_client_reads_streams_of_each_of_its_apis() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = LlmUpstream::start();
    let proxy = proxy(&upstream, ", includeUsage: true", folder.path());
    run(script(
        "openai_client.py",
        &[&proxy.address.to_string(), "streams"],
    ));
    for line in lines(folder.path(), 3) {
        assert_eq!(
            (&line["input_tokens"], &line["output_tokens"]),
            (&12.into(), &2.into()),
            "{line}"
        );
    }
}
