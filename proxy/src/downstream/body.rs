//! Bodies on their way through: streamed piece by piece, never gathered.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{Call, Exchange, Phase, connection::Version};
use crate::{
    body::{BodyError, Inbound, Received},
    dialect::Dialect,
    grpc::Code,
    outcome::Outcome,
    upstream::Lease,
};

/// A request's body, to a replica.
#[derive(Debug)]
pub enum RequestBody {
    /// All of it, if any.
    Whole(Option<Bytes>),
    /// As it arrives.
    Stream(Inbound, Rc<Call>),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream(incoming, call) => {
                ready!(call.poll_turn(cx));
                let polled = Pin::new(&mut *incoming).poll_frame(cx);
                call.body_awaited.set(polled.is_pending());
                match &polled {
                    Poll::Ready(Some(Ok(_))) if !incoming.is_end_stream() => {}
                    Poll::Ready(None | Some(Ok(_))) => call.body_unread.set(false),
                    Poll::Ready(Some(Err(_))) | Poll::Pending => {}
                }
                match &polled {
                    // Also while the answer streams already: both ways move.
                    Poll::Ready(Some(Ok(frame))) => {
                        call.passed(frame);
                        // Nobody asks again for the end of what has ended.
                        let all = call.phase() == Phase::Body && incoming.is_end_stream();
                        call.enter(if all { Phase::Response } else { call.phase() });
                    }
                    Poll::Ready(Some(Err(error))) => {
                        call.body_broken.set(true);
                        if let BodyError::Unfit(fault) = error {
                            call.body_fault.set(Some(*fault));
                        }
                    }
                    Poll::Ready(None) if call.phase() == Phase::Body => call.enter(Phase::Response),
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
    /// The content has ended.
    ended: bool,
    call: Rc<Call>,
}

#[derive(Debug)]
enum Content {
    /// With trailers, if any.
    Own(Option<Bytes>, Option<HeaderMap>),
    /// From a replica; the call's lease goes back when the body has ended.
    Upstream(Received),
}

impl ResponseBody {
    /// What the proxy says itself.
    #[must_use]
    pub fn own(
        bytes: Bytes,
        trailers: Option<HeaderMap>,
        exchange: Option<Exchange>,
        call: Rc<Call>,
    ) -> Self {
        let content = Content::Own((!bytes.is_empty()).then_some(bytes), trailers);
        Self::new(content, exchange, call)
    }

    /// What a replica answers.
    #[must_use]
    pub fn upstream(body: Received, lease: Lease, exchange: Exchange, call: Rc<Call>) -> Self {
        call.set_lease(lease);
        Self::new(Content::Upstream(body), Some(exchange), call)
    }

    fn new(content: Content, exchange: Option<Exchange>, call: Rc<Call>) -> Self {
        let mut body = Self {
            content,
            exchange,
            ended: false,
            call,
        };
        body.call.enter(Phase::Streaming);
        if body.content.is_end() {
            body.end();
        }
        body
    }

    /// The last byte has come. On HTTP/1.1, who asked for it writes it next;
    /// on HTTP/2 the caller's window may keep it: see [`complete`](Self::complete).
    fn end(&mut self) {
        if let Some(lease) = self.call.take_lease() {
            if self.call.body_unread.get() {
                // A replica that has answered before it has read all: the rest
                // of the request is of no use, and ends with its connection.
                drop(lease);
            } else {
                lease.give_back();
            }
        }
        let ended = std::mem::replace(&mut self.ended, true);
        if !ended && self.call.connection().version == Version::Http1 {
            self.complete();
        }
    }

    /// The last byte has been handed over to the connection.
    pub fn complete(&mut self) {
        self.call.finish(self.exchange.take());
    }

    fn broken(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.set_outcome(Outcome::UpstreamReset);
        }
    }

    /// Bytes for the books, or what gRPC says at the end.
    fn account(&mut self, frame: &Frame<Bytes>) {
        if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut self.exchange) {
            exchange.sent(data.len());
        } else if self.call.dialect.get() == Dialect::Grpc
            && let Some(trailers) = frame.trailers_ref()
            && let Some(exchange) = &mut self.exchange
        {
            exchange.answered(Code::of(trailers));
        }
    }
}

impl Content {
    fn is_end(&self) -> bool {
        match self {
            Self::Own(bytes, trailers) => bytes.is_none() && trailers.is_none(),
            Self::Upstream(body) => body.is_end_stream(),
        }
    }

    fn poll_frame(
        &mut self,
        call: &Call,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Own(bytes, trailers) => Poll::Ready(
                (bytes.take().map(Frame::data))
                    .or_else(|| trailers.take().map(Frame::trailers))
                    .map(Ok),
            ),
            Self::Upstream(body) => {
                // Asking first tells the connection that more is wanted.
                let first = Pin::new(&mut *body).poll_frame(cx);
                if first.is_ready() {
                    return first;
                }
                call.drive(cx);
                Pin::new(body).poll_frame(cx)
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        ready!(this.call.poll_turn(cx));
        let polled = this.content.poll_frame(&this.call, cx);
        this.call.answer_awaited.set(polled.is_pending());
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.call.passed(frame);
                this.call.enter(Phase::Streaming);
                this.account(frame);
                if this.content.is_end() {
                    this.end();
                }
            }
            Poll::Ready(None) => this.end(),
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
            Content::Own(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Content::Upstream(body) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    /// Not sent to its end: the caller has left, or was too slow, or the replica was.
    fn drop(&mut self) {
        // Its request's body may have the call: nobody else would end it.
        drop(self.call.take_lease());
        if let (Content::Upstream(_), Some(exchange)) = (&self.content, &mut self.exchange) {
            let outcome = if !self.call.take_expired() {
                Outcome::CallerGone
            } else if self.call.is_past_callers_limit() {
                Outcome::PastDeadline
            } else {
                self.call.blame()
            };
            exchange.set_outcome(outcome);
        }
    }
}
