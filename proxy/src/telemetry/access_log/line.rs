//! One access log entry as a line of JSON. Lines are self-contained, so that files can be rotated,
//! joined and searched.

use std::{borrow::Cow, time::Duration};

use serde::Serialize;
use tailback_scaler::clock::Nanos;

use super::AccessLogEntry;
use crate::status::{FinishReasons, Generation, GrpcCode, MethodType, ResponseStatus};
use crate::telemetry::wall_clock::WallClock;

/// The fields, in the order in which they are written; docs/reference/logs.md says
/// what they mean.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    model: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    method_type: &'static str,
    path: Cow<'a, str>,
    status: Cow<'static, str>,
    outcome: &'static str,
    held_seconds: f64,
    service_seconds: f64,
    total_seconds: f64,
    replica: Option<Cow<'a, str>>,
    retries: u32,
    bytes_out: u64,
    #[serde(flatten)]
    tokens: Option<Tokens>,
}

/// The fields for a language model's response. Unknown ones are left out.
#[derive(Serialize)]
struct Tokens {
    #[serde(skip_serializing_if = "Option::is_none")]
    time_to_first_token_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_per_output_token_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    finish_reason: String,
}

/// Appends `entry` as a line to `text`. Does nothing if the request has not ended.
pub(super) fn write(text: &mut Vec<u8>, entry: &AccessLogEntry, now: WallClock) {
    let Some(end) = &entry.end else { return };
    let since = entry.given.as_ref().map_or(end.at, |(_, at)| *at);
    let arrived = humantime::format_rfc3339_micros(now.at(entry.arrived)).to_string();
    let line = Line {
        timestamp: &arrived,
        model: String::from_utf8_lossy(&entry.model),
        key: (!entry.key.is_empty()).then(|| String::from_utf8_lossy(&entry.key)),
        method_type: end.status.method().label(),
        path: String::from_utf8_lossy(&entry.path),
        status: status(end.status),
        outcome: end.outcome.label(),
        held_seconds: seconds(since.since(entry.arrived)),
        service_seconds: seconds(end.at.since(since)),
        total_seconds: seconds(end.at.since(entry.arrived)),
        replica: entry
            .given
            .as_ref()
            .map(|(name, _)| String::from_utf8_lossy(name)),
        retries: entry.retries,
        bytes_out: entry.bytes_out,
        tokens: (entry.generation.as_ref()).map(|generation| tokens(generation, entry.arrived)),
    };
    // Serialising plain fields into memory cannot fail.
    if serde_json::to_writer(&mut *text, &line).is_ok() {
        text.push(b'\n');
    }
}

fn tokens(generation: &Generation, arrived: Nanos) -> Tokens {
    Tokens {
        time_to_first_token_seconds: generation.time_to_first_token(arrived).map(seconds),
        time_per_output_token_seconds: generation.time_per_output_token().map(seconds),
        input_tokens: generation.input_tokens(),
        cached_tokens: generation.cached_tokens(),
        output_tokens: generation.output_tokens(),
        finish_reason: finish_reason(&generation.finish),
    }
}

/// One word, or several separated by commas, because a response may have several choices.
fn finish_reason(reasons: &FinishReasons) -> String {
    let words: Vec<_> = reasons.iter().map(|(reason, _)| reason.label()).collect();
    words.join(",")
}

/// The same values as in the metrics' label `code`.
fn status(status: ResponseStatus) -> Cow<'static, str> {
    match status {
        ResponseStatus::Nothing(MethodType::Rest) => "499".into(),
        ResponseStatus::Nothing(MethodType::Grpc) => GrpcCode::Cancelled.label().into(),
        ResponseStatus::Http(status) => status.as_str().to_owned().into(),
        ResponseStatus::Grpc(code) => code.label().into(),
    }
}

/// In seconds, to the microsecond.
fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}
