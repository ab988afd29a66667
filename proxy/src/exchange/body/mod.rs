//! Bodies received from callers and replicas, in either HTTP version.

mod body_forwarder;
mod buffer_budget;
mod look_error;
mod peekable_body;
mod pieces;

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body::{Body, Frame, SizeHint};

use super::StreamState;
use crate::{
    http1::{Http1Body, Http1BodyError},
    protocol::peek::Fault,
};

pub use self::{
    body_forwarder::{BodyForwarder, ForwardError},
    buffer_budget::{BufferBudget, BufferReservation, Shortage},
    look_error::LookError,
    peekable_body::PeekableBody,
};

/// A received body, in either HTTP version.
#[derive(Debug)]
pub enum Received {
    /// HTTP/1.1.
    Http1(Http1Body),
    /// HTTP/2.
    Http2(Http2Body),
    /// No body.
    None,
}

/// The body of an HTTP/2 stream. Flow-control capacity is released only for data that was taken, so
/// a slow consumer slows the sender: that is the back-pressure.
#[derive(Debug)]
pub struct Http2Body {
    /// `None` only while this is dropped.
    stream: Option<RecvStream>,
    /// The request that the body belongs to; `None` for a response's body.
    request: Option<Rc<StreamState>>,
    /// Announced bytes that have not arrived yet. `None`: there is no `content-length`.
    left: Option<u64>,
    data_ended: bool,
}

/// Why a body failed.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// An HTTP/1.1 error.
    #[error(transparent)]
    Http1(#[from] Http1BodyError),
    /// An HTTP/2 error.
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// The rest of the body breaks a rule on which routing by its beginning relied.
    #[error(transparent)]
    Unfit(#[from] Fault),
    /// A gRPC call ended without a status.
    #[error("there is no status")]
    NoStatus,
}

impl Received {
    /// The body of an HTTP/2 message with these header fields. If the body of a `request` is
    /// dropped before its end, the stream goes to [`StreamState::unread`].
    #[must_use]
    pub fn http2(
        stream: RecvStream,
        headers: &HeaderMap,
        request: Option<Rc<StreamState>>,
    ) -> Self {
        let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        Self::Http2(Http2Body {
            left: announced.and_then(|text| text.parse().ok()),
            data_ended: false,
            stream: Some(stream),
            request,
        })
    }
}

impl Http2Body {
    fn is_end_stream(&self) -> bool {
        (self.stream.as_ref()).is_none_or(RecvStream::is_end_stream)
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        if !self.data_ended {
            match ready!(stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    // The consumer takes the data now, so the sender may send more.
                    stream.flow_control().release_capacity(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // RFC 9113, 8.1: the response is complete, and the sender does not want the rest
                // of the request.
                Some(Err(error))
                    if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) =>
                {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        match ready!(stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Ok(None) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        if let (Some(request), Some(stream)) = (&self.request, self.stream.take())
            && !stream.is_end_stream()
        {
            request.unread.keep(stream, self.left);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Http1(body) => body.take_frame().map_err(BodyError::Http1),
            Self::Http2(body) => body.poll_frame(cx).map_err(BodyError::Http2),
            Self::None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end(),
            Self::Http2(body) => body.is_end_stream(),
            Self::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => match body.left {
                _ if body.is_end_stream() => SizeHint::with_exact(0),
                Some(left) => SizeHint::with_exact(left),
                None => SizeHint::default(),
            },
            Self::None => SizeHint::with_exact(0),
        }
    }
}
