//! What is recorded of a request while it is on its way.

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use smallvec::SmallVec;
use tailback_scaler::{clock::Nanos, ledger::SpanRef, replica::Replica};

use super::{Position, Tracer, traceparent};
use crate::status::{Generation, MethodType, Outcome, ResponseStatus, RetryReason};

/// Most bytes kept of a path.
const LONGEST_PATH: usize = 1024;

/// One traced request.
#[derive(Debug)]
pub struct RequestTrace {
    tracer: Tracer,
    pub(super) position: Position,
    pub(super) begun: Nanos,
    pub(super) method: Method,
    /// Without its query.
    pub(super) path: Box<str>,
    pub(super) caller: TracedCaller,
    /// The pattern of paths that it matches.
    pub(super) route: Option<String>,
    /// The model's own name.
    pub(super) model: Option<Box<str>>,
    /// The name that its answer gives the model.
    pub(super) answering_model: Option<Box<str>>,
    /// Since when a replica is asked for, until there is one.
    asking: Option<Nanos>,
    /// From when to when it was held, once for each time.
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

/// The request, at a replica.
#[derive(Debug)]
pub(super) struct Attempt {
    pub span: SpanId,
    pub begun: Nanos,
    /// When it was given up; `None`: it was the last one.
    pub failed: Option<(Nanos, RetryReason)>,
    pub replica: Box<str>,
    /// Its `host:port`.
    pub authority: Box<str>,
    pub status: Option<StatusCode>,
}

#[derive(Debug)]
pub(super) struct TraceEnd {
    pub at: Nanos,
    /// `None`: it was refused before it was for a model.
    pub outcome: Option<Outcome>,
    pub status: ResponseStatus,
    pub generation: Option<Generation>,
}

/// At most [`LONGEST_PATH`] bytes of a path, in whole characters.
fn beginning(path: &str) -> &str {
    let mut ends = (0..=path.len().min(LONGEST_PATH)).rev();
    let end = ends.find(|&end| path.is_char_boundary(end));
    &path[..end.unwrap_or(0)]
}

impl RequestTrace {
    /// Begins with a request's head; `None`: it is not to be traced. What the header says to the
    /// replica follows from that.
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

    /// Its span.
    #[must_use]
    pub fn span(&self) -> SpanRef {
        SpanRef {
            trace: u128::from_be_bytes(self.position.trace.to_bytes()),
            span: u64::from_be_bytes(self.position.span.to_bytes()),
        }
    }

    /// It matches this pattern of paths.
    pub fn route(&mut self, route: String) {
        self.route = Some(route);
    }

    /// It is for this model.
    pub fn arrive(&mut self, model: &str) {
        self.model = Some(model.into());
    }

    /// Its answer gives the model this name.
    pub fn answering_model(&mut self, name: Option<Box<str>>) {
        self.answering_model = name;
    }

    /// A replica is asked for.
    pub fn asks(&mut self) {
        self.asking = Some(Nanos::now());
    }

    /// There is a replica, or there will be none. It `was_held` meanwhile, or not.
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

    /// The attempt is given up; another one may follow, perhaps after a while.
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

    /// The request was answered with an error, before it was for a model.
    pub fn refused(self: Box<Self>, status: ResponseStatus) {
        self.end(TraceEnd {
            at: Nanos::now(),
            outcome: None,
            status,
            generation: None,
        });
    }

    /// The caller has left, before the request was for a model.
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
            // Whoever leaves, or is sent away, while a replica is asked for was held until then.
            self.held.push((since, end.at));
        }
        self.end = Some(end);
        self.tracer.0.queue.send(self);
    }
}

/// The trace of a request whose model is not known yet. Dropping it ends it: the caller has left.
#[derive(Debug, Default)]
pub struct EarlyTrace(Option<Box<RequestTrace>>);

impl EarlyTrace {
    /// Of a request that is traced, or of one that is not.
    #[must_use]
    pub fn new(trace: Option<Box<RequestTrace>>) -> Self {
        Self(trace)
    }

    /// The trace, whose end is then up to the taker.
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
