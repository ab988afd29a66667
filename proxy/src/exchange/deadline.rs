//! The deadline of a request's current phase.

use std::{cell::Cell, time::Duration};

use tailback_scaler::clock::Nanos;

use super::Connection;
use crate::limits::{Limit, RequestLimits};

/// What a request is doing. Each phase has a time limit of its own, named here by its field in
/// [`Timeouts`](tailback_config::Timeouts) or [`RequestLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests: `keep_alive`.
    Idle,
    /// A request's header block is arriving: `header`.
    Head,
    /// The request waits for a replica. The hold queue keeps that deadline.
    Held,
    /// The request's body is arriving. `body` limits each wait for the caller, and `stream_idle`
    /// each wait for the replica to take more. gRPC callers may be silent for `stream_idle`.
    Body,
    /// The request has been sent, and the response's header is awaited: `response_header`.
    Response,
    /// The response's header has arrived, and its body is awaited: `first_byte`.
    FirstByte,
    /// The response's body is streaming. `stream_idle` limits each wait for the replica, and `body`
    /// each wait for the caller to take more.
    Streaming,
}

/// The time limits of the current phase and of the whole request.
#[derive(Debug)]
pub struct Deadline {
    phase: Cell<Phase>,
    /// Whether the phase began or made progress since `at` was computed.
    moved: Cell<bool>,
    /// When it last did so, as of the last computation.
    since: Cell<Nanos>,
    at: Cell<Nanos>,
    /// The limits of the request's model.
    limits: Cell<RequestLimits>,
    /// The deadline of the whole request.
    total: Cell<Nanos>,
    /// Whether `total` was set by the caller (`grpc-timeout`).
    by_caller: Cell<bool>,
    /// Whether a deadline has passed that the request has not noticed.
    expired: Cell<bool>,
    /// How long the connection is idle before it is told to rest.
    rest: Cell<Duration>,
}

impl Deadline {
    /// A deadline of `phase`, which starts at the first call of [`at`](Self::at). No model's limits
    /// apply yet.
    #[must_use]
    pub fn new(phase: Phase, connection: &Connection) -> Self {
        Self {
            phase: Cell::new(phase),
            moved: Cell::new(true),
            since: Cell::new(Nanos(0)),
            at: Cell::new(Nanos(u64::MAX)),
            limits: Cell::new(RequestLimits::without_model(connection.timeouts())),
            total: Cell::new(Nanos(u64::MAX)),
            by_caller: Cell::new(false),
            expired: Cell::new(false),
            rest: Cell::new(Duration::MAX),
        }
    }

    /// Makes [`at`](Self::at) pass after the time `idle` in [`Phase::Idle`], before the phase's
    /// limit.
    pub fn rest_after(&self, idle: Duration) {
        self.rest.set(idle);
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Enters `phase`, or records progress in it: its time limit restarts.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.moved.set(true);
    }

    /// The connection is closing: if it is idle, its linger time starts.
    pub fn linger(&self) {
        if self.phase.get() == Phase::Idle {
            self.moved.set(true);
        }
    }

    /// A request with `limits` arrived at `now`: its total time starts. `by_caller` is a shorter
    /// limit that the caller has set.
    pub fn begin(&self, now: Nanos, limits: RequestLimits, by_caller: Option<Duration>) {
        let most = limits.total;
        self.limits.set(limits);
        self.by_caller
            .set(by_caller.is_some_and(|limit| limit < most));
        self.total.set(now + by_caller.unwrap_or(most).min(most));
        self.moved.set(true);
    }

    /// The request has ended, so its total time stops.
    pub fn end(&self) {
        self.total.set(Nanos(u64::MAX));
    }

    /// The limits of the request's model.
    #[must_use]
    pub fn limits(&self) -> RequestLimits {
        self.limits.get()
    }

    /// When the phase times out. That may be too early, in which case [`postpone`](Self::postpone)
    /// extends it. Call it once per poll of the task, at the end: it reads the clock only if the
    /// phase moved.
    pub fn at(&self, connection: &Connection) -> Nanos {
        if self.moved.take() {
            let (timeouts, limits) = (connection.timeouts(), self.limits.get());
            let limit = match self.phase.get() {
                Phase::Idle if connection.is_closing() => connection.linger(),
                Phase::Idle => timeouts.keep_alive.min(self.rest.get()),
                Phase::Head => timeouts.header,
                Phase::Held => Duration::MAX,
                // The shorter one: which side was waited for is known only when it has passed.
                Phase::Body | Phase::Streaming => timeouts.body.min(limits.stream_idle),
                Phase::Response => limits.response_header,
                Phase::FirstByte => limits.first_byte,
            };
            let now = Nanos::now();
            self.since.set(now);
            self.at.set((now + limit).min(self.total.get()));
        }
        self.at.get()
    }

    /// Sets the phase's deadline to `limit` after it last moved. Returns whether that is later than
    /// before.
    pub fn postpone(&self, limit: Duration) -> bool {
        let later = (self.since.get() + limit).min(self.total.get());
        let longer = later > self.at.get();
        self.at.set(later);
        longer
    }

    /// The deadline has passed. The request notices it by [`take_expired`](Self::take_expired).
    pub fn expire(&self) {
        self.expired.set(true);
    }

    /// Whether the deadline has passed and the request has not noticed.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired.get()
    }

    /// Returns `true` once after the deadline has passed.
    pub fn take_expired(&self) -> bool {
        self.expired.take()
    }

    /// Which limit has passed, if the replica was too slow.
    #[must_use]
    pub fn passed_limit(&self) -> Limit {
        if Nanos::now() >= self.total.get() {
            return Limit::Total;
        }
        match self.phase.get() {
            Phase::Response => Limit::ResponseHeader,
            Phase::FirstByte => Limit::FirstByte,
            _ => Limit::StreamIdle,
        }
    }

    /// Whether the deadline that the caller set has passed.
    #[must_use]
    pub fn is_past_callers_limit(&self) -> bool {
        self.by_caller.get() && Nanos::now() >= self.total.get()
    }
}
