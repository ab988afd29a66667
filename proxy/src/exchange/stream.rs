//! The state of one request.
//!
//! It is shared by the request, its bodies and its watchdog, all within one task. On HTTP/1.1,
//! requests follow one another, so a connection has one `StreamState` for all of them, which also
//! covers the idle time in between.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::HeaderValue;

use super::{
    Connection, Exchange, Watchdog,
    body_pace::{BodyPace, Pace},
    cancellation::Cancellation,
    deadline::{Deadline, Phase},
    fair_share::FairShare,
    pipelined::Pipelined,
    presence::{Step, Subject},
    unread::Unread,
};
use crate::{
    protocol::{Api, api::Inference, peek::Fault},
    status::Outcome,
};

/// How much of a request's body has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBodyState {
    /// All of it, or the request has none.
    Ended,
    /// Not all; nothing waits for more at the moment.
    Unread,
    /// Not all; more is awaited from the caller.
    Awaited,
    /// It ended early, or is malformed in this way.
    Broken(Option<Fault>),
}

/// The state of one request and its response.
#[derive(Debug)]
pub struct StreamState {
    connection: Rc<Connection>,
    /// The current phase and its deadline.
    pub deadline: Deadline,
    /// How much of the request's body has arrived.
    pub body: Cell<RequestBodyState>,
    pace: BodyPace,
    /// Whether more of the response is awaited from the replica.
    pub answer_awaited: Cell<bool>,
    /// The pipelined requests, on HTTP/1.1.
    pipelined: Pipelined,
    /// On HTTP/1.1: whether the connection has been idle for long, which the connection has not
    /// noticed yet.
    to_rest: Cell<bool>,
    cancellation: Cancellation,
    /// The caller's API, which determines the form of errors.
    pub api: Cell<Api>,
    /// The protocol that the caller wants to upgrade to.
    pub upgrade: RefCell<Option<HeaderValue>>,
    /// The rest of a body that was answered before it was read, on HTTP/2.
    pub unread: Unread,
    share: FairShare,
}

impl RequestBodyState {
    /// What is malformed about the body, if anything.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::Broken(fault) => fault,
            Self::Ended | Self::Unread | Self::Awaited => None,
        }
    }

    /// Whether nothing waits for more of it: all of it, or enough for now, has arrived.
    #[must_use]
    pub fn is_settled(self) -> bool {
        match self {
            Self::Ended | Self::Unread => true,
            Self::Awaited | Self::Broken(_) => false,
        }
    }
}

impl StreamState {
    /// The state of a request on `connection` in `phase`.
    #[must_use]
    pub fn new(connection: Rc<Connection>, phase: Phase) -> Self {
        Self {
            deadline: Deadline::new(phase, &connection),
            connection,
            body: Cell::new(RequestBodyState::Ended),
            pace: BodyPace::default(),
            answer_awaited: Cell::new(false),
            pipelined: Pipelined::default(),
            to_rest: Cell::new(false),
            cancellation: Cancellation::default(),
            api: Cell::new(&Inference),
            upgrade: RefCell::default(),
            unread: Unread::default(),
            share: FairShare::default(),
        }
    }

    /// The header of a request was read, on HTTP/1.1. `takes_interim`: it is not HTTP/1.0.
    pub fn ask(&self, body: RequestBodyState, takes_interim: bool) {
        self.body.set(body);
        self.pipelined.ask(takes_interim);
    }

