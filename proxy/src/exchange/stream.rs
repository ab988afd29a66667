//! What is going on with one request.
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

use super::{
    Connection, Exchange, Watchdog,
    deadline::{Deadline, Phase},
    fair_share::FairShare,
};
use crate::{
    protocol::{Api, api::Inference, peek::Fault},
    status::Outcome,
};

/// How far a request's body has come from its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBodyState {
    /// All of it, or there is none.
    Ended,
    /// Not to its end; it is not waited for at the moment.
    Unread,
    /// Not to its end: more of it is awaited of the caller.
    Awaited,
    /// It ended early, or is not what it must be.
    Broken(Option<Fault>),
}

/// The state of one request and its answer.
#[derive(Debug)]
pub struct StreamState {
    connection: Rc<Connection>,
    /// What is being done, and until when that may take.
    pub deadline: Deadline,
    /// The request's body.
    pub body: Cell<RequestBodyState>,
    /// More of the answer is awaited of the replica.
    pub answer_awaited: Cell<bool>,
    /// How its caller wants to be told what goes wrong.
    pub api: Cell<Api>,
    /// The protocol that the caller wants to go over to.
    pub upgrade: RefCell<Option<HeaderValue>>,
    share: FairShare,
}

impl RequestBodyState {
    /// What is wrong with it, if it is not what it must be.
    #[must_use]
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::Broken(fault) => fault,
            Self::Ended | Self::Unread | Self::Awaited => None,
        }
    }
}

impl StreamState {
    /// A request on `connection`, in `phase` since now.
    #[must_use]
    pub fn new(connection: Rc<Connection>, phase: Phase) -> Self {
        Self {
            deadline: Deadline::new(phase, &connection),
            connection,
            body: Cell::new(RequestBodyState::Ended),
            answer_awaited: Cell::new(false),
            api: Cell::new(&Inference),
            upgrade: RefCell::default(),
            share: FairShare::default(),
        }
    }

    /// A request has begun, with a body that has, or has not, ended with its header.
    pub fn begin(&self, body: RequestBodyState) {
        self.body.set(body);
        self.answer_awaited.set(false);
        self.share.renew();
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
        self.deadline.phase()
    }

    /// Enters `phase`, or makes progress in it: its time limit starts anew.
    pub fn enter(&self, phase: Phase) {
        self.deadline.enter(phase);
    }

    /// Bytes came in from the caller, on HTTP/1.1.
    pub fn received(&self) {
        if self.phase() == Phase::Idle {
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
        if matches!(self.phase(), Phase::FirstByte | Phase::Streaming) {
            self.deadline.end();
            self.enter(Phase::Idle);
        }
    }

    /// Ready when its time is up, of which it is told by its deadline. `watchdog` watches this
    /// request alone.
    pub(crate) fn poll_expired(&self, watchdog: &mut Watchdog, cx: &mut Context<'_>) -> Poll<()> {
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

    /// Whether who is waited for may take longer still: the deadline is later then.
    fn postpone(&self) -> bool {
        match self.phase() {
            Phase::Body | Phase::Streaming => self.deadline.postpone(self.gap()),
            _ => false,
        }
    }

    /// How long nothing may move of a body.
    fn gap(&self) -> Duration {
        let stream_idle = self.deadline.limits().stream_idle;
        match self.blame() {
            // A stream on which its caller says nothing, as it may.
            Outcome::CallerSlow if self.api.get().is_grpc() && self.phase() == Phase::Body => {
                stream_idle
            }
            Outcome::CallerSlow => self.connection.timeouts().body,
            _ => stream_idle,
        }
    }

    /// Who is to blame that nothing moves.
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

impl AsRef<FairShare> for StreamState {
    fn as_ref(&self) -> &FairShare {
        &self.share
    }
}
