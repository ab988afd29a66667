//! The spans of a traced request, by OpenTelemetry's semantic conventions: HTTP (`http-spans.md`),
//! gRPC (`grpc.md`) and generative AI (`gen-ai-spans.md`). Pure.

use std::borrow::Cow;

use opentelemetry::{
    Array, InstrumentationScope, KeyValue, StringValue, Value,
    trace::{SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tailback_scaler::clock::Nanos;

use super::{
    RequestTrace,
    request_trace::{Attempt, TraceEnd},
};
use crate::{
    status::{Generation, GrpcCode, MethodType, ResponseStatus},
    telemetry::wall_clock::WallClock,
};

/// All spans of an ended request, its own first.
pub(super) fn spans(
    trace: &RequestTrace,
    scope: &InstrumentationScope,
    clock: WallClock,
) -> Vec<SpanData> {
    let Some(end) = &trace.end else {
        return Vec::new();
    };
    let span = |span: Span| SpanData {
        span_context: trace.position.context(span.id),
        parent_span_id: span.parent,
        parent_span_is_remote: span.id == trace.position.span && span.parent != SpanId::INVALID,
        span_kind: span.kind,
        name: span.name,
        start_time: clock.at(span.begun),
        end_time: clock.at(span.ended.max(span.begun)),
        attributes: span.attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.error {
            Some(error) => Status::error(error),
            None => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    };
    let mut spans = vec![span(request(trace, end))];
    spans.extend(trace.held.iter().enumerate().map(|(i, (begun, ended))| {
        // A distinct id that is the same at each call.
        let id = u64::from_be_bytes(trace.position.span.to_bytes()) ^ (i as u64 + 1);
        span(Span {
            id: SpanId::from_bytes(id.to_be_bytes()),
            parent: trace.position.span,
            kind: SpanKind::Internal,
            name: "hold".into(),
            begun: *begun,
            ended: *ended,
            attributes: Vec::new(),
            error: None,
        })
    }));
    let last = trace.attempts.len().checked_sub(1);
    let attempts = trace.attempts.iter().enumerate();
    spans.extend(attempts.map(|(i, own)| span(attempt(trace, own, i, end, Some(i) == last))));
    spans
}

struct Span {
    id: SpanId,
    parent: SpanId,
    kind: SpanKind,
    name: Cow<'static, str>,
    begun: Nanos,
    ended: Nanos,
    attributes: Vec<KeyValue>,
    error: Option<String>,
}

/// The span of the request as its caller sees it.
fn request(trace: &RequestTrace, end: &TraceEnd) -> Span {
    let method = trace.method.as_str().to_owned();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.clone()),
        KeyValue::new("url.path", trace.path.to_string()),
        KeyValue::new("url.scheme", trace.caller.scheme),
        KeyValue::new("network.protocol.version", trace.caller.version),
    ];
    if let Ok(address) = trace.caller.address.to_str() {
        attributes.push(KeyValue::new("client.address", address.to_owned()));
    }
    if let Some(model) = &trace.model {
        attributes.push(KeyValue::new("tailback.model", model.to_string()));
    }
    let mut error = None;
    if let Some(outcome) = end.outcome {
        attributes.push(KeyValue::new("tailback.outcome", outcome.label()));
        error = outcome.is_fault().then(|| outcome.label().to_owned());
    }
    let mut name = match &trace.route {
        Some(route) => format!("{method} {route}"),
        None => method,
    };
    match end.status {
        ResponseStatus::Http(status) => {
            attributes.push(code("http.response.status_code", status.as_u16()));
            if status.is_server_error() {
                error.get_or_insert_with(|| status.as_str().to_owned());
            }
        }
        ResponseStatus::Grpc(status) => {
            attributes.push(code("rpc.grpc.status_code", status as u16));
            if let Some(error) = grpc_error(status) {
                attributes.push(KeyValue::new("error.type", error));
            }
        }
        ResponseStatus::Nothing(_) => {}
    }
    if end.status.method() == MethodType::Grpc {
        let path = trace.path.trim_start_matches('/');
        name = path.to_owned();
        attributes.push(KeyValue::new("rpc.system", "grpc"));
        if let Some((service, method)) = path.split_once('/') {
            attributes.push(KeyValue::new("rpc.service", service.to_owned()));
            attributes.push(KeyValue::new("rpc.method", method.to_owned()));
        }
    } else if let Some(error) = &error {
        attributes.push(KeyValue::new("error.type", error.clone()));
    }
    if let Some(route) = &trace.route {
        attributes.push(KeyValue::new("http.route", route.clone()));
    }
    Span {
        id: trace.position.span,
        parent: trace.position.parent,
        kind: SpanKind::Server,
        name: name.into(),
        begun: trace.begun,
        ended: end.at,
        attributes,
        error,
    }
}

/// The gRPC codes that count as errors of a server.
fn grpc_error(status: GrpcCode) -> Option<&'static str> {
    let is_error = matches!(
        status,
        GrpcCode::Unknown
            | GrpcCode::DeadlineExceeded
            | GrpcCode::Unimplemented
            | GrpcCode::Internal
            | GrpcCode::Unavailable
            | GrpcCode::DataLoss
    );
    is_error.then(|| status.label())
}

