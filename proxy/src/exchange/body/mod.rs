//! Bodies received from callers and replicas, in either HTTP version.

mod body_forwarder;
mod buffer_budget;
mod look_error;
mod peekable_body;
mod pieces;

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::StreamState;
use crate::{
    http1::{Http1Body, Http1BodyError},
    http2::{Http2Error, ReceiveStream},
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

/// The body of an HTTP/2 stream.
#[derive(Debug)]
pub struct Http2Body {
    /// `None` only while this is dropped.
    stream: Option<ReceiveStream>,
    /// The request that the body belongs to; `None` for a response's body.
    request: Option<Rc<StreamState>>,
}

/// Why a body failed.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// An HTTP/1.1 error.
    #[error(transparent)]
    Http1(#[from] Http1BodyError),
    /// An HTTP/2 error.
    #[error(transparent)]
    Http2(#[from] Http2Error),
    /// The rest of the body breaks a rule on which routing by its beginning relied.
    #[error(transparent)]
    Unfit(#[from] Fault),
    /// A gRPC call ended without a status.
    #[error("there is no status")]
    NoStatus,
}

impl Received {
    /// The body of an HTTP/2 message. If the body of a `request` is dropped before its end, the
    /// stream goes to [`StreamState::unread`].
    #[must_use]
    pub fn http2(stream: ReceiveStream, request: Option<Rc<StreamState>>) -> Self {
        Self::Http2(Http2Body {
            stream: Some(stream),
            request,
        })
    }
}

impl Http2Body {
    fn is_end_stream(&self) -> bool {
        (self.stream.as_ref()).is_none_or(ReceiveStream::is_end)
    }

    fn size_hint(&self) -> SizeHint {
        match self.stream.as_ref().map(ReceiveStream::left) {
            Some(None) => SizeHint::default(),
            Some(Some(left)) => SizeHint::with_exact(left),
            None => SizeHint::with_exact(0),
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http2Error>>> {
        match &mut self.stream {
            Some(stream) => stream.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        if let (Some(request), Some(stream)) = (&self.request, self.stream.take())
            && !stream.is_end()
        {
            request.unread.keep(stream);
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
            Self::Http2(body) => body.size_hint(),
            Self::None => SizeHint::with_exact(0),
        }
    }
}
