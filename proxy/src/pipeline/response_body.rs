//! A response's body, streamed to the caller.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tailback_scaler::replica::health::Failure;

use super::{answer_filter::AnswerFilter, replica_answer::ReplicaAnswer};
use crate::{
    downstream::{ResponseStream, Tunnel},
    exchange::{
        Exchange, Phase, RequestBodyState, StreamState, Written,
        body::{BodyError, Received},
    },
    http2::{Http2Error, Reason},
    message::Trailers,
    net::HttpVersion,
    status::{GrpcCode, Outcome},
    upstream::PooledConnection,
};

/// The body of a response to a caller.
#[derive(Debug)]
pub struct ResponseBody {
    /// The replica's connection, until its response has ended. Dropped before `exchange`: the
    /// permit is released before the request completes.
    pooled: Option<PooledConnection>,
    content: ResponseContent,
    /// The request's accounting; `None` if the request was for no model, or has completed.
    exchange: Option<Exchange>,
    /// Whether the content has ended.
    ended: bool,
    /// Whether the response was said to be complete.
    completed: bool,
    /// Whether the gRPC status is still to come, in the trailers.
    status_due: bool,
    /// What the caller's connection becomes after a response with status 101.
    tunnel: Option<Box<Tunnel>>,
    /// The error that ended it, and the point in the output when that happened.
    broken: Option<(BodyError, Written)>,
    state: Rc<StreamState>,
}

#[derive(Debug)]
enum ResponseContent {
    /// A reply of the proxy, with its trailers if any.
    Local(Option<Bytes>, Option<Trailers>),
    /// The response of a gRPC service that the proxy implements.
    Service(tonic::body::Body),
    /// A replica's response, and the filter that processes it.
    Upstream(Received, Option<Box<AnswerFilter>>),
}

impl ResponseBody {
    /// A reply of the proxy.
    #[must_use]
    pub fn local(
        bytes: Bytes,
        trailers: Option<Trailers>,
        exchange: Option<Exchange>,
        state: Rc<StreamState>,
    ) -> Self {
        let content = ResponseContent::Local((!bytes.is_empty()).then_some(bytes), trailers);
        Self::new(content, None, exchange, state)
    }

    /// The response of a gRPC service that the proxy implements.
    #[must_use]
    pub fn service(body: tonic::body::Body, state: Rc<StreamState>) -> Self {
        Self::new(ResponseContent::Service(body), None, None, state)
    }

    /// A replica's response, through `filter`.
    pub(super) fn upstream(
        body: Received,
        filter: Option<Box<AnswerFilter>>,
        pooled: PooledConnection,
        exchange: Exchange,
        state: Rc<StreamState>,
    ) -> Self {
        let content = ResponseContent::Upstream(body, filter);
        Self::new(content, Some(pooled), Some(exchange), state)
    }

    /// For a gRPC response whose status is still to come.
    #[must_use]
    pub fn before_status(mut self) -> Self {
        self.status_due = true;
        self
    }

    /// An empty body, after which the caller's connection becomes `tunnel`.
    #[must_use]
    pub fn switch(tunnel: Tunnel, state: Rc<StreamState>) -> Self {
        let mut body = Self::local(Bytes::new(), None, None, state);
        body.tunnel = Some(Box::new(tunnel));
        body
    }

    fn new(
        content: ResponseContent,
        pooled: Option<PooledConnection>,
        exchange: Option<Exchange>,
        state: Rc<StreamState>,
    ) -> Self {
        let mut body = Self {
            pooled,
            content,
            exchange,
            ended: false,
            completed: false,
            status_due: false,
            tunnel: None,
            broken: None,
            state,
        };
        body.state.enter(match body.content {
            ResponseContent::Upstream(..) => Phase::FirstByte,
            ResponseContent::Local(..) | ResponseContent::Service(_) => Phase::Streaming,
        });
        if body.content.is_end() {
            body.end();
        }
        body
    }

    /// The content has ended. On HTTP/1.1, its last bytes are written next. On HTTP/2, flow
    /// control may delay them: see [`complete`](ResponseStream::complete).
    fn end(&mut self) {
        if let Some(pooled) = self.pooled.take() {
            if self.state.body.get() != RequestBodyState::Ended {
                // The replica has responded before it has read the whole request. The rest of the
                // request is useless, and ends with the connection.
                drop(pooled);
            } else {
                pooled.give_back();
            }
        }
        let ended = std::mem::replace(&mut self.ended, true);
        if !ended && self.state.connection().version == HttpVersion::Http1 {
            self.complete();
        }
    }

    /// The replica's response is incomplete. The error is passed on after all bytes before it are
    /// flushed: a caller's connection that ends on an error drops what is not.
    fn broken(&mut self, error: BodyError) {
        drop(self.pooled.take());
        if let Some(exchange) = &mut self.exchange {
            match self.state.body.get() {
                // The caller's fault: its request broke off, so that the replica's answer did.
                RequestBodyState::Broken(None) => exchange.caller_left(),
                RequestBodyState::Broken(Some(_)) => exchange.set_outcome(Outcome::Refused),
                RequestBodyState::Ended | RequestBodyState::Unread | RequestBodyState::Awaited => {
                    exchange.replica_failed(Failure::Reset);
                    exchange.set_outcome(Outcome::UpstreamReset);
                }
            }
        }
        // From here on, the caller is waited for.
        self.state.answer_awaited.set(false);
        self.state.enter(Phase::Streaming);
        self.broken = Some((error, self.state.connection().written()));
    }