/// The span of one attempt at a replica. The last attempt has the attributes of the generation.
fn attempt(
    trace: &RequestTrace,
    own: &Attempt,
    number: usize,
    end: &TraceEnd,
    is_last: bool,
) -> Span {
    let method = trace.method.as_str().to_owned();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.clone()),
        KeyValue::new("tailback.replica", own.replica.to_string()),
    ];
    let (host, port) = own
        .authority
        .rsplit_once(':')
        .unwrap_or((&own.authority, ""));
    attributes.push(KeyValue::new(
        "server.address",
        host.trim_matches(['[', ']']).to_owned(),
    ));
    if let Ok(port) = port.parse() {
        attributes.push(code("server.port", port));
    }
    if number > 0 {
        attributes.push(KeyValue::new("http.request.resend_count", number as i64));
    }
    let mut error = own.failed.map(|(_, reason)| reason.label().to_owned());
    if let Some(status) = own.status {
        attributes.push(code("http.response.status_code", status.as_u16()));
        if status.is_client_error() || status.is_server_error() {
            error.get_or_insert_with(|| status.as_str().to_owned());
        }
    }
    // This includes incomplete responses. A caller that left is not the replica's fault.
    let fault = end.outcome.filter(|outcome| is_last && outcome.is_fault());
    if let Some(fault) = fault {
        error.get_or_insert_with(|| fault.label().to_owned());
    }
    if let Some(error) = &error {
        attributes.push(KeyValue::new("error.type", error.clone()));
    }
    let generation = end.generation.filter(|_| is_last);
    let name = match (generation, &trace.model) {
        (Some(generation), Some(model)) => {
            attributes.extend(generated(&generation, model));
            if let Some(answering) = &trace.answering_model {
                attributes.push(KeyValue::new(
                    "gen_ai.response.model",
                    answering.to_string(),
                ));
            }
            format!("{} {model}", generation.operation.label())
        }
        _ => method,
    };
    Span {
        id: own.span,
        parent: trace.position.span,
        kind: SpanKind::Client,
        name: name.into(),
        begun: own.begun,
        ended: own.failed.map_or(end.at, |(at, _)| at),
        attributes,
        error,
    }
}

/// The attributes of the generation.
fn generated(generation: &Generation, model: &str) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", generation.operation.label()),
        KeyValue::new("gen_ai.request.model", model.to_owned()),
    ];
    for (name, tokens) in [
        ("gen_ai.usage.input_tokens", generation.input_tokens()),
        (
            "gen_ai.usage.cache_read.input_tokens",
            generation.cached_tokens(),
        ),
        ("gen_ai.usage.output_tokens", generation.output_tokens()),
    ] {
        if let Some(tokens) = tokens {
            let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new(name, tokens));
        }
    }
    let reasons = generation.finish.iter();
    let reasons: Vec<StringValue> = reasons.map(|(reason, _)| reason.label().into()).collect();
    if !reasons.is_empty() {
        let reasons = Value::Array(Array::String(reasons));
        attributes.push(KeyValue::new("gen_ai.response.finish_reasons", reasons));
    }
    attributes
}

fn code(name: &'static str, code: u16) -> KeyValue {
    KeyValue::new(name, i64::from(code))
}
