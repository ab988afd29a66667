//! A request's body, on its way to a replica: streamed piece by piece, or whole.

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

/// A request's body, to a replica.
#[derive(Debug)]
pub enum RequestBody {
    /// All of it, if any.
    Whole(Option<Bytes>),
    /// As it arrives.
    Stream(StreamedBody),
}

/// A body that is streamed. Whoever sends it drops it when nothing more of it is to be sent: then
/// it goes back to where it came from.
#[derive(Debug)]
pub struct StreamedBody {
    /// There until it is dropped.
    body: Option<PeekableBody>,
    state: Rc<StreamState>,
    back: Rc<BodyReturn>,
}

/// Where a streamed body goes back to, with what was kept of what has been sent.
#[derive(Debug, Default)]
pub struct BodyReturn {
    body: RefCell<Option<PeekableBody>>,
    /// More has been sent than is kept.
    lost: Cell<bool>,
}

impl BodyReturn {
    /// The body, if it has come back.
    #[must_use]
    pub fn take(&self) -> Option<PeekableBody> {
        self.body.take()
    }

    /// Whether it can still come back whole.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.lost.get()
    }
}

impl StreamedBody {
    /// Streams `body`, which goes `back` in the end.
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
        state.body.set(match &polled {
            Poll::Pending => RequestBodyState::Awaited,
            Poll::Ready(Some(Ok(_))) if !body.is_end_stream() => RequestBodyState::Unread,
            Poll::Ready(None | Some(Ok(_))) => RequestBodyState::Ended,
            Poll::Ready(Some(Err(BodyError::Unfit(fault)))) => {
                RequestBodyState::Broken(Some(*fault))
            }
            Poll::Ready(Some(Err(_))) => RequestBodyState::Broken(None),
        });
        match &polled {
            // Also while the answer streams already: both ways move.
            Poll::Ready(Some(Ok(frame))) => {
                state.passed(frame.data_ref().map_or(0, Bytes::len));
                // Nobody asks again for the end of what has ended.
                let all = state.phase() == Phase::Body && body.is_end_stream();
                state.enter(if all { Phase::Response } else { state.phase() });
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
