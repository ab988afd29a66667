//! What a request has of a replica while it is with it: a slot, and a connection.

use std::{cell::RefCell, rc::Rc, task::Context};

use super::Upstream;
use crate::worker::{ReplicaRef, WorkerPool};

/// A worker's idle connections to one replica, last used first.
#[derive(Debug, Default)]
pub struct Idle(RefCell<Vec<Upstream>>);

impl Idle {
    /// One that is ready; those that have closed meanwhile are dropped.
    #[must_use]
    pub fn take(&self) -> Option<Upstream> {
        let mut idle = self.0.borrow_mut();
        while let Some(mut upstream) = idle.pop() {
            if upstream.is_ready() {
                return Some(upstream);
            }
        }
        None
    }

    fn give(&self, upstream: Upstream) {
        self.0.borrow_mut().push(upstream);
    }
}

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
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.shared().release(&self.replica.replica);
    }
}

/// A slot with the connection that is used for it.
#[derive(Debug)]
pub struct Lease {
    slot: Slot,
    upstream: Upstream,
}

impl Lease {
    /// A request on `upstream` has been answered; its body may follow.
    #[must_use]
    pub fn new(slot: Slot, upstream: Upstream) -> Self {
        Self { slot, upstream }
    }

    /// See [`Upstream::drive`].
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.upstream.drive(cx);
    }

    /// The response has ended: the connection may serve the next request.
    pub fn give_back(self) {
        let Self { slot, upstream } = self;
        if !slot.replica.replica.is_closed() {
            slot.replica.idle.give(upstream);
        }
    }
}
