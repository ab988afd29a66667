//! What a request has of a replica while it is with it: a slot, and a connection.

use std::{io, rc::Rc, task::Context};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{ConnectionPool, Upstream};
use crate::{
    models::{ReplicaRef, WorkerPool},
    protocol::ApiProtocol,
};

/// A place among the requests a replica takes at once. Dropping it gives the
/// place to the next in line.
#[derive(Debug)]
pub struct Permit {
    pool: Rc<WorkerPool>,
    replica: ReplicaRef,
}

impl Permit {
    /// For a slot of `replica` that has been taken.
    #[must_use]
    pub fn taken(pool: Rc<WorkerPool>, replica: ReplicaRef) -> Self {
        Self { pool, replica }
    }

    /// Whose slot it is.
    #[must_use]
    pub fn replica(&self) -> &ReplicaRef {
        &self.replica
    }

    /// Where requests of this protocol go, as a Host has it.
    #[must_use]
    pub fn authority(&self, api: ApiProtocol) -> &str {
        self.pool(api).1
    }

    /// Where requests of this dialect go: gRPC to the replica's own port for it,
    /// if it has one.
    pub(super) fn pool(&self, api: ApiProtocol) -> (&ConnectionPool, &str) {
        let replica = &self.replica.replica;
        match (api, replica.grpc_authority()) {
            (ApiProtocol::Grpc, Some(authority)) => (&self.replica.grpc, authority),
            _ => (&self.replica.http, replica.authority()),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.pool.shared().release(&self.replica.replica);
    }
}

/// A slot with the connection that is used for it.
#[derive(Debug)]
pub struct PooledConnection {
    // In this order: who gets the slot next must not find the request still there.
    upstream: Upstream,
    permit: Permit,
}

impl PooledConnection {
    /// A request on `upstream` has been answered; its body may follow.
    #[must_use]
    pub fn new(permit: Permit, upstream: Upstream) -> Self {
        Self { upstream, permit }
    }

    /// See [`Upstream::drive`].
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.upstream.drive(cx);
    }

    /// The bytes of an upgraded connection, for whoever holds the slot.
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
        if !permit.replica.replica.is_closed() {
            permit.replica.http.give(upstream);
        }
    }
}
