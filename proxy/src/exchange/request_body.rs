//! A request's body as it is sent to a replica: in one piece, or streamed.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    Phase, RequestBodyState, StreamState,
    body::{BodyError, PeekableBody},
};

/// The body of an upstream request.
#[derive(Debug)]
pub enum RequestBody {
    /// Complete in memory; `None`: empty.
    Whole(Option<Bytes>),
    /// Forwarded as it arrives.
    Stream(StreamedBody),
}

/// A streamed body. When the sender drops it, the underlying body returns to its [`BodyReturn`],
/// for a retry.
#[derive(Debug)]
pub struct StreamedBody {
    /// `Some` until it is dropped.
    body: Option<PeekableBody>,
    state: Rc<StreamState>,
    back: Rc<BodyReturn>,
}

/// Where a streamed body returns to, with what was kept of the part already sent.
#[derive(Debug, Default)]
pub struct BodyReturn {
    body: RefCell<Option<PeekableBody>>,
    /// Whether more was sent than is kept.
    lost: Cell<bool>,
}

impl BodyReturn {
    /// The body, if it has returned.
    #[must_use]
    pub fn take(&self) -> Option<PeekableBody> {
        self.body.take()
    }

    /// Whether the whole body can still be sent again.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.lost.get()
    }
}

impl StreamedBody {
    /// Streams `body`, which returns to `back` when this is dropped.
    #[must_use]
    pub fn new(body: PeekableBody, state: Rc<StreamState>, back: Rc<BodyReturn>) -> Self {
        Self {
            body: Some(body),
            state,
            back,
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (Some(body), state) = (&mut self.body, &self.state) else {
            return Poll::Ready(None);
        };
        ready!(state.poll_turn(cx));
        let polled = Pin::new(&mut *body).poll_frame(cx);
        self.back.lost.set(!body.is_kept());
        if polled.is_pending() {
            state.await_body();
            return polled;
        }
        state.body.set(match &polled {
            Poll::Ready(Some(Ok(_))) if !body.is_end_stream() => RequestBodyState::Unread,
            Poll::Ready(None | Some(Ok(_))) => RequestBodyState::Ended,
            Poll::Ready(Some(Err(BodyError::Unfit(fault)))) => {
                RequestBodyState::Broken(Some(*fault))
            }
            Poll::Ready(Some(Err(_))) => RequestBodyState::Broken(None),
            Poll::Pending => RequestBodyState::Awaited,
        });
        match &polled {
            // If the response has started, this counts as progress of its phase, too.
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                state.passed(length);
                // A consumer need not poll again for the end of a body that says it has ended.
                match state.phase() == Phase::Body && body.is_end_stream() {
                    true => state.enter(Phase::Response),
                    false => state.body_came(length),
                }
            }
            Poll::Ready(None) if state.phase() == Phase::Body => state.enter(Phase::Response),
            _ => {}
        }
        polled
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        self.back.body.replace(self.body.take());
    }
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
            Self::Stream(streamed) => streamed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(streamed) => streamed.body.as_ref().is_none_or(Body::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Stream(streamed) => {
                let hint = streamed.body.as_ref().map(Body::size_hint);
                hint.unwrap_or_else(|| SizeHint::with_exact(0))
            }
        }
    }
}
