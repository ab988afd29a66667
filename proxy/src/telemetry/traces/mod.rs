//! Traces of requests for OpenTelemetry: a span for each request, and within it one for the time
//! that it was held and one for each attempt at a replica. A scale decision that resulted from a
//! traced request is a span with a link to it.
//!
//! When tracing is off, it costs one branch per request. A traced request collects plain data on
//! its way, and puts them into a [queue](super::polled_queue) at its end. The thread that polls
//! the queue makes and exports the spans.

mod collector;
mod decisions;
mod exporter;
mod request_trace;
mod spans;

use std::{io, time::Duration};

use http::HeaderValue;
use metrics::counter;
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample},
};
use tailback_config::Traces;
use tailback_scaler::status::StatusStore;

pub use self::request_trace::{EarlyTrace, RequestTrace, TracedCaller};
use self::{
    decisions::DecisionSpans,
    exporter::{Lost, TraceExporter},
};
use super::polled_queue::{PolledQueue, QueueSender, queue};
use crate::message::HeaderMap;

/// The header field with the trace and the caller's span (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// The longest time that shutdown waits for the last export.
const LAST_EXPORT: Duration = Duration::from_secs(5);
/// Longest `tracestate` that is kept for a span, in bytes (W3C Trace Context, 3.3.1.5).
const LONGEST_STATE: usize = 512;

/// The handle for tracing requests. Its state is leaked, because it lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Tracer(&'static Shared);

#[derive(Debug)]
struct Shared {
    sampler: Sampler,
    queue: QueueSender<RequestTrace>,
}

/// The tracer with its exporting thread.
#[derive(Debug)]
pub struct RunningTraces {
    tracer: Tracer,
    ended: PolledQueue<RequestTrace>,
    /// How long the last export may take.
    patience: Duration,
}

/// A request's position in its trace.
#[derive(Clone, Debug)]
struct Position {
    trace: TraceId,
    /// The request's own span.
    span: SpanId,
    /// The caller's span; invalid if there is none.
    parent: SpanId,
    state: TraceState,
}

impl RunningTraces {
    /// Starts to export traced requests, and the decisions in `status` that result from them.
    ///
    /// # Errors
    /// If the exporter cannot be started.
    pub fn start(traces: &Traces, status: StatusStore) -> io::Result<Self> {
        let dropped =
            |reason: &'static str| counter!("tailback_traces_dropped_total", "reason" => reason);
        let lost = Lost {
            not_exported: dropped("not_exported"),
            rejected: dropped("rejected"),
        };
        let exporter = TraceExporter::new(traces, DecisionSpans::new(status), lost)?;
        let queue = queue(traces.queue, dropped("queue_full"));
        let ended = PolledQueue::start(exporter, queue)?;
        let shared = Shared {
            sampler: sampler(traces.sampler),
            queue: ended.sender(),
        };
        Ok(Self {
            tracer: Tracer(Box::leak(Box::new(shared))),
            ended,
            patience: traces.timeout.min(LAST_EXPORT),
        })
    }

    /// The handle for tracing.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.tracer
    }

    /// Exports what has been traced so far, then ends. Waits at most as long as an export may take.
    pub fn close(self) {
        self.ended.close(self.patience);
    }
}

/// The fields of a request, for a propagator.
struct Fields<'a>(&'a HeaderMap);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Tracer {
    /// The position of a request with these header fields; `None`: it is not traced. `headers` is
    /// changed to what the replica gets accordingly.
    fn place(self, headers: &mut HeaderMap) -> Option<Position> {
        let extracted = match is_well_formed(headers) {
            true => TraceContextPropagator::new()
                .extract_with_context(&Context::new(), &Fields(headers)),
            false => Context::new(),
        };
        let caller = extracted.span().span_context().clone();
        if !caller.is_valid() {
            // It belongs to a caller that is not known.
            headers.remove(TRACESTATE);
        }
        let ids = RandomIdGenerator::default();
        let (trace, span) = match caller.is_valid() {
            true => (caller.trace_id(), ids.new_span_id()),
            false => (ids.new_trace_id(), ids.new_span_id()),
        };
        let parent = caller.is_valid().then_some(&extracted);
        let sampled =
            (self.0.sampler).should_sample(parent, trace, "", &SpanKind::Server, &[], &[]);
        if sampled.decision == SamplingDecision::RecordAndSample {
            let state = caller.trace_state();
            let is_kept = state.header().len() <= LONGEST_STATE;
            return Some(Position {
                trace,
                span,
                parent: parent.map_or(SpanId::INVALID, |_| caller.span_id()),
                state: match is_kept {
                    true => state.clone(),
                    false => TraceState::NONE,
                },
            });
        }
        if !caller.is_valid() || caller.is_sampled() {
            // Otherwise the replica would make a sampling decision of its own.
            headers.insert(TRACEPARENT, traceparent(trace, span, false));
        }
        None
    }
}

/// Whether there is exactly one `traceparent`, with ids of the right length, which the parser does
/// not check.
fn is_well_formed(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRACEPARENT);
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let lengths = value.to_str().unwrap_or_default().split('-').map(str::len);
    lengths.take(4).eq([2, 32, 16, 2])
}

/// W3C Trace Context, 3.2.
fn traceparent(trace: TraceId, span: SpanId, is_sampled: bool) -> HeaderValue {
    let text = format!("00-{trace}-{span}-{:02x}", u8::from(is_sampled));
    // Hex digits and hyphens are valid header characters, so this cannot fail.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn sampler(settings: tailback_config::Sampler) -> Sampler {
    let root = match settings.ratio {
        1.0.. => Sampler::AlwaysOn,
        ratio if ratio > 0.0 => Sampler::TraceIdRatioBased(ratio),
        _ => Sampler::AlwaysOff,
    };
    match settings.is_parent_based {
        true => Sampler::ParentBased(Box::new(root)),
        false => root,
    }
}

impl Position {
    fn context(&self, span: SpanId) -> SpanContext {
        let flags = TraceFlags::SAMPLED;
        SpanContext::new(self.trace, span, flags, false, self.state.clone())
    }
}

#[cfg(test)]
mod tests;
