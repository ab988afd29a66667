//! One request in the books, from its arrival to its end.

use std::{fmt, rc::Rc, sync::Arc};

use tailback_scaler::{
    clock::Nanos,
    ledger::{InFlight, Ledger},
    replica::Replica,
};

use crate::{
    status::{GrpcCode, MethodType, Outcome, ResponseStatus, RetryReason},
    telemetry::{access_log::Entry, metrics::ModelMetrics},
};

/// What a model's requests are counted in.
#[derive(Debug)]
pub struct Account {
    /// The model's own name.
    pub name: Box<str>,
    /// Arrived, held and completed: the lag.
    pub ledger: Arc<Ledger>,
    /// By outcome, status and latency.
    pub metrics: ModelMetrics,
}

/// A worker's handle on an account: cloning it touches no other worker's memory.
#[derive(Clone, Debug)]
pub struct AccountRef(Rc<Account>);

impl AccountRef {
    /// The first handle of a worker.
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
}

/// A request that has arrived for a model. Dropping it completes it, with what
/// is known of its outcome by then: at first, that the caller left.
#[derive(Debug)]
pub struct Exchange {
    account: AccountRef,
    /// `None`: it is not counted.
    in_flight: Option<InFlight<AccountRef>>,
    arrived: Nanos,
    outcome: Outcome,
    status: ResponseStatus,
    /// The replica that has the request, or had it last.
    replica: Option<Rc<dyn ReplicaHandle>>,
    /// For the access log, if there is one.
    entry: Option<Box<Entry>>,
}

impl Exchange {
    /// Counts a request in.
    #[must_use]
    pub fn arrive(
        account: &AccountRef,
        now: Nanos,
        method: MethodType,
        mut entry: Option<Box<Entry>>,
    ) -> Self {
        if let Some(entry) = &mut entry {
            entry.arrive(&account.0.name, now);
        }
        Self {
            entry,
            account: account.clone(),
            in_flight: Some(Ledger::arrive(account.clone(), now)),
            arrived: now,
            outcome: Outcome::CallerGone,
            replica: None,
            status: ResponseStatus::Nothing(method),
        }
    }

    /// A question about the model: it is in no account, and is no use of the model.
    #[must_use]
    pub fn probe(account: &AccountRef, now: Nanos, method: MethodType) -> Self {
        Self {
            entry: None,
            account: account.clone(),
            in_flight: None,
            arrived: now,
            outcome: Outcome::CallerGone,
            replica: None,
            status: ResponseStatus::Nothing(method),
        }
    }

    /// It goes to `replica`.
    pub fn give(&mut self, replica: Rc<dyn ReplicaHandle>) {
        if let Some(entry) = &mut self.entry {
            entry.give(replica.replica(), Nanos::now());
        }
        self.replica = Some(replica);
    }

    /// It is sent again.
    pub fn retry(&mut self, reason: RetryReason) {
        self.account.0.metrics.retried(reason);
        if let Some(entry) = &mut self.entry {
            entry.retry();
        }
    }

    /// It would be sent again, but for the budget.
    pub fn retry_refused(&self) {
        self.account.0.metrics.retry_refused();
    }

    /// So many bytes of the answer's body are on their way.
    pub fn sent(&mut self, bytes: usize) {
        if let Some(entry) = &mut self.entry {
            entry.sent(bytes);
        }
    }

    /// How it ends, as far as can be said now.
    pub fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// Its answer was handed over, and did not get through.
    pub fn undelivered(&mut self, lost: Outcome) {
        self.outcome = self.outcome.undelivered(lost);
    }

    /// What its caller is told.
    pub fn set_status(&mut self, status: ResponseStatus) {
        self.status = status;
    }

    /// Whether its replica was stopped although it had requests.
    fn is_cut(&self) -> bool {
        self.replica
            .as_ref()
            .is_some_and(|replica| replica.replica().is_cut())
    }

    /// A replica has answered a gRPC call with `code`: that, and not the status
    /// of HTTP, says how it went.
    pub fn answered(&mut self, code: GrpcCode) {
        self.status = ResponseStatus::Grpc(code);
        self.outcome = Outcome::of_code(code);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(in_flight) = self.in_flight.take() else {
            return;
        };
        let now = Nanos::now();
        if self.outcome == Outcome::UpstreamReset && self.is_cut() {
            self.outcome = Outcome::Drained;
        }
        self.account
            .0
            .metrics
            .completed(self.outcome, self.status, now.since(self.arrived));
        // Before it counts as out: who waits for the last one finds it logged.
        if let Some(entry) = self.entry.take() {
            entry.finish(now, self.outcome, self.status);
        }
        in_flight.complete_at(now);
    }
}
