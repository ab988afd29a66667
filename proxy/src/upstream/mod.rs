//! Connections to replicas, of one worker alone.
//!
//! On HTTP/1.1 a connection serves one request at a time and is kept idle for
//! the next; it has no task of its own: whoever leases it drives it from the
//! request's own task, which saves two task switches a request. On HTTP/2 a
//! connection is shared by many requests and has a task; each request drives
//! its own stream.

mod connection_pool;
mod connector;
mod http1;
mod http2;
mod io;
mod pooled_connection;

use std::task::Context;

use futures_util::future::Either;
use http::{Request, Response};

pub use self::{
    connection_pool::{ConnectionPool, SWEEP},
    connector::{ConnectError, Connector},
    http1::Http1,
    http2::Http2,
    pooled_connection::{Permit, PooledConnection},
};
use crate::exchange::{RequestBody, body::Received};

/// The means to send one request.
#[derive(Debug)]
pub enum Upstream {
    /// A connection.
    Http1(Http1),
    /// A stream of one.
    Http2(Box<Http2>),
}

/// Which connections may carry a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Any that is ready.
    Any,
    /// On HTTP/1.1 a new one: if that closes, it is not for having been idle.
    NewConnection,
}

/// Why there is no response.
#[derive(Debug)]
pub enum SendError {
    /// Nothing of the request was sent: here it is back.
    NotSent(Box<Request<RequestBody>>),
    /// The replica has not processed it, or it does no harm to process it twice: HTTP/1.1, the
    /// connection had been used before and closed before any response byte, at once or on a
    /// request that is idempotent;
    /// HTTP/2, it said so (RFC 9113, 8.7), and here is what is left of the body.
    Unprocessed(Option<Box<RequestBody>>),
    /// It broke.
    Broken,
    /// The response's header has more fields, or bytes, than are read.
    HeaderTooLarge,
}

impl Upstream {
    /// Whether the request may have to be sent once more.
    #[must_use]
    pub fn may_be_unprocessed(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_reused(),
            Self::Http2(_) => true,
        }
    }

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
