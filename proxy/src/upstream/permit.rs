//! The right to have one request at a replica.

use std::rc::Rc;

use super::{
    connection_pool::ConnectionPool,
    replica::{ReplicaRef, WorkerPool},
};
use crate::{admission::InService, status::MethodType};

/// One of a replica's concurrency slots. Dropping it passes the slot to the next held request.
#[derive(Debug)]
pub struct Permit {
    pool: Rc<WorkerPool>,
    replica: ReplicaRef,
    /// The measurement that a held request got with it.
    in_service: Option<InService>,
}

impl Permit {
    /// Wraps a slot of `replica` that has been taken.
    #[must_use]
    pub fn taken(pool: Rc<WorkerPool>, replica: ReplicaRef) -> Self {
        Self::granted(pool, replica, None)
    }

    /// Wraps a slot of `replica` that was granted to a held request, and what was granted with it.
    #[must_use]
    pub fn granted(
        pool: Rc<WorkerPool>,
        replica: ReplicaRef,
        in_service: Option<InService>,
    ) -> Self {
        Self {
            pool,
            replica,
            in_service,
        }
    }

    /// The replica whose slot it is.
    #[must_use]
    pub fn replica(&self) -> &ReplicaRef {
        &self.replica
    }

    /// The address for requests of this protocol, as in a Host header.
    #[must_use]
    pub fn authority(&self, method: MethodType) -> &str {
        match (method, self.replica.replica.host_names()) {
            (MethodType::Grpc, (_, Some(grpc))) => grpc,
            (_, (authority, _)) => authority,
        }
    }

    /// The connections for requests of this protocol, and their address: gRPC goes to the
    /// replica's gRPC port if it has one.
    pub(super) fn pool(&self, method: MethodType) -> (&ConnectionPool, &str) {
        let replica = &self.replica.replica;
        match (method, replica.grpc_authority()) {
            (MethodType::Grpc, Some(authority)) => (&self.replica.grpc, authority),
            _ => (&self.replica.http, replica.authority()),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let in_service = self.in_service.take();
        self.pool
            .shared()
            .release(&self.replica.replica, in_service);
    }
}
