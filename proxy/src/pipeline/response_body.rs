//! A response's body, on its way to the caller: streamed piece by piece.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tailback_scaler::replica::health::Failure;

use super::replica_answer::ReplicaAnswer;
use crate::{
    downstream::{ResponseStream, Tunnel},
    exchange::{
        Exchange, Phase, RequestBodyState, StreamState, Written,
        body::{BodyError, Received},
    },
    net::HttpVersion,
    protocol::answer_model::AnswerModel,
    status::{GrpcCode, Outcome},
    upstream::PooledConnection,
};

/// A response's body, to the caller.
#[derive(Debug)]
pub struct ResponseBody {
    /// The replica's connection, until its answer has ended. Before `exchange`: the
    /// permit goes back before the request ends.
    pooled: Option<PooledConnection>,
    content: Content,
    /// The request it answers; `None` if that was for no model, or is over.
    exchange: Option<Exchange>,
    /// The content has ended.
    ended: bool,
    /// What the caller's connection becomes.
    tunnel: Option<Box<Tunnel>>,
    /// It broke off, when this had been written.
    broken: Option<(BodyError, Written)>,
    state: Rc<StreamState>,
}

#[derive(Debug)]
enum Content {
    /// With trailers, if any.
    Local(Option<Bytes>, Option<HeaderMap>),
    /// Of a gRPC service of the proxy's own.
    Service(tonic::body::Body),
    /// From a replica, whose connection goes back when the body has ended; and what puts
    /// another name into it.
    Upstream(Received, Option<Box<AnswerModel>>),
}

impl ResponseBody {
    /// What the proxy says itself.
    #[must_use]
    pub fn local(
        bytes: Bytes,
        trailers: Option<HeaderMap>,
        exchange: Option<Exchange>,
        state: Rc<StreamState>,
    ) -> Self {
        let content = Content::Local((!bytes.is_empty()).then_some(bytes), trailers);
        Self::new(content, None, exchange, state)
    }

    /// What a gRPC service of the proxy's own answers.
    #[must_use]
    pub fn service(body: tonic::body::Body, state: Rc<StreamState>) -> Self {
        Self::new(Content::Service(body), None, None, state)
    }

    /// What a replica answers, with the name that `named` puts into it.
    #[must_use]
    pub fn upstream(
        body: Received,
        named: Option<AnswerModel>,
        pooled: PooledConnection,
        exchange: Exchange,
        state: Rc<StreamState>,
    ) -> Self {
        let content = Content::Upstream(body, named.map(Box::new));
        Self::new(content, Some(pooled), Some(exchange), state)
    }

    /// None, after which the caller's connection becomes `tunnel`.
    #[must_use]
    pub fn switch(tunnel: Tunnel, state: Rc<StreamState>) -> Self {
        let mut body = Self::local(Bytes::new(), None, None, state);
        body.tunnel = Some(Box::new(tunnel));
        body
    }

    fn new(
        content: Content,
        pooled: Option<PooledConnection>,
        exchange: Option<Exchange>,
        state: Rc<StreamState>,
    ) -> Self {
        let mut body = Self {
            pooled,
            content,
            exchange,
            ended: false,
            tunnel: None,
            broken: None,
            state,
        };
        body.state.enter(match body.content {
            Content::Upstream(..) => Phase::FirstByte,
            Content::Local(..) | Content::Service(_) => Phase::Streaming,
        });
        if body.content.is_end() {
            body.end();
        }
        body
    }

    /// The last byte has come. On HTTP/1.1, who asked for it writes it next;
    /// on HTTP/2 the caller's window may keep it: see [`complete`](ResponseStream::complete).
    fn end(&mut self) {
        if let Some(pooled) = self.pooled.take() {
            if self.state.body.get() != RequestBodyState::Ended {
                // A replica that has answered before it has read all: the rest
                // of the request is of no use, and ends with its connection.
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

    /// The replica broke off. The caller is told once what came before has gone out:
    /// whoever sends it on drops what it still has of it then.
    fn broken(&mut self, error: BodyError) {
        drop(self.pooled.take());
        if let Some(exchange) = &mut self.exchange {
            match self.state.body.get().fault() {
                None => {
                    exchange.replica_failed(Failure::Reset);
                    exchange.set_outcome(Outcome::UpstreamReset);
                }
                Some(_) => exchange.set_outcome(Outcome::Refused),
            }
        }
        // From here on, it is the caller who is waited for.
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

    /// Bytes for the books, or what gRPC says at the end.
    fn account(&mut self, frame: &Frame<Bytes>) {
        if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut self.exchange) {
            exchange.sent(data.len());
        } else if self.state.api.get().is_grpc()
            && let Some(trailers) = frame.trailers_ref()
            && let Some(exchange) = &mut self.exchange
        {
            let code = GrpcCode::of(trailers);
            exchange.answered(code);
            if let Some(pooled) = &self.pooled {
                ReplicaAnswer::of_code(code).note(pooled.replica());
            }
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
        self.state.finish(self.exchange.take());
    }

    fn take_tunnel(&mut self) -> Option<Tunnel> {
        self.tunnel.take().map(|tunnel| *tunnel)
    }
}

impl Content {
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
            // What fails there is told in the trailers.
            Self::Service(body) => (Pin::new(body).poll_frame(cx))
                .map_err(|_| BodyError::Http2(h2::Reason::INTERNAL_ERROR.into())),
            Self::Upstream(body, named) => {
                // Asking first tells the connection that more is wanted.
                let mut polled = Pin::new(&mut *body).poll_frame(cx);
                if polled.is_pending() {
                    if let Some(pooled) = pooled {
                        pooled.drive(cx);
                    }
                    polled = Pin::new(body).poll_frame(cx);
                }
                match named {
                    None => polled,
                    Some(named) => polled.map_ok(|frame| frame.map_data(|data| named.feed(data))),
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
            polled => polled,
        };
        this.state.answer_awaited.set(polled.is_pending());
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.state.passed(frame.data_ref().map_or(0, Bytes::len));
                this.state.enter(Phase::Streaming);
                this.account(frame);
                if this.content.is_end() {
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
        self.content.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Local(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Content::Service(body) => body.size_hint(),
            Content::Upstream(_, Some(_)) => SizeHint::default(),
            Content::Upstream(body, None) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    /// Not sent to its end: the caller has left, or was too slow, or the replica was.
    fn drop(&mut self) {
        // Its request's body may have the call: nobody else would end it.
        drop(self.pooled.take());
        if self.broken.is_some() {
            return;
        }
        if let (Content::Upstream(..), Some(exchange)) = (&self.content, &mut self.exchange) {
            let outcome = if !self.state.deadline.take_expired() {
                Outcome::CallerGone
            } else if self.state.deadline.is_past_callers_limit() {
                Outcome::PastDeadline
            } else {
                self.state.blame()
            };
            if outcome == Outcome::UpstreamSlow {
                exchange.replica_failed(Failure::Timeout);
            }
            exchange.set_outcome(outcome);
        }
    }
}