    fn poll_broken(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some((_, written)) = &self.broken {
            ready!(self.state.connection().poll_flushed(*written, cx));
        }
        drop(self.exchange.take());
        Poll::Ready(self.broken.take().map(|(error, _)| Err(error)))
    }

    /// Records bytes sent, and the gRPC status in the trailers.
    fn account(&mut self, frame: &Frame<Bytes>) {
        if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut self.exchange) {
            exchange.sent(data);
        } else if self.state.api.get().is_grpc()
            && let Some(trailers) = frame.trailers_ref()
            && let Some(exchange) = &mut self.exchange
        {
            let code = GrpcCode::of_trailers(trailers);
            exchange.answered(code);
            if let Some(pooled) = &self.pooled {
                ReplicaAnswer::of_code(code).note(pooled.replica());
            }
            self.status_due = false;
        }
    }
}

impl ResponseStream for ResponseBody {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(pooled) = &mut self.pooled {
            pooled.drive(cx);
        }
    }

    fn complete(&mut self) {
        if !std::mem::replace(&mut self.completed, true) {
            self.state.finish(self.exchange.take());
        }
    }

    fn take_tunnel(&mut self) -> Option<Tunnel> {
        self.tunnel.take().map(|tunnel| *tunnel)
    }
}

impl ResponseContent {
    fn is_end(&self) -> bool {
        match self {
            Self::Local(bytes, trailers) => bytes.is_none() && trailers.is_none(),
            Self::Service(body) => body.is_end_stream(),
            Self::Upstream(body, _) => body.is_end_stream(),
        }
    }

    fn poll_frame(
        &mut self,
        pooled: Option<&mut PooledConnection>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Local(bytes, trailers) => Poll::Ready(
                (bytes.take().map(Frame::data))
                    .or_else(|| trailers.take().map(Frame::trailers))
                    .map(Ok),
            ),
            // Errors of the service are in the trailers.
            Self::Service(body) => (Pin::new(body).poll_frame(cx))
                .map_err(|_| BodyError::Http2(Http2Error::Cancelled(Reason::INTERNAL_ERROR))),
            Self::Upstream(body, filter) => {
                // Polled before `drive`, so that the connection knows that more is wanted.
                let mut polled = Pin::new(&mut *body).poll_frame(cx);
                if polled.is_pending() {
                    if let Some(pooled) = pooled {
                        pooled.drive(cx);
                    }
                    polled = Pin::new(body).poll_frame(cx);
                }
                match filter {
                    None => polled,
                    Some(filter) => polled.map_ok(|frame| frame.map_data(|data| filter.feed(data))),
                }
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
        if this.broken.is_some() {
            return this.poll_broken(cx);
        }
        ready!(this.state.poll_turn(cx));
        let polled = match this.content.poll_frame(this.pooled.as_mut(), cx) {
            Poll::Ready(Some(Err(error))) => {
                this.broken(error);
                return this.poll_broken(cx);
            }
            Poll::Ready(None) if this.status_due => {
                this.broken(BodyError::NoStatus);
                return this.poll_broken(cx);
            }
            polled => polled,
        };
        this.state.answer_awaited.set(polled.is_pending());
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.state.passed(frame.data_ref().map_or(0, Bytes::len));
                this.state.enter(Phase::Streaming);
                if let Some(pooled) = &this.pooled {
                    pooled.replica().replica.health().responded();
                }
                this.account(frame);
                if this.is_end_stream() {
                    this.end();
                }
            }
            Poll::Ready(None) => {
                this.state.enter(Phase::Streaming);
                this.end();
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end() && !self.status_due
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            ResponseContent::Local(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            ResponseContent::Service(body) => body.size_hint(),
            ResponseContent::Upstream(_, Some(filter)) if filter.changes_length() => {
                SizeHint::default()
            }
            ResponseContent::Upstream(body, _) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    /// Records the outcome of a response that was not sent completely: the caller has left, or the
    /// caller or the replica was too slow.
    fn drop(&mut self) {
        // The request's body, within the connection, may hold the stream state. Nothing else would
        // break this cycle.
        drop(self.pooled.take());
        if self.broken.is_some() {
            return;
        }
        if let (ResponseContent::Upstream(..), Some(exchange)) = (&self.content, &mut self.exchange)
        {
            let outcome = if self.state.connection().footprint.is_cut() {
                Outcome::CallerSlow
            } else if !self.state.deadline.take_expired() {
                Outcome::CallerGone
            } else if self.state.is_cancelled() {
                Outcome::Cancelled
            } else if self.state.deadline.is_past_callers_limit() {
                Outcome::PastDeadline
            } else {
                self.state.blame()
            };
            match outcome {
                Outcome::CallerGone => return exchange.caller_left(),
                Outcome::UpstreamSlow => exchange.replica_failed(Failure::Timeout),
                _ => {}
            }
            exchange.set_outcome(outcome);
        }
    }
}
