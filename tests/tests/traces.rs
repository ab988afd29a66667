//! Traces of a real `serve`, at a collector that decodes them.

use std::{collections::BTreeMap, net::TcpListener};

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use tailback_tests::{
    collector::{Collector, Protocol, attributes},
    eventually,
    http::{Client, call, field, hang, request},
    llm_upstream::LlmUpstream,
    process::Tailback,
    upstream::{Upstream, static_manifest},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A proxy whose traces go to `collector` at once.
fn proxy(manifest: &str, collector: &Collector, protocol: &str, more: &[(&str, &str)]) -> Tailback {
    let endpoint = format!("http://{}", collector.address);
    let mut variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    variables.extend(more);
    Tailback::start(manifest, &variables)
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spans of requests and attempts, when there are so many. The first request may come before the
/// replicas are known, and be held for a moment.
fn spans(collector: &Collector, count: usize) -> Vec<Span> {
    let found = || {
        let all = collector.spans().into_iter();
        all.filter(|span| span.name != "hold").collect::<Vec<_>>()
    };
    eventually("the spans", || found().len() >= count);
    let spans = found();
    assert_eq!(spans.len(), count, "{spans:#?}");
    spans
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == kind).collect()
}

fn of(span: &Span) -> BTreeMap<String, String> {
    attributes(&span.attributes)
}

fn parent(state: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{state}")
}

#[test]
fn a_request_is_a_span_of_its_caller_s_trace_and_the_replica_s_parent_is_the_attempt() {
    for (kind, protocol) in [(Protocol::Grpc, "grpc"), (Protocol::Http, "http/protobuf")] {
        let (upstream, collector) = (Upstream::start(), Collector::start(kind));
        let resource = (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        );
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b");
        let manifest = upstream.manifest(&["m"]);
        let proxy = proxy(&manifest, &collector, protocol, &[resource, headers]);
        let mut client = Client::connect(proxy.address).unwrap();
        let fields = [
            ("traceparent", &*parent("01")),
            ("tracestate", "vendor=x"),
            ("baggage", "user=7"),
        ];
        client
            .call("POST", "/v2/models/m/infer/ok?secret=1", &fields, b"x")
            .unwrap();
        let spans = spans(&collector, 2);
        let (server, attempt) = (
            of_kind(&spans, SpanKind::Server)[0],
            of_kind(&spans, SpanKind::Client)[0],
        );
        assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
        assert_eq!(hex(&server.parent_span_id), CALLER);
        assert_eq!(
            (&*server.name, &*server.trace_state),
            ("POST /v2/models/{model}/…", "vendor=x")
        );
        let found = of(server);
        for (name, value) in [
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("http.route", "/v2/models/{model}/…"),
            ("url.path", "/v2/models/m/infer/ok"),
            ("url.scheme", "http"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("tailback.model", "m"),
            ("tailback.outcome", "success"),
        ] {
            assert_eq!(
                found.get(name).map(String::as_str),
                Some(value),
                "{name}: {found:?}"
            );
        }
        assert!(!format!("{spans:?}").contains("secret"));
        assert_eq!(attempt.parent_span_id, server.span_id);
        assert_eq!(
            of(attempt)["server.port"],
            upstream.address.port().to_string()
        );
        assert!(attempt.start_time_unix_nano >= server.start_time_unix_nano);
        assert!(attempt.end_time_unix_nano <= server.end_time_unix_nano);
        // What the replica was told.
        let head = upstream.heads().pop().unwrap();
        let expected = format!("00-{TRACE}-{}-01", hex(&attempt.span_id));
        assert_eq!(field(&head, "traceparent"), Some(&*expected));
        assert_eq!(field(&head, "tracestate"), Some("vendor=x"));
        assert_eq!(field(&head, "baggage"), Some("user=7"));
        let resource = collector.resource();
        assert_eq!(
            (
                &*resource["service.name"],
                &*resource["deployment.environment.name"]
            ),
            ("tailback", "test")
        );
        assert_eq!(collector.header("api-key").as_deref(), Some("a b"));
    }
}

#[test]
fn attempts_holds_and_errors_are_spans_of_their_own() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Protocol::Grpc));
    let manifest = upstream.manifest(&["m"]);
    let manifest = manifest.replacen("spec: {", "spec: { concurrency: 1,", 1);
    let manifest = manifest.replace(
        "server: up }",
        "server: up, retry: { on: [500], budget: { minPerSecond: 100 } } }",
    );
    let proxy = proxy(&manifest, &collector, "grpc", &[]);
    let answer = call(proxy.address, "POST", "/v2/models/m/first-fail", b"x").unwrap();
    assert_eq!(answer.status, 200);
    let all = spans(&collector, 3);
    let attempts = of_kind(&all, SpanKind::Client);
    let failed = attempts
        .iter()
        .find(|span| of(span).contains_key("error.type"))
        .unwrap();
    assert_eq!(failed.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(of(failed)["http.response.status_code"], "500");
    let second = attempts
        .iter()
        .find(|span| of(span).contains_key("http.request.resend_count"))
        .unwrap();
    assert_eq!(
        (
            &*of(second)["http.request.resend_count"],
            &*of(second)["http.response.status_code"]
        ),
        ("1", "200")
    );
    let server = of_kind(&all, SpanKind::Server)[0];
    assert!(server.parent_span_id.is_empty(), "a trace of its own");
    assert_eq!(
        server.status.clone().unwrap_or_default().code(),
        StatusCode::Unset
    );

    // One replica's only slot is taken: the second request is held.
    let mut first = hang(proxy.address);
    eventually("the first", || proxy.model("m")["inFlight"] == 1);
    let address = proxy.address;
    let second = std::thread::spawn(move || call(address, "POST", "/v2/models/m/ok", b"x"));
    eventually("the second to be held", || proxy.model("m")["held"] == 1);
    first.stream().shutdown(std::net::Shutdown::Both).unwrap();
    assert!(first.is_closed());
    assert_eq!(second.join().unwrap().unwrap().status, 200);
    spans(&collector, 3 + 2 + 2);
    let all = collector.spans();
    let hold = all.iter().rfind(|span| span.name == "hold").unwrap();
    let owner = all
        .iter()
        .find(|span| span.span_id == hold.parent_span_id)
        .unwrap();
    assert_eq!(
        (owner.kind(), &*of(owner)["tailback.outcome"]),
        (SpanKind::Server, "success")
    );
    assert!(hold.start_time_unix_nano >= owner.start_time_unix_nano);
    assert!(hold.end_time_unix_nano > hold.start_time_unix_nano);

    // A request for no model is one, too.
    call(proxy.address, "POST", "/v2/models/unknown/infer", b"x").unwrap();
    let all = spans(&collector, 8);
    let refused = all.iter().find(|span| {
        of(span)
            .get("http.response.status_code")
            .is_some_and(|code| code == "404")
    });
    assert_eq!(refused.unwrap().kind(), SpanKind::Server);
}

