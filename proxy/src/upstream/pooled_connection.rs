//! What a request holds while a replica serves it: a permit, and a connection.

use std::{io, task::Context};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{permit::Permit, replica::ReplicaRef, upstream_stream::Upstream};

/// A permit, with the connection in use under it.
#[derive(Debug)]
pub struct PooledConnection {
    // Dropped in this order: the next holder of the permit must not find the previous request still
    // on the replica.
    upstream: Upstream,
    permit: Permit,
}

impl PooledConnection {
    /// `upstream` has answered the request. The response's body may still follow.
    #[must_use]
    pub fn new(permit: Permit, upstream: Upstream) -> Self {
        Self { upstream, permit }
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &ReplicaRef {
        self.permit.replica()
    }

    /// See [`Upstream::drive`].
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.upstream.drive(cx);
    }

    /// The byte stream of an upgraded connection, with the permit.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn into_io(self) -> io::Result<(Permit, impl AsyncRead + AsyncWrite)> {
        let Self { upstream, permit } = self;
        match upstream {
            Upstream::Http1(connection) => Ok((permit, connection.into_io().await?)),
            Upstream::Http2(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Gives the connection back to the pool after the response has ended.
    pub fn give_back(self) {
        let Self { upstream, permit } = self;
        // Streams of HTTP/2 need no return. gRPC always uses HTTP/2, so this pool is the right one.
        if !permit.replica().replica.is_closed() {
            permit.replica().http.give(upstream);
        }
    }
}
