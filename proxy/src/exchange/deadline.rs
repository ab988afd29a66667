//! Until when what is being done may take.

use std::{cell::Cell, time::Duration};

use tailback_scaler::clock::Nanos;

use super::Connection;
use crate::limits::{Limit, RequestLimits};

/// What is being done; each has its own time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing, between requests: `keep_alive`.
    Idle,
    /// A request's header block is arriving: `header`.
    Head,
    /// The request waits for a replica: its hold deadline, kept elsewhere.
    Held,
    /// The request's body is arriving: `body` for each piece that is awaited of the caller, and
    /// `stream_idle` for each that the replica is to take. Callers of gRPC may say nothing for as
    /// long as that.
    Body,
    /// The request has been sent: `response_header`.
    Response,
    /// The response's header has come: `first_byte`.
    FirstByte,
    /// The response's body is on its way: `stream_idle` between two pieces, `body` where it is the
    /// caller who takes none.
    Streaming,
}

/// The time limit of the present phase, and of the request altogether.
#[derive(Debug)]
pub struct Deadline {
    phase: Cell<Phase>,
    /// The phase began, or made progress, since the deadline was set.
    moved: Cell<bool>,
    /// When that was, as of the last look at the deadline.
    since: Cell<Nanos>,
    at: Cell<Nanos>,
    /// How long a replica may take.
    limits: Cell<RequestLimits>,
    /// When the request has to be over altogether.
    total: Cell<Nanos>,
    /// It was the request's caller who set `total`.
    by_caller: Cell<bool>,
    /// It has passed; the request has not noticed yet.
    expired: Cell<bool>,
}

impl Deadline {
    /// Of `phase`, from the first look on. No model's limits hold yet.
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
        }
    }

    /// What is being done.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Enters `phase`, or makes progress in it: its time limit starts anew.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.moved.set(true);
    }

    /// The connection is closing: if it is idle, it lingers from now on.
    pub fn linger(&self) {
        if self.phase.get() == Phase::Idle {
            self.moved.set(true);
        }
    }

    /// A request has arrived at `now`, whose replica may take as long as `limits` say: its total
    /// time runs, which its caller may have limited further.
    pub fn begin(&self, now: Nanos, limits: RequestLimits, by_caller: Option<Duration>) {
        let most = limits.total;
        self.limits.set(limits);
        self.by_caller
            .set(by_caller.is_some_and(|limit| limit < most));
        self.total.set(now + by_caller.unwrap_or(most).min(most));
        self.moved.set(true);
    }

    /// The request is over: no total time runs.
    pub fn end(&self) {
        self.total.set(Nanos(u64::MAX));
    }

    /// How long a replica may take.
    #[must_use]
    pub fn limits(&self) -> RequestLimits {
        self.limits.get()
    }

    /// When the phase has lasted too long, or a time before that at which to ask whether it may
    /// last [longer](Self::postpone). Look at it when a turn of the task is over: the clock is read
    /// only if something moved in it.
    pub fn at(&self, connection: &Connection) -> Nanos {
        if self.moved.take() {
            let (timeouts, limits) = (connection.timeouts(), self.limits.get());
            let limit = match self.phase.get() {
                Phase::Idle if connection.is_closing() => connection.linger(),
                Phase::Idle => timeouts.keep_alive,
                Phase::Head => timeouts.header,
                Phase::Held => Duration::MAX,
                // Who is waited for shows in the end.
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

    /// Allows the phase `limit` since it last moved. Whether that is later than allowed so far.
    pub fn postpone(&self, limit: Duration) -> bool {
        let later = (self.since.get() + limit).min(self.total.get());
        let longer = later > self.at.get();
        self.at.set(later);
        longer
    }

    /// It has passed; the request will find out by [`take_expired`](Self::take_expired).
    pub fn expire(&self) {
        self.expired.set(true);
    }

    /// Whether it has passed, and the request has not found out.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired.get()
    }

    /// Whether it has passed: said once.
    pub fn take_expired(&self) -> bool {
        self.expired.take()
    }

    /// The limit that has passed, if it was the replica that took too long.
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

    /// Whether the time that the caller gave the request is over.
    #[must_use]
    pub fn is_past_callers_limit(&self) -> bool {
        self.by_caller.get() && Nanos::now() >= self.total.get()
    }
}
