//! What is going on with one request, and until when that may take.
//!
//! Shared by the request, its bodies and whoever watches over it, all of one
//! task. On HTTP/1.1, where one request follows the other, a connection has one
//! `StreamState` for all of them, which also knows the time in between.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http::HeaderValue;
use tailback_scaler::clock::Nanos;

use super::{Connection, Exchange, LINGER, Watchdog, fair_share::FairShare};
use crate::{
    limits::{Limit, RequestLimits},
    protocol::{ApiProtocol, peek::Fault},
    status::Outcome,
};

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

/// The state of one request and its answer.
#[derive(Debug)]
pub struct StreamState {
    connection: Rc<Connection>,
    phase: Cell<Phase>,
    /// The phase began, or made progress, since the deadline was set.
    moved: Cell<bool>,
    /// When that was, as of the last look at the deadline.
    since: Cell<Nanos>,
    deadline: Cell<Nanos>,
    /// How long its replica may take.
    limits: Cell<RequestLimits>,
    /// When the request has to be over altogether.
    total: Cell<Nanos>,
    /// It was its caller who set `total`.
    limited: Cell<bool>,
    /// Time is up for the request; it has not noticed yet.
    expired: Cell<bool>,
    /// How its caller wants to be told what goes wrong.
    pub api: Cell<ApiProtocol>,
    /// The request's body is awaited.
    pub body_awaited: Cell<bool>,
    /// The request's body ended early, or was none.
    pub body_broken: Cell<bool>,
    /// The request's body is not what it must be.
    pub body_fault: Cell<Option<Fault>>,
    /// Not all of the request's body has been read.
    pub body_unread: Cell<bool>,
    /// The protocol that the caller wants to go over to.
    pub upgrade: RefCell<Option<HeaderValue>>,
    /// More of the answer is awaited of the replica.
    pub answer_awaited: Cell<bool>,
    share: FairShare,
}

impl StreamState {
    /// A request on `connection`, in `phase` since now.
    #[must_use]
    pub fn new(connection: Rc<Connection>, phase: Phase) -> Self {
        Self {
            limits: Cell::new(RequestLimits::without_model(connection.timeouts())),
            since: Cell::new(Nanos(0)),
            connection,
            phase: Cell::new(phase),
            moved: Cell::new(true),
            deadline: Cell::new(Nanos(u64::MAX)),
            total: Cell::new(Nanos(u64::MAX)),
            limited: Cell::new(false),
            expired: Cell::new(false),
            api: Cell::default(),
            body_awaited: Cell::new(false),
            body_broken: Cell::new(false),
            body_fault: Cell::new(None),
            body_unread: Cell::new(false),
            answer_awaited: Cell::new(false),
            upgrade: RefCell::default(),
            share: FairShare::default(),
        }
    }

    /// Bytes of a body have passed, either way.
    pub fn passed(&self, bytes: usize) {
        self.share.spend(bytes);
    }

    /// Lets others have their turn, whatever is left of the share.
    pub async fn yield_turn(self: &Rc<Self>) {
        self.share.spend(usize::MAX);
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    /// Ready while the body's share lasts; pending until its next one.
    pub fn poll_turn(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        FairShare::poll(self, cx)
    }

    /// What it is on.
    #[must_use]
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// What is being done.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A request has arrived at `now`, whose replica may take as long as `limits` say: its total
    /// time runs, which its caller may have limited further.
    pub fn begin(&self, now: Nanos, limits: RequestLimits, by_caller: Option<Duration>) {
        let most = limits.total;
        self.limits.set(limits);
        self.limited
            .set(by_caller.is_some_and(|limit| limit < most));
        self.total.set(now + by_caller.unwrap_or(most).min(most));
        self.body_broken.set(false);
        self.body_fault.set(None);
        self.answer_awaited.set(false);
        self.share.renew();
        self.moved.set(true);
    }

    /// Enters `phase`, or makes progress in it: its time limit starts anew.
    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.moved.set(true);
    }

    /// Bytes came in from the caller, on HTTP/1.1.
    pub fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// A response has been handed over to the last byte. Its request, if it was
    /// for a model, is complete when those bytes are flushed.
    pub fn finish(&self, exchange: Option<Exchange>) {
        self.connection.finish(exchange);
    }

    /// The response has gone out: time for the next request, on HTTP/1.1.
    pub fn flushed(&self) {
        // With pipelining, the next request may be under way already.
        if matches!(self.phase.get(), Phase::FirstByte | Phase::Streaming) {
            self.total.set(Nanos(u64::MAX));
            self.enter(Phase::Idle);
        }
    }

    /// The present deadline, or a time before it at which `postpone` is to be
    /// asked. Look at it when a turn of the task is over: the clock is read only if something moved
    /// in it.
    pub fn deadline(&self) -> Nanos {
        if self.moved.take() {
            let (timeouts, limits) = (self.connection.timeouts(), self.limits.get());
            let limit = match self.phase.get() {
                Phase::Idle if self.connection.is_closing() => LINGER,
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
            self.deadline.set((now + limit).min(self.total.get()));
        }
        self.deadline.get()
    }

    /// Whether who is waited for may take longer still: the deadline is later then.
    fn postpone(&self) -> bool {
        let limit = match self.phase.get() {
            Phase::Body | Phase::Streaming => self.gap(),
            _ => return false,
        };
        let later = (self.since.get() + limit).min(self.total.get());
        let longer = later > self.deadline.get();
        self.deadline.set(later);
        longer
    }

    /// How long nothing may move of a body.
    fn gap(&self) -> Duration {
        let speaks_grpc = self.api.get() == ApiProtocol::Grpc;
        match self.blame() {
            // A stream on which its caller says nothing, as it may.
            Outcome::CallerSlow if speaks_grpc && self.phase.get() == Phase::Body => {
                self.limits.get().stream_idle
            }
            Outcome::CallerSlow => self.connection.timeouts().body,
            _ => self.limits.get().stream_idle,
        }
    }

    /// Ready when the deadline has passed. `watchdog` watches this request alone.
    pub(crate) fn poll_over(&self, watchdog: &mut Watchdog, cx: &mut Context<'_>) -> Poll<()> {
        while watchdog.poll(cx, || self.deadline()).is_ready() {
            if !self.postpone() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// How long its replica may take.
    #[must_use]
    pub fn limits(&self) -> RequestLimits {
        self.limits.get()
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

    /// The connection is closing: if it is idle, it lingers from now on.
    pub fn linger(&self) {
        if self.phase.get() == Phase::Idle {
            self.moved.set(true);
        }
    }

    /// The request's time is up; it will find out by [`take_expired`](Self::take_expired).
    pub fn expire(&self) {
        self.expired.set(true);
    }

    /// Whether the request's time is up: said once.
    pub fn take_expired(&self) -> bool {
        self.expired.take()
    }

    /// Whether the time that its caller gave it is over.
    #[must_use]
    pub fn is_past_callers_limit(&self) -> bool {
        self.limited.get() && Nanos::now() >= self.total.get()
    }

    /// Who is to blame that nothing moves.
    #[must_use]
    pub fn blame(&self) -> Outcome {
        match self.phase.get() {
            Phase::Held => Outcome::HeldTooLong,
            Phase::Body if self.body_awaited.get() => Outcome::CallerSlow,
            Phase::Streaming
                if self.connection.write_blocked.get() || !self.answer_awaited.get() =>
            {
                Outcome::CallerSlow
            }
            _ => Outcome::UpstreamSlow,
        }
    }
}

impl AsRef<FairShare> for StreamState {
    fn as_ref(&self) -> &FairShare {
        &self.share
    }
}
