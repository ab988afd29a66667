//! What is going on on one connection, and until when that may take.
//!
//! Shared by the connection, its I/O and the request on it, all of one task.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    time::Duration,
};

use http::HeaderValue;
use smallvec::SmallVec;
use tailback_config::Timeouts;
use tailback_scaler::clock::Nanos;

use super::Exchange;
use crate::outcome::Outcome;

/// What a connection is doing; each has its own time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing, between requests: `keep_alive`.
    Idle,
    /// A request's header block is arriving: `header`.
    Head,
    /// The request waits for a replica: its hold deadline, kept elsewhere.
    Held,
    /// The request's body is arriving: `body` for each piece.
    Body,
    /// The request has been sent: `response`.
    Response,
    /// The response's body is on its way: `body` for each piece.
    Streaming,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Connection {
    timeouts: Timeouts,
    /// The caller's address, as `x-forwarded-for` has it.
    pub peer: HeaderValue,
    phase: Cell<Phase>,
    /// The phase began, or made progress, since the deadline was set.
    moved: Cell<bool>,
    deadline: Cell<Nanos>,
    /// When the request has to be over altogether.
    total: Cell<Nanos>,
    /// Time is up for the request; it has not noticed yet.
    expired: Cell<bool>,
    /// No further request on this connection.
    closing: Cell<bool>,
    /// The caller does not take what is written.
    pub write_blocked: Cell<bool>,
    /// The request's body is awaited.
    pub body_awaited: Cell<bool>,
    /// The request's body ended early, or was none.
    pub body_broken: Cell<bool>,
    /// A response has been handed over whole, but is not flushed.
    unflushed: Cell<bool>,
    /// The requests these responses are for.
    finished: RefCell<SmallVec<[Exchange; 1]>>,
}

impl Connection {
    /// A new connection of `peer`: its first header block is expected.
    #[must_use]
    pub fn new(timeouts: Timeouts, peer: Option<SocketAddr>) -> Self {
        let unknown = HeaderValue::from_static("unknown");
        let peer = peer
            .map_or(Ok(unknown.clone()), |p| p.ip().to_string().try_into())
            .unwrap_or(unknown);
        let deadline = Nanos::now() + timeouts.header;
        Self {
            timeouts,
            peer,
            phase: Cell::new(Phase::Head),
            moved: Cell::new(false),
            deadline: Cell::new(deadline),
            total: Cell::new(Nanos(u64::MAX)),
            expired: Cell::new(false),
            closing: Cell::new(false),
            write_blocked: Cell::new(false),
            body_awaited: Cell::new(false),
            body_broken: Cell::new(false),
            unflushed: Cell::new(false),
            finished: RefCell::default(),
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A request has arrived at `now`: its total time runs.
    pub fn begin(&self, now: Nanos) {
        self.total.set(now + self.timeouts.total);
        self.body_broken.set(false);
    }

    /// Enters `phase`, or makes progress in it: its time limit starts anew.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.moved.set(true);
    }

    /// Bytes came in from the caller.
    pub fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// A response has been handed over to the last byte. Its request, if it was
    /// for a model, is complete when those bytes are flushed.
    pub fn finish(&self, exchange: Option<Exchange>) {
        self.unflushed.set(true);
        self.finished.borrow_mut().extend(exchange);
    }

    /// All that was written has gone out.
    pub fn flushed(&self) {
        self.write_blocked.set(false);
        if !self.unflushed.take() {
            return;
        }
        self.finished.borrow_mut().clear();
        // With pipelining, the next request may be under way already.
        if self.phase.get() == Phase::Streaming {
            self.total.set(Nanos(u64::MAX));
            self.enter(Phase::Idle);
        }
    }

    /// The present deadline. Call it when a turn of the connection is over: the
    /// clock is read only if something moved in it.
    pub fn deadline(&self) -> Nanos {
        if self.moved.take() {
            let limit = match self.phase.get() {
                Phase::Idle => self.timeouts.keep_alive,
                Phase::Head => self.timeouts.header,
                Phase::Held => Duration::MAX,
                Phase::Body | Phase::Streaming => self.timeouts.body,
                Phase::Response => self.timeouts.response,
            };
            self.deadline
                .set((Nanos::now() + limit).min(self.total.get()));
        }
        self.deadline.get()
    }

    /// The request's time is up; it will find out by [`take_expired`](Self::take_expired).
    pub fn expire(&self) {
        self.expired.set(true);
    }

    /// Whether the request's time is up: said once.
    pub fn take_expired(&self) -> bool {
        self.expired.take()
    }

    /// Who is to blame that nothing moves.
    #[must_use]
    pub fn blame(&self) -> Outcome {
        match self.phase.get() {
            Phase::Held => Outcome::HeldTooLong,
            Phase::Body if self.body_awaited.get() => Outcome::CallerSlow,
            Phase::Streaming if self.write_blocked.get() => Outcome::CallerSlow,
            _ => Outcome::UpstreamSlow,
        }
    }

    /// The connection takes no further request; if idle, it ends after `linger`.
    pub fn close_after_this(&self, linger: Duration) {
        self.closing.set(true);
        if self.phase.get() == Phase::Idle {
            self.deadline.set(Nanos::now() + linger);
        }
    }

    /// Whether the next response is the last.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }
}
