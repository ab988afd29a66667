//! The connection or stream that one request uses, for either HTTP version.

use std::task::Context;

use futures_util::future::Either;
use http::{Request, Response};

use super::{http1::Http1, http2::Http2, send_error::SendError};
use crate::exchange::{RequestBody, body::Received};

/// Sends one request.
#[derive(Debug)]
pub enum Upstream {
    /// An HTTP/1.1 connection.
    Http1(Http1),
    /// A stream of an HTTP/2 connection.
    Http2(Box<Http2>),
}

impl Upstream {
    /// Sends `request` and waits for the response's head.
    ///
    /// # Errors
    /// [`SendError`], which says whether the request may be retried.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> {
        match self {
            Self::Http1(connection) => Either::Left(connection.send(request)),
            // Boxed: an HTTP/1.1 send needs far less room.
            Self::Http2(stream) => Either::Right(Box::pin(stream.send(request))),
        }
    }

    /// Makes progress that does not depend on reading the response's body. `cx` is woken when more
    /// is possible.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http1(connection) => connection.drive(cx),
            Self::Http2(stream) => stream.drive(cx),
        }
    }
}
