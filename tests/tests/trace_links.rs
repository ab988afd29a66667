//! What leads to a trace: exemplars of metrics, and decisions.

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use tailback_tests::{
    collector::{Collector, Protocol, attributes},
    eventually,
    http::{Client, call},
    llm_upstream::LlmUpstream,
    process::Tailback,
    prometheus::Prometheus,
    python::script,
    upstream::{Upstream, static_manifest},
};

const BODY: &[u8] = include_bytes!("../../examples/infer.json");
const CHAT: &[u8] =
    br#"{"model":"chat","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "1bf7651916cd43dd8448eb211c80319c";

const FROM_ZERO: &str = "\
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: sample }
spec: { process: { command: [sample-server, --port, '{port}', --model, '{model}'] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: m }
spec: { server: sample, minReplicas: 0, maxReplicas: 1 }
";

fn traced(manifest: &str, collector: &Collector) -> Tailback {
    let endpoint = format!("http://{}", collector.address);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    Tailback::start(manifest, &variables)
}

/// Waits until an arrival at `m` wakes the scaler.
fn armed(proxy: &Tailback) {
    eventually("the scaler to wait for an arrival", || {
        let reason = proxy.model("m")["replicas"]["reason"].clone();
        reason.as_str().is_some_and(|reason| !reason.is_empty())
    });
}

/// A request of a trace that is sampled, or of one that is not.
fn send(proxy: &Tailback, path: &str, body: &[u8], trace: &str, sampled: bool) {
    let parent = format!("00-{trace}-b7ad6b7169203331-{:02x}", u8::from(sampled));
    let mut client = Client::connect(proxy.address).unwrap();
    let fields = [
        ("traceparent", &*parent),
        ("content-type", "application/json"),
    ];
    let answer = client.call("POST", path, &fields, body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The exemplars that the scraper of the Python client sees: family and trace.
fn exemplars(proxy: &Tailback) -> Vec<(String, String)> {
    let output = script("openmetrics.py", &[&proxy.admin.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let of = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    text.lines().filter_map(of).collect()
}

#[test]
fn durations_have_the_last_traced_request_of_each_bucket_where_openmetrics_is_asked_for() {
    let (upstream, llm) = (Upstream::start(), LlmUpstream::start());
    let collector = Collector::start(Protocol::Grpc);
    let chat = static_manifest("llm", llm.address, &["chat"]);
    let manifest = format!("{}---\n{chat}", upstream.manifest(&["m", "'q,le=\"1'"]));
    let proxy = traced(&manifest, &collector);
    let ended = |count: f64| {
        eventually("the ends", || {
            let all = ["m", "chat"].map(|model| proxy.outcome(model, "success") as f64);
            all.iter().sum::<f64>() >= count
        });
    };
    send(&proxy, "/v2/models/m/infer", b"x", OTHER, false);
    ended(1.0);
    assert_eq!(exemplars(&proxy), [], "it is not traced");
    send(&proxy, "/v2/models/m/infer", b"x", TRACE, true);
    send(&proxy, "/v1/chat/completions", CHAT, OTHER, true);
    ended(3.0);
    let found = exemplars(&proxy);
    let has = |family: &str, trace: &str| {
        let wanted = (family.to_owned(), trace.to_owned());
        assert!(found.contains(&wanted), "{wanted:?}: {found:?}");
    };
    has("seldon_model_infer_api_seconds", TRACE);
    has("seldon_model_infer_api_seconds", OTHER);
    has("gen_ai_server_time_to_first_token_seconds", OTHER);
    // Whoever does not ask for them gets the text format as before.
    let plain = call(proxy.admin, "GET", "/metrics", b"").unwrap();
    let kind = plain.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!plain.text().contains("trace_id") && !plain.text().contains("# EOF"));
}

#[test]
fn prometheus_keeps_the_exemplars() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Protocol::Grpc));
    let proxy = traced(&upstream.manifest(&["m"]), &collector);
    send(&proxy, "/v2/models/m/infer", b"x", TRACE, true);
    let prometheus = Prometheus::start(&proxy);
    eventually("the exemplar", || {
        let found = prometheus.exemplars("seldon_model_infer_api_seconds_bucket");
        found.iter().any(|own| own["labels"]["trace_id"] == TRACE)
    });
    assert!(prometheus.series("up{job=\"tailback\"} == 1") == 1);
}

#[test]
fn a_decision_names_the_traced_request_that_led_to_it_and_its_span_links_to_it() {
    let collector = Collector::start(Protocol::Grpc);
    let proxy = traced(FROM_ZERO, &collector);
    armed(&proxy);
    send(&proxy, "/v2/models/m/infer", BODY, TRACE, true);
    let decision = proxy.page("/decisions")["decisions"][0].clone();
    assert_eq!(
        (&decision["to"], &decision["trace"]),
        (&1.into(), &TRACE.into())
    );
    let named = |name: &'static str| move |span: &Span| span.name == name;
    eventually("both spans", || {
        let spans = collector.spans();
        let has = |name| spans.iter().any(named(name));
        has("scale m") && spans.iter().any(|span| span.kind() == SpanKind::Server)
    });
    let spans = collector.spans();
    let scale = spans.iter().find(|span| named("scale m")(span)).unwrap();
    let request = spans
        .iter()
        .find(|span| span.kind() == SpanKind::Server)
        .unwrap();
    let [link] = &scale.links[..] else {
        panic!("{scale:?}");
    };
    assert_eq!(
        (&link.trace_id, &link.span_id),
        (&request.trace_id, &request.span_id)
    );
    assert_ne!(scale.trace_id, request.trace_id);
    let found = attributes(&scale.attributes);
    assert_eq!(
        (&*found["tailback.scale.from"], &*found["tailback.scale.to"]),
        ("0", "1")
    );
    assert!(
        found["tailback.scale.reason"].contains("there is no replica"),
        "{found:?}"
    );
}

#[test]
fn a_decision_that_no_traced_request_led_to_names_none_and_has_no_span() {
    let collector = Collector::start(Protocol::Grpc);
    let proxy = traced(FROM_ZERO, &collector);
    armed(&proxy);
    send(&proxy, "/v2/models/m/infer", BODY, TRACE, false);
    let decision = proxy.page("/decisions")["decisions"][0].clone();
    assert_eq!(decision["to"], 1);
    assert!(decision["trace"].is_null(), "{decision}");
    // What was exported until now comes before this one.
    send(&proxy, "/v2/models/m/infer", BODY, OTHER, true);
    eventually("its span", || !collector.spans().is_empty());
    assert!(collector.spans().iter().all(|span| span.name != "scale m"));
}
