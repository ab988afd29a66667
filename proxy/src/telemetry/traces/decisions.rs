//! The spans of scale decisions that resulted from traced requests, each with a link to its
//! request.

use std::time::{Duration, SystemTime};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};
use tailback_scaler::{
    decision::{DecisionRecord, ScaleOutcome},
    status::StatusStore,
};

/// Decisions that have not been exported.
#[derive(Debug)]
pub(super) struct DecisionSpans {
    status: StatusStore,
    seen: u64,
}

impl DecisionSpans {
    /// Only decisions from now on are exported.
    pub(super) fn new(status: StatusStore) -> Self {
        let (_, seen) = status.decisions_since(u64::MAX);
        Self { status, seen }
    }

    /// The spans of the decisions since the last call.
    pub(super) fn spans(&mut self, scope: &InstrumentationScope) -> Vec<SpanData> {
        let (new, seen) = self.status.decisions_since(self.seen);
        self.seen = seen;
        new.iter().filter_map(|own| span(own, scope)).collect()
    }
}

/// The span of a decision; `None`: it did not result from a traced request.
fn span(decision: &DecisionRecord, scope: &InstrumentationScope) -> Option<SpanData> {
    let cause = decision.trace?;
    let cause = context(
        TraceId::from_bytes(cause.trace.to_be_bytes()),
        SpanId::from_bytes(cause.span.to_be_bytes()),
    );
    let mut links = SpanLinks::default();
    links.links.push(Link::with_context(cause));
    let ids = RandomIdGenerator::default();
    let since_1970 = Duration::try_from_secs_f64(decision.time).unwrap_or_default();
    let at = SystemTime::UNIX_EPOCH + since_1970;
    let (outcome, status) = match &decision.outcome {
        ScaleOutcome::Accepted => ("accepted", Status::Unset),
        ScaleOutcome::DryRun => ("dry_run", Status::Unset),
        ScaleOutcome::Failed(why) => ("failed", Status::error(why.clone())),
        ScaleOutcome::ExternalChange => ("foreign", Status::Unset),
    };
    let mut attributes = vec![
        KeyValue::new("tailback.model", decision.model.clone()),
        KeyValue::new("tailback.scale.from", i64::from(decision.from)),
        KeyValue::new("tailback.scale.to", i64::from(decision.to)),
        KeyValue::new("tailback.scale.reason", decision.why()),
        KeyValue::new("tailback.scale.outcome", outcome),
    ];
    if let ScaleOutcome::Failed(_) = decision.outcome {
        attributes.push(KeyValue::new("error.type", outcome));
    }
    Some(SpanData {
        span_context: context(ids.new_trace_id(), ids.new_span_id()),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: format!("scale {}", decision.model).into(),
        start_time: at,
        end_time: at,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status,
        instrumentation_scope: scope.clone(),
    })
}

fn context(trace: TraceId, span: SpanId) -> SpanContext {
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}
