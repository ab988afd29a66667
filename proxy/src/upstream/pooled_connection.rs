//! What a request has of a replica while it is with it: a permit, and a connection.

use std::{io, task::Context};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{permit::Permit, replica::ReplicaRef, upstream_stream::Upstream};

/// A permit with the connection that is used for it.
#[derive(Debug)]
pub struct PooledConnection {
    // In this order: whoever gets the permit next must not find the request still there.
    upstream: Upstream,
    permit: Permit,
}

impl PooledConnection {
    /// A request on `upstream` has been answered; its body may follow.
    #[must_use]
    pub fn new(permit: Permit, upstream: Upstream) -> Self {
        Self { upstream, permit }
    }

    /// Where it leads.
    #[must_use]
    pub fn replica(&self) -> &ReplicaRef {
        self.permit.replica()
    }

    /// See [`Upstream::drive`].
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.upstream.drive(cx);
    }

    /// The bytes of an upgraded connection, with the permit.
    ///
    /// # Errors
    /// If it broke.
    pub async fn into_io(self) -> io::Result<(Permit, impl AsyncRead + AsyncWrite)> {
        let Self { upstream, permit } = self;
        match upstream {
            Upstream::Http1(connection) => Ok((permit, connection.into_io().await?)),
            Upstream::Http2(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The response has ended: the connection may serve the next request.
    pub fn give_back(self) {
        let Self { upstream, permit } = self;
        // gRPC's connections are shared, and stay where they are.
        if !permit.replica().replica.is_closed() {
            permit.replica().http.give(upstream);
        }
    }
}
