//! The data that is recorded about a traced request.

use http::{HeaderValue, Method, StatusCode};
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use smallvec::SmallVec;
use tailback_scaler::{clock::Nanos, ledger::SpanRef, replica::Replica};

use super::{Position, Tracer, traceparent};
use crate::{
    message::HeaderMap,
    status::{Generation, MethodType, Outcome, ResponseStatus, RetryReason},
};

/// Most bytes kept of a path.
const LONGEST_PATH: usize = 1024;

/// One traced request.
#[derive(Debug)]
pub struct RequestTrace {
    tracer: Tracer,
    pub(super) position: Position,
    pub(super) begun: Nanos,
    pub(super) method: Method,
    /// The path without its query.
    pub(super) path: Box<str>,
    pub(super) caller: TracedCaller,
    /// The path pattern that it matches.
    pub(super) route: Option<String>,
    /// The model's name, not an alias.
    pub(super) model: Option<Box<str>>,
    /// The model's name in its response.
    pub(super) answering_model: Option<Box<str>>,
    /// Since when it has been asking for a replica; `None`: it is not.
    asking: Option<Nanos>,
    /// The beginning and end of each time that it was held.
    pub(super) held: SmallVec<[(Nanos, Nanos); 1]>,
    pub(super) attempts: SmallVec<[Attempt; 1]>,
    pub(super) end: Option<TraceEnd>,
}

/// The caller's connection.
#[derive(Clone, Debug)]
pub struct TracedCaller {
    /// Its IP address.
    pub address: HeaderValue,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `1.1` or `2`.
    pub version: &'static str,
}

/// An attempt at a replica.
#[derive(Debug)]
pub(super) struct Attempt {
    pub span: SpanId,
    pub begun: Nanos,
    /// When it was abandoned, and why; `None`: it was the last attempt.
    pub failed: Option<(Nanos, RetryReason)>,
    pub replica: Box<str>,
    /// The replica's `host:port`.
    pub authority: Box<str>,
    pub status: Option<StatusCode>,
}

#[derive(Debug)]
pub(super) struct TraceEnd {
    pub at: Nanos,
    /// `None`: it was refused before its model was known.
    pub outcome: Option<Outcome>,
    pub status: ResponseStatus,
    pub generation: Option<Generation>,
}

/// The first [`LONGEST_PATH`] bytes of a path at most, in whole characters.
fn beginning(path: &str) -> &str {
    let mut ends = (0..=path.len().min(LONGEST_PATH)).rev();
    let end = ends.find(|&end| path.is_char_boundary(end));
    &path[..end.unwrap_or(0)]
}

impl RequestTrace {
    /// Begins the trace of a request; `None`: it is not traced. Its header is changed to what the
    /// replica gets accordingly.
    #[must_use]
    pub fn begin(
        tracer: Tracer,
        method: &Method,
        path: &str,
        headers: &mut HeaderMap,
        caller: impl FnOnce() -> TracedCaller,
    ) -> Option<Box<Self>> {
        let position = tracer.place(headers)?;
        Some(Box::new(Self {
            tracer,
            position,
            begun: Nanos::now(),
            method: method.clone(),
            path: beginning(path).into(),
            caller: caller(),
            route: None,
            model: None,
            answering_model: None,
            asking: None,
            held: SmallVec::new(),
            attempts: SmallVec::new(),
            end: None,
        }))
    }

    /// Its own span.
    #[must_use]
    pub fn span(&self) -> SpanRef {
        SpanRef {
            trace: u128::from_be_bytes(self.position.trace.to_bytes()),
            span: u64::from_be_bytes(self.position.span.to_bytes()),
        }
    }

    /// It matches this path pattern.
    pub fn route(&mut self, route: String) {
        self.route = Some(route);
    }

    /// It is for this model.
    pub fn arrive(&mut self, model: &str) {
        self.model = Some(model.into());
    }

    /// Its response has this name of the model.
    pub fn answering_model(&mut self, name: Option<Box<str>>) {
        self.answering_model = name;
    }

    /// It asks for a replica.
    pub fn asks(&mut self) {
        self.asking = Some(Nanos::now());
    }

    /// It got a replica, or will not get one. `was_held`: whether it was held meanwhile.
    pub fn admitted(&mut self, was_held: bool) {
        if let Some(since) = self.asking.take().filter(|_| was_held) {
            self.held.push((since, Nanos::now()));
        }
    }

    /// It is sent to `replica`. Returns the header field `traceparent` to send there.
    pub fn give(&mut self, replica: &Replica) -> HeaderValue {
        let span = RandomIdGenerator::default().new_span_id();
        self.attempts.push(Attempt {
            span,
            begun: Nanos::now(),
            failed: None,
            replica: replica.name().into(),
            authority: replica.authority().into(),
            status: None,
        });
        traceparent(self.position.trace, span, true)
    }

    /// The replica has responded.
    pub fn responded(&mut self, status: StatusCode) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = Some(status);
        }
    }

    /// The attempt is abandoned. Another one may follow, perhaps after a pause.
    pub fn give_up(&mut self, reason: RetryReason) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.failed = Some((Nanos::now(), reason));
        }
    }

    /// The request has ended: queues it for export.
    pub fn finish(
        self: Box<Self>,
        at: Nanos,
        outcome: Outcome,
        status: ResponseStatus,
        generation: Option<Generation>,
    ) {
        self.end(TraceEnd {
            at,
            outcome: Some(outcome),
            status,
            generation,
        });
    }

    /// The request was answered with an error before its model was known.
    pub fn refused(self: Box<Self>, status: ResponseStatus) {
        self.end(TraceEnd {
            at: Nanos::now(),
            outcome: None,
            status,
            generation: None,
        });
    }

    /// The caller left before the request's model was known.
    fn left(self: Box<Self>) {
        self.end(TraceEnd {
            at: Nanos::now(),
            outcome: Some(Outcome::CallerGone),
            status: ResponseStatus::Nothing(MethodType::Rest),
            generation: None,
        });
    }

    fn end(mut self: Box<Self>, end: TraceEnd) {
        if let Some(since) = self.asking.take() {
            // A request that ends while it asks for a replica was held until then.
            self.held.push((since, end.at));
        }
        self.end = Some(end);
        self.tracer.0.queue.send(self);
    }
}

/// The trace of a request whose model is not known yet. Dropping it ends the trace: the caller has
/// left.
#[derive(Debug, Default)]
pub struct EarlyTrace(Option<Box<RequestTrace>>);

impl EarlyTrace {
    /// `trace` is `None` if the request is not traced.
    #[must_use]
    pub fn new(trace: Option<Box<RequestTrace>>) -> Self {
        Self(trace)
    }

    /// Takes the trace, which the caller must then end.
    pub fn take(&mut self) -> Option<Box<RequestTrace>> {
        self.0.take()
    }
}

impl Drop for EarlyTrace {
    fn drop(&mut self) {
        if let Some(trace) = self.0.take() {
            trace.left();
        }
    }
}
