//! Bodies on their way through: streamed piece by piece, never gathered.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Connection, Exchange, Phase};
use crate::{outcome::Outcome, upstream::Lease};

/// A request's body, to a replica.
#[derive(Debug)]
pub enum RequestBody {
    /// All of it, if any.
    Whole(Option<Bytes>),
    /// As it arrives.
    Stream(Incoming, Rc<Connection>),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream(incoming, state) => {
                let polled = Pin::new(incoming).poll_frame(cx);
                state.body_awaited.set(polled.is_pending());
                match &polled {
                    Poll::Ready(Some(Ok(_))) if state.phase() == Phase::Body => {
                        state.enter(Phase::Body)
                    }
                    Poll::Ready(Some(Err(_))) => state.body_broken.set(true),
                    Poll::Ready(None) if state.phase() == Phase::Body => {
                        state.enter(Phase::Response)
                    }
                    _ => {}
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Stream(incoming, _) => incoming.size_hint(),
        }
    }
}

/// A response's body, to the caller.
#[derive(Debug)]
pub struct ResponseBody {
    content: Content,
    /// The request it answers; `None` if that was for no model, or is over.
    exchange: Option<Exchange>,
    finished: bool,
    state: Rc<Connection>,
}

#[derive(Debug)]
enum Content {
    Own(Option<Bytes>),
    /// From a replica; the lease goes back when the body has ended.
    Upstream(Incoming, Option<Lease>),
}

impl ResponseBody {
    /// What the proxy says itself.
    #[must_use]
    pub fn own(bytes: Bytes, exchange: Option<Exchange>, state: Rc<Connection>) -> Self {
        let content = Content::Own((!bytes.is_empty()).then_some(bytes));
        Self::new(content, exchange, state)
    }

    /// What a replica answers.
    #[must_use]
    pub fn upstream(
        incoming: Incoming,
        lease: Lease,
        exchange: Exchange,
        state: Rc<Connection>,
    ) -> Self {
        Self::new(
            Content::Upstream(incoming, Some(lease)),
            Some(exchange),
            state,
        )
    }

    fn new(content: Content, exchange: Option<Exchange>, state: Rc<Connection>) -> Self {
        let mut body = Self {
            content,
            exchange,
            finished: false,
            state,
        };
        body.state.enter(Phase::Streaming);
        if body.content.is_end() {
            body.finish();
        }
        body
    }

    /// The last byte has been handed over.
    fn finish(&mut self) {
        if let Content::Upstream(_, lease) = &mut self.content
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
        if !std::mem::replace(&mut self.finished, true) {
            self.state.finish(self.exchange.take());
        }
    }

    fn broken(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.set_outcome(Outcome::UpstreamReset);
        }
    }
}

impl Content {
    fn is_end(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Upstream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Upstream(incoming, lease) => {
                // Asking first tells the connection that more is wanted.
                let first = Pin::new(&mut *incoming).poll_frame(cx);
                let Some(lease) = lease.as_mut().filter(|_| first.is_pending()) else {
                    return first;
                };
                // This task drives the replica's connection: no other does.
                lease.drive(cx);
                Pin::new(incoming).poll_frame(cx)
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let polled = this.content.poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => {
                this.state.enter(Phase::Streaming);
                if this.content.is_end() {
                    this.finish();
                }
            }
            Poll::Ready(None) => this.finish(),
            Poll::Ready(Some(Err(_))) => this.broken(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Content::Upstream(incoming, _) => incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    /// Not sent to its end: the caller has left, or was too slow, or the replica was.
    fn drop(&mut self) {
        if let (Content::Upstream(..), Some(exchange)) = (&self.content, &mut self.exchange) {
            let outcome = if self.state.take_expired() {
                self.state.blame()
            } else {
                Outcome::CallerGone
            };
            exchange.set_outcome(outcome);
        }
    }
}
