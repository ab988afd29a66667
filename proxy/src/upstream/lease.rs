//! What a request has of a replica while it is with it: a slot, and a connection.

use std::{io, rc::Rc, task::Context};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Lane, Upstream};
use crate::{
    dialect::Dialect,
    worker::{ReplicaRef, WorkerPool},
};

/// A place among the requests a replica takes at once. Dropping it gives the
/// place to the next in line.
#[derive(Debug)]
pub struct Slot {
    pool: Rc<WorkerPool>,
    replica: ReplicaRef,
}

impl Slot {
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

    /// Where requests of this dialect go: gRPC to the replica's own port for it,
    /// if it has one.
    pub(super) fn lane(&self, dialect: Dialect) -> (&Lane, &str) {
        let replica = &self.replica.replica;
        match (dialect, replica.grpc_authority()) {
            (Dialect::Grpc, Some(authority)) => (&self.replica.grpc, authority),
            _ => (&self.replica.http, replica.authority()),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.shared().release(&self.replica.replica);
    }
}

/// A slot with the connection that is used for it.
#[derive(Debug)]
pub struct Lease {
    // In this order: who gets the slot next must not find the request still there.
    upstream: Upstream,
    slot: Slot,
}

impl Lease {
    /// A request on `upstream` has been answered; its body may follow.
    #[must_use]
    pub fn new(slot: Slot, upstream: Upstream) -> Self {
        Self { upstream, slot }
    }

    /// See [`Upstream::drive`].
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.upstream.drive(cx);
    }

    /// The bytes of an upgraded connection, for whoever holds the slot.
    ///
    /// # Errors
    /// If it broke.
    pub async fn into_io(self) -> io::Result<(Slot, impl AsyncRead + AsyncWrite)> {
        let Self { upstream, slot } = self;
        match upstream {
            Upstream::Http1(connection) => Ok((slot, connection.into_io().await?)),
            Upstream::Http2(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The response has ended: the connection may serve the next request.
    pub fn give_back(self) {
        let Self { upstream, slot } = self;
        // gRPC's connections are shared, and stay where they are.
        if !slot.replica.replica.is_closed() {
            slot.replica.http.give(upstream);
        }
    }
}
