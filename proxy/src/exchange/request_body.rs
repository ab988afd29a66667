//! A request's body, on its way to a replica: streamed piece by piece, or whole.

use std::{
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
    Stream(PeekableBody, Rc<StreamState>),
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
            Self::Stream(incoming, state) => {
                ready!(state.poll_turn(cx));
                let polled = Pin::new(&mut *incoming).poll_frame(cx);
                state.body.set(match &polled {
                    Poll::Pending => RequestBodyState::Awaited,
                    Poll::Ready(Some(Ok(_))) if !incoming.is_end_stream() => {
                        RequestBodyState::Unread
                    }
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
                        let all = state.phase() == Phase::Body && incoming.is_end_stream();
                        state.enter(if all { Phase::Response } else { state.phase() });
                    }
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
