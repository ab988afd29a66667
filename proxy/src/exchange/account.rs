//! The counters of a model's requests, and a worker's handle on a replica.

use std::{fmt, rc::Rc, sync::Arc};

use tailback_scaler::{
    ledger::Ledger,
    replica::{Replica, health::Failure},
};

use crate::telemetry::metrics::ModelMetrics;

/// The ledger and metrics in which a model's requests are counted.
#[derive(Debug)]
pub struct Account {
    /// The model's own name.
    pub name: Box<str>,
    /// Counts of arrived, held and completed requests, from which the lag follows.
    pub ledger: Arc<Ledger>,
    /// Counts by outcome, status and latency.
    pub metrics: ModelMetrics,
}

/// A worker's handle on an account. Cloning it touches no memory shared with other workers.
#[derive(Clone, Debug)]
pub struct AccountRef(pub(super) Rc<Account>);

impl AccountRef {
    /// Creates a worker's first handle.
    #[must_use]
    pub fn new(account: Account) -> Self {
        Self(Rc::new(account))
    }
}

impl AsRef<Ledger> for AccountRef {
    fn as_ref(&self) -> &Ledger {
        &self.0.ledger
    }
}

/// A worker's handle on a replica.
pub trait ReplicaHandle: fmt::Debug {
    /// The replica, which all workers share.
    fn replica(&self) -> &Replica;

    /// Reports that the replica has failed a request.
    fn failed(&self, failure: Failure);
}