#[test]
fn the_attempt_at_a_language_model_says_what_it_generated() {
    let (upstream, collector) = (LlmUpstream::start(), Collector::start(Protocol::Http));
    let manifest = static_manifest("up", upstream.address, &["m"]);
    let proxy = proxy(&manifest, &collector, "http/protobuf", &[]);
    let body = br#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    call(proxy.address, "POST", "/v1/chat/completions", body).unwrap();
    let all = spans(&collector, 2);
    let server = of_kind(&all, SpanKind::Server)[0];
    assert_eq!(server.name, "POST /v1/chat/completions");
    let attempt = of_kind(&all, SpanKind::Client)[0];
    assert_eq!(attempt.name, "chat m");
    let found = of(attempt);
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "m"),
        ("gen_ai.response.model", "m"),
        ("gen_ai.usage.input_tokens", "12"),
        ("gen_ai.usage.cache_read.input_tokens", "8"),
        ("gen_ai.usage.output_tokens", "2"),
        ("gen_ai.response.finish_reasons", "stop"),
    ] {
        assert_eq!(
            found.get(name).map(String::as_str),
            Some(value),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn callers_decide_for_the_proxy_and_the_proxy_for_its_replicas() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Protocol::Grpc));
    let manifest = upstream.manifest(&["m"]);
    let never = ("OTEL_TRACES_SAMPLER", "parentbased_always_off");
    let proxy = proxy(&manifest, &collector, "grpc", &[never]);
    let mut client = Client::connect(proxy.address).unwrap();
    let mut told = |fields: &[(&str, &str)]| {
        client
            .call("POST", "/v2/models/m/ok", fields, b"x")
            .unwrap();
        let head = upstream.heads().pop().unwrap();
        field(&head, "traceparent").unwrap().to_owned()
    };
    // Its caller does not record: it goes on as it came.
    assert_eq!(told(&[("traceparent", &parent("00"))]), parent("00"));
    // Nobody has decided: it is not recorded, and the replica knows.
    let own = told(&[]);
    assert!(own.ends_with("-00") && !own.contains(TRACE), "{own}");
    // Its caller records.
    let own = told(&[("traceparent", &parent("01"))]);
    assert!(own.ends_with("-01") && own.contains(TRACE), "{own}");
    spans(&collector, 2);
}

