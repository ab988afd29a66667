//! The connection or stream that one request uses, for either HTTP version.

use std::task::Context;

use futures_util::future::Either;
use http::uri::Scheme;

use super::{http1::Http1, http2::Http2, send_error::SendError};
use crate::{
    exchange::{RequestBody, body::Received},
    http1::client::RequestHead,
    message::Response,
};

/// Sends one request.
#[derive(Debug)]
pub enum Upstream {
    /// An HTTP/1.1 connection.
    Http1(Http1),
    /// A stream of an HTTP/2 connection.
    Http2(Box<Http2>),
}

impl Upstream {
    /// Sends a request and waits for the response's header. `scheme` is the scheme by which the
    /// replica is reached.
    ///
    /// # Errors
    /// [`SendError`], which says whether the request may be retried.
    pub fn send(
        &mut self,
        head: RequestHead<'_>,
        scheme: &Scheme,
        body: RequestBody,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> + use<'_> {
        match self {
            Self::Http1(connection) => Either::Left(connection.send(head, body)),
            // Boxed: HTTP/1.1 needs far less room.
            Self::Http2(stream) => Either::Right(Box::pin(stream.send(head, scheme, body))),
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
