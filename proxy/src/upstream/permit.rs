//! The right to have one request at a replica.

use std::rc::Rc;

use super::{
    connection_pool::ConnectionPool,
    replica::{ReplicaRef, WorkerPool},
};
use crate::status::MethodType;

/// A place among the requests a replica takes at once. Dropping it gives the
/// place to the next in line.
#[derive(Debug)]
pub struct Permit {
    pool: Rc<WorkerPool>,
    replica: ReplicaRef,
}

impl Permit {
    /// For a permit of `replica` that has been taken.
    #[must_use]
    pub fn taken(pool: Rc<WorkerPool>, replica: ReplicaRef) -> Self {
        Self { pool, replica }
    }

    /// The replica that it admits to.
    #[must_use]
    pub fn replica(&self) -> &ReplicaRef {
        &self.replica
    }

    /// Where requests of this protocol go, as a Host has it.
    #[must_use]
    pub fn authority(&self, method: MethodType) -> &str {
        self.pool(method).1
    }

    /// Where requests of this protocol go: gRPC to the replica's own port for it,
    /// if it has one.
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
        self.pool.shared().release(&self.replica.replica);
    }
}
