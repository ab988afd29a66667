//! A worker's view of replicas, each with the worker's connections to it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tailback_scaler::replica::{Replica, health::Failure};

use super::connection_pool::ConnectionPool;
use crate::{admission::Pool, exchange::ReplicaHandle};

/// A replica with this worker's connections to it. The connections close when the replica is gone
/// and its last request on this worker has ended.
#[derive(Debug)]
pub struct WorkerReplica {
    /// The pool that the replica belongs to.
    pool: Arc<Pool>,
    /// Shared with other workers.
    pub replica: Arc<Replica>,
    /// Connections to its address.
    pub http: ConnectionPool,
    /// Connections to its gRPC address, if that differs.
    pub grpc: ConnectionPool,
}

/// A worker's handle on a replica.
#[derive(Clone, Debug)]
pub struct ReplicaRef(Rc<WorkerReplica>);

impl ReplicaRef {
    fn new(pool: Arc<Pool>, replica: Arc<Replica>) -> Self {
        Self(Rc::new(WorkerReplica {
            pool,
            replica,
            http: ConnectionPool::default(),
            grpc: ConnectionPool::default(),
        }))
    }
}

impl ReplicaHandle for WorkerReplica {
    fn replica(&self) -> &Replica {
        &self.replica
    }

    fn failed(&self, failure: Failure) {
        // A stopped replica is no outlier: its connections break because it was stopped.
        if !self.replica.is_cut() {
            self.pool.failed(&self.replica, failure);
        }
    }
}

impl WorkerReplica {
    /// The replica asks for no requests for this time.
    pub fn back_off(&self, time: Duration) {
        self.pool.back_off(&self.replica, time);
    }
}

impl ReplicaRef {
    /// The handle as a trait object.
    #[must_use]
    pub fn handle(&self) -> Rc<dyn ReplicaHandle> {
        self.0.clone()
    }
}

impl std::ops::Deref for ReplicaRef {
    type Target = WorkerReplica;
    fn deref(&self) -> &WorkerReplica {
        &self.0
    }
}

impl std::borrow::Borrow<Replica> for ReplicaRef {
    fn borrow(&self) -> &Replica {
        &self.0.replica
    }
}

/// A pool's replicas as this worker last read them.
#[derive(Debug)]
pub struct WorkerPool {
    pool: Arc<Pool>,
    version: Cell<u64>,
    replicas: RefCell<Rc<[ReplicaRef]>>,
}

impl WorkerPool {
    /// This worker's view of `pool`.
    #[must_use]
    pub fn new(pool: Arc<Pool>) -> Self {
        // Differs from the pool's version, so that the first read loads the replicas.
        let version = Cell::new(pool.version().wrapping_sub(1));
        Self {
            pool,
            version,
            replicas: RefCell::default(),
        }
    }

    /// The pool, shared with other workers.
    #[must_use]
    pub fn shared(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The replicas that take requests now.
    #[must_use]
    pub fn replicas(&self) -> Rc<[ReplicaRef]> {
        let version = self.pool.version();
        if version != self.version.get() {
            let known = self.replicas.take();
            let own = |replica: &Arc<Replica>| self.own_of(&known, replica);
            *self.replicas.borrow_mut() = self.pool.replicas().iter().map(own).collect();
            self.version.set(version);
        }
        self.replicas.borrow().clone()
    }

    /// This worker's handle on a replica that the pool has granted, even if the pool no longer
    /// lists it.
    #[must_use]
    pub fn own(&self, replica: &Arc<Replica>) -> ReplicaRef {
        self.own_of(&self.replicas(), replica)
    }

    fn own_of(&self, known: &[ReplicaRef], replica: &Arc<Replica>) -> ReplicaRef {
        let same = known.iter().find(|own| Arc::ptr_eq(&own.replica, replica));
        same.cloned()
            .unwrap_or_else(|| ReplicaRef::new(self.pool.clone(), replica.clone()))
    }
}
