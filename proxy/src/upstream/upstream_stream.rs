//! One request's way to a replica, on either HTTP.

use std::task::Context;

use futures_util::future::Either;
use http::{Request, Response};

use super::{http1::Http1, http2::Http2, send_error::SendError};
use crate::exchange::{RequestBody, body::Received};

/// The means to send one request.
#[derive(Debug)]
pub enum Upstream {
    /// A connection.
    Http1(Http1),
    /// A stream of one.
    Http2(Box<Http2>),
}

impl Upstream {
    /// Sends `request` and waits for the response's head.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may be sent again.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> {
        match self {
            Self::Http1(connection) => Either::Left(connection.send(request)),
            // Boxed: HTTP/1.1 needs far less room.
            Self::Http2(stream) => Either::Right(Box::pin(stream.send(request))),
        }
    }

    /// Makes what progress can be made without the response's body. `cx` is
    /// woken when there can be more.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http1(connection) => connection.drive(cx),
            Self::Http2(stream) => stream.drive(cx),
        }
    }
}