    /// Whether a complete request was read whose response was not flushed completely.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.has_request() && self.body.get() == RequestBodyState::Ended
    }

    /// Whether a request was read whose response was not flushed completely. Its body may still be
    /// arriving.
    #[must_use]
    pub fn has_request(&self) -> bool {
        self.pipelined.is_any()
    }

    /// Whether the responses of all requests were handed over to their last bytes, even if not
    /// flushed.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        self.pipelined.are_handed_over()
    }

    /// Whether the caller understands interim responses.
    #[must_use]
    pub fn takes_interim(&self) -> bool {
        self.pipelined.takes_interim()
    }

    /// Starts a request whose body is in the state `body` after the header.
    pub fn begin(&self, body: RequestBodyState) {
        self.body.set(body);
        self.pace.begin(self.quota());
        self.answer_awaited.set(false);
        if self.cancellation.renew() {
            // The deadline was the previous request's, which had just ended.
            self.deadline.take_expired();
        }
        self.share.renew();
    }

    /// The request runs in its own task, which `waker` wakes.
    pub fn runs_in(&self, waker: &Waker) {
        self.cancellation.runs_in(waker);
    }

    /// Whether the request was cancelled through the admin address.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Counts `bytes` of a body, in either direction, against the fair share.
    pub fn passed(&self, bytes: usize) {
        self.share.spend(bytes);
    }

    /// Gives up the rest of the share, and waits for the next one.
    pub async fn yield_turn(self: &Rc<Self>) {
        self.share.spend(usize::MAX);
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    /// Ready while the share lasts; pending until the next one.
    pub fn poll_turn(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        FairShare::poll(self, cx)
    }

    /// The request's connection.
    #[must_use]
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.deadline.phase()
    }

    /// Enters `phase`, or records progress in it: its time limit restarts.
    pub fn enter(&self, phase: Phase) {
        self.deadline.enter(phase);
    }

    /// More of the request's body is awaited from the caller. Its time limit restarts if the replica
    /// was waited for until now.
    pub fn await_body(&self) {
        self.body.set(RequestBodyState::Awaited);
        if self.phase() == Phase::Body && self.pace.resume() {
            self.pace.owe(self.quota());
            self.enter(Phase::Body);
        }
    }

    /// `bytes` of the request's body have arrived. If nothing else is waited for, enough of them
    /// count as progress. A few do not, so that a caller cannot keep the request alive with one
    /// byte a minute; a gRPC caller may.
    pub fn body_came(&self, bytes: usize) {
        match self.pace.came(bytes) {
            Pace::Owes(bytes) if self.phase() == Phase::Body && !self.api.get().is_grpc() => {
                self.pace.owe(bytes);
            }
            Pace::Owes(_) | Pace::Restarts => {
                self.pace.owe(self.quota());
                self.enter(self.phase());
            }
        }
    }

    /// The bytes of a body that must arrive within its time limit.
    fn quota(&self) -> u64 {
        let timeouts = self.connection.timeouts();
        (timeouts.body_rate as f64 * timeouts.body.as_secs_f64()) as u64
    }

    /// Bytes arrived from the caller, on HTTP/1.1.
    pub fn received(&self) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// The response was handed over to its last byte. If it is a counted request, it completes
    /// when these bytes are flushed.
    pub fn finish(&self, mut exchange: Option<Exchange>) {
        if let Some(exchange) = &mut exchange {
            exchange.hide();
        }
        self.pipelined.hand_over();
        self.connection.finish(exchange);
    }

    /// The response was flushed. On HTTP/1.1, the next request's time starts.
    pub fn flushed(&self) {
        self.pipelined.flushed();
        // With pipelining, the next request may have started already.
        if matches!(self.phase(), Phase::FirstByte | Phase::Streaming) {
            self.deadline.end();
            self.enter(Phase::Idle);
        }
    }

    /// Ready when the request's deadline has passed, which the deadline then records. `watchdog`
    /// must belong to this request.
    pub(crate) fn poll_expired(&self, watchdog: &mut Watchdog, cx: &mut Context<'_>) -> Poll<()> {
        if self.body.get() == RequestBodyState::Unread {
            self.pace.pause();
        }
        while watchdog
            .poll(cx, || self.deadline.at(&self.connection))
            .is_ready()
        {
            if !self.postpone() {
                self.deadline.expire();
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Whether the connection has been idle for long enough to [rest](Deadline::rest_after).
    /// Returns `true` once.
    #[must_use]
    pub fn is_to_rest(&self) -> bool {
        self.to_rest.take()
    }

    /// Extends the deadline if the side that is waited for has more time. Returns whether it was
    /// extended.
    fn postpone(&self) -> bool {
        match self.phase() {
            Phase::Body | Phase::Streaming => self.deadline.postpone(self.gap()),
            Phase::Idle if !self.connection.is_closing() && !self.has_request() => {
                let keep_alive = self.connection.timeouts().keep_alive;
                let is_postponed = self.deadline.postpone(keep_alive);
                self.to_rest.set(is_postponed);
                is_postponed
            }
            _ => false,
        }
    }

    /// How long a body may make no progress.
    fn gap(&self) -> Duration {
        let stream_idle = self.deadline.limits().stream_idle;
        match self.blame() {
            // A gRPC caller may be silent on an open stream.
            Outcome::CallerSlow if self.api.get().is_grpc() && self.phase() == Phase::Body => {
                stream_idle
            }
            Outcome::CallerSlow => self.connection.timeouts().body,
            _ => stream_idle,
        }
    }

    /// The outcome if the current phase times out: it names the side that is too slow.
    #[must_use]
    pub fn blame(&self) -> Outcome {
        match self.phase() {
            Phase::Held => Outcome::HeldTooLong,
            Phase::Body if self.body.get() == RequestBodyState::Awaited => Outcome::CallerSlow,
            Phase::Streaming
                if self.connection.write_blocked.get() || !self.answer_awaited.get() =>
            {
                Outcome::CallerSlow
            }
            _ => Outcome::UpstreamSlow,
        }
    }
}

impl Subject for StreamState {
    fn step(&self) -> Step {
        match self.phase() {
            Phase::Held => Step::Held,
            Phase::Idle | Phase::Head | Phase::Body => Step::Receiving,
            Phase::Response => Step::Waiting,
            Phase::FirstByte | Phase::Streaming => Step::Answering,
        }
    }

    /// Treated as if its time were over.
    fn cancel(&self) {
        self.deadline.expire();
        if !self.cancellation.cancel() {
            self.connection.footprint.wake();
        }
    }
}

impl AsRef<FairShare> for StreamState {
    fn as_ref(&self) -> &FairShare {
        &self.share
    }
}