#[test]
fn without_an_endpoint_what_callers_say_of_traces_passes_unchanged() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[("OTEL_SERVICE_NAME", "x")]);
    let mut client = Client::connect(proxy.address).unwrap();
    let fields = [("traceparent", &*parent("01"))];
    client
        .call("POST", "/v2/models/m/ok", &fields, b"x")
        .unwrap();
    let head = upstream.heads().pop().unwrap();
    assert_eq!(field(&head, "traceparent"), Some(&*parent("01")));
}

#[test]
fn a_collector_that_is_away_or_silent_delays_no_request_and_what_is_dropped_is_counted() {
    let upstream = Upstream::start();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "3000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "1"),
        ],
    );
    let dropped = |reason: &str| {
        proxy.metric(&format!(
            "tailback_traces_dropped_total{{reason=\"{reason}\"}}"
        ))
    };
    eventually("a full queue", || {
        let answer = call(proxy.address, "POST", "/v2/models/m/ok", b"x").unwrap();
        assert_eq!(answer.status, 200);
        dropped("queue_full") > 0.0
    });
    eventually("a failed export", || dropped("not_exported") > 0.0);
    eventually("a line in the log", || {
        proxy.log().contains("cannot export traces")
    });
}

#[test]
fn what_was_traced_is_exported_before_the_end() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Protocol::Grpc));
    let delay = ("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let mut proxy = proxy(&upstream.manifest(&["m"]), &collector, "grpc", &[delay]);
    call(proxy.address, "POST", "/v2/models/m/ok", b"x").unwrap();
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(proxy.wait().success());
    spans(&collector, 2);
}

#[test]
fn callers_that_leave_while_held_or_before_their_model_is_known_have_spans() {
    let (upstream, collector) = (Upstream::start(), Collector::start(Protocol::Grpc));
    let manifest = upstream.manifest(&["m"]);
    let manifest = manifest.replacen("spec: {", "spec: { concurrency: 1,", 1);
    let proxy = proxy(&manifest, &collector, "grpc", &[]);
    let _first = hang(proxy.address);
    eventually("the first at the replica", || {
        let page = proxy.model("m");
        page["inFlight"] == 1 && page["held"] == 0
    });
    let mut held = Client::connect(proxy.address).unwrap();
    held.send(request("POST", "/v2/models/m/ok", &[], b"x"))
        .unwrap();
    eventually("the second to be held", || proxy.model("m")["held"] == 1);
    drop(held);
    let all = || collector.spans();
    let gone = |span: &Span| {
        of(span)
            .get("tailback.outcome")
            .is_some_and(|o| o == "caller_gone")
    };
    eventually("its spans", || all().iter().any(gone));
    let owner = all().into_iter().find(gone).unwrap();
    let hold = all()
        .into_iter()
        .find(|span| span.name == "hold" && span.parent_span_id == owner.span_id);
    let hold = hold.expect("a span of the hold");
    assert_eq!(hold.end_time_unix_nano, owner.end_time_unix_nano);

    // The model is named in a body that does not come.
    let mut early = Client::connect(proxy.address).unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    early.send(head).unwrap();
    drop(early);
    let of_path = |span: &Span| {
        of(span)
            .get("url.path")
            .is_some_and(|p| p == "/v1/chat/completions")
    };
    eventually("the span of the second", || all().iter().any(of_path));
    let early = all().into_iter().find(of_path).unwrap();
    assert_eq!(of(&early)["tailback.outcome"], "caller_gone");
    assert!(!of(&early).contains_key("tailback.model"));
}

#[test]
fn spans_that_the_collector_rejects_are_counted_and_logged_once() {
    for (kind, protocol) in [(Protocol::Grpc, "grpc"), (Protocol::Http, "http/protobuf")] {
        let (upstream, collector) = (Upstream::start(), Collector::start(kind));
        collector.reject(1);
        let proxy = proxy(&upstream.manifest(&["m"]), &collector, protocol, &[]);
        let rejected = || proxy.metric("tailback_traces_dropped_total{reason=\"rejected\"}");
        eventually("two exports", || {
            call(proxy.address, "POST", "/v2/models/m/ok", b"x").unwrap();
            rejected() >= 2.0
        });
        eventually("a line in the log", || {
            proxy.log().contains("rejects spans")
        });
        let log = proxy.log();
        assert_eq!(log.matches("rejects spans").count(), 1, "{log}");
        assert!(log.contains("no room"), "{log}");
        let failed = proxy.metric("tailback_traces_dropped_total{reason=\"not_exported\"}");
        assert_eq!(failed, 0.0);
    }
}
