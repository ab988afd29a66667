//! What is going on with one request, and until when that may take.
//!
//! Shared by the request, its bodies and whoever watches over it, all of one
//! task. On HTTP/1.1, where one request follows the other, a connection has one
//! `StreamState` for all of them, which also knows the time in between.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use http_body::Frame;
use tailback_scaler::clock::Nanos;

use super::{Connection, Exchange, LINGER, fair_share};
use crate::{
    downstream::Tunnel,
    protocol::{ApiProtocol, peek::Fault},
    status::Outcome,
    upstream::PooledConnection,
};

/// Bytes of bodies that may pass in one go, before all others of the worker have
/// had their turn: a large tensor must not make small requests wait.
const SHARE: usize = 256 * 1024;

/// What is being done; each has its own time limit.
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
pub struct StreamState {
    connection: Rc<Connection>,
    phase: Cell<Phase>,
    /// The phase began, or made progress, since the deadline was set.
    moved: Cell<bool>,
    deadline: Cell<Nanos>,
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
    /// Both sides have agreed on it.
    tunnel: RefCell<Option<Tunnel>>,
    /// The replica's connection, until its answer has ended.
    pooled: RefCell<Option<PooledConnection>>,
    /// More of the answer is awaited of the replica.
    pub answer_awaited: Cell<bool>,
    /// What is left of the share.
    share: Cell<usize>,
    /// Who is told that the turn for the next share has come. A request and its
    /// answer may be of different tasks.
    waiting: RefCell<Vec<Waker>>,
}

impl StreamState {
    /// A call on `connection`, in `phase` since now.
    #[must_use]
    pub fn new(connection: Rc<Connection>, phase: Phase) -> Self {
        Self {
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
            tunnel: RefCell::default(),
            pooled: RefCell::default(),
            share: Cell::new(SHARE),
            waiting: RefCell::default(),
        }
    }

    /// Bytes of a body have passed, either way.
    pub fn passed(&self, frame: &Frame<Bytes>) {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.share.set(self.share.get().saturating_sub(bytes));
    }

    /// Whether more may pass. Pending once each share, until the turn for the
    /// next has come, however often hyper asks meanwhile.
    pub fn poll_turn(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.share.get() > 0 {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            fair_share::wait(self);
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// A share may pass.
    pub(super) fn begin_share(&self) {
        self.share.set(SHARE);
        for waker in self.waiting.take() {
            waker.wake();
        }
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

    /// A request has arrived at `now`: its total time runs, which its caller
    /// may have limited.
    pub fn begin(&self, now: Nanos, limit: Option<Duration>) {
        let most = self.connection.timeouts().total;
        self.limited.set(limit.is_some_and(|limit| limit < most));
        self.total.set(now + limit.unwrap_or(most).min(most));
        self.body_broken.set(false);
        self.body_fault.set(None);
        self.answer_awaited.set(false);
        self.share.set(SHARE);
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

    /// When the answer has gone out, the connection becomes this.
    pub fn set_tunnel(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(tunnel));
    }

    /// What the connection becomes, if anything.
    #[must_use]
    pub fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }

    /// The answer comes by this.
    pub fn set_pooled(&self, pooled: PooledConnection) {
        self.pooled.replace(Some(pooled));
    }

    /// What the answer came by, if it did, and is not over.
    pub fn take_pooled(&self) -> Option<PooledConnection> {
        self.pooled.take()
    }

    /// Lets the replica's connection make what progress it can, for the request's
    /// body as well as the answer's: no other task does. `cx` is woken when it can
    /// make more.
    pub fn drive(&self, cx: &mut Context<'_>) {
        if let Some(pooled) = &mut *self.pooled.borrow_mut() {
            pooled.drive(cx);
        }
    }

    /// The response has gone out: time for the next request, on HTTP/1.1.
    pub fn flushed(&self) {
        // With pipelining, the next request may be under way already.
        if self.phase.get() == Phase::Streaming {
            self.total.set(Nanos(u64::MAX));
            self.enter(Phase::Idle);
        }
    }

    /// The present deadline. StreamState it when a turn of the task is over: the
    /// clock is read only if something moved in it.
    pub fn deadline(&self) -> Nanos {
        if self.moved.take() {
            let timeouts = self.connection.timeouts();
            let limit = match self.phase.get() {
                Phase::Idle if self.connection.is_closing() => LINGER,
                Phase::Idle => timeouts.keep_alive,
                Phase::Head => timeouts.header,
                Phase::Held => Duration::MAX,
                Phase::Body | Phase::Streaming => timeouts.body,
                Phase::Response => timeouts.response,
            };
            self.deadline
                .set((Nanos::now() + limit).min(self.total.get()));
        }
        self.deadline.get()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exchange::Scheme, net::HttpVersion};
    use std::task::Waker;

    fn state() -> StreamState {
        let hour = Duration::from_secs(3600);
        let timeouts = tailback_config::Timeouts {
            header: hour,
            keep_alive: hour,
            body: hour,
            connect: hour,
            response: hour,
            total: hour,
            drain: hour,
            tunnel_drain: hour,
        };
        let connection = Connection::new(timeouts, None, HttpVersion::Http1, Scheme::Http);
        StreamState::new(Rc::new(connection), Phase::Streaming)
    }

    #[tokio::test]
    async fn large_bodies_take_turns_and_let_others_through() {
        let calls = [Rc::new(state()), Rc::new(state())];
        let cx = &mut Context::from_waker(Waker::noop());
        for state in &calls {
            state.passed(&Frame::data(Bytes::from(vec![0; SHARE / 2])));
            assert!(state.poll_turn(cx).is_ready());
            state.passed(&Frame::data(Bytes::from(vec![0; SHARE])));
        }
        let mut fair_share = Vec::new();
        while fair_share.len() < 6 {
            for (i, state) in calls.iter().enumerate() {
                if state.poll_turn(cx).is_ready() {
                    fair_share.push(i);
                    state.passed(&Frame::data(Bytes::from(vec![0; SHARE])));
                    for _ in 0..16 {
                        assert!(state.poll_turn(cx).is_pending());
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(fair_share, [0, 1, 0, 1, 0, 1]);
    }

    #[tokio::test]
    async fn both_ways_of_a_call_are_told_of_their_turn() {
        let state = Rc::new(state());
        state.passed(&Frame::data(Bytes::from(vec![0; SHARE])));
        // A request's body and an answer's, each of its own task.
        let tasks = tokio::task::LocalSet::new();
        for _ in 0..2 {
            let state = state.clone();
            tasks.spawn_local(std::future::poll_fn(move |cx| state.poll_turn(cx)));
        }
        let both = tokio::time::timeout(Duration::from_secs(10), tasks);
        both.await.expect("one was not status");
    }
}
