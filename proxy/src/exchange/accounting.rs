//! One request in the books, from its arrival to its end.

use tailback_scaler::{
    clock::Nanos,
    ledger::{InFlight, Ledger},
};

use crate::{
    models::{ModelRef, ReplicaRef},
    protocol::ApiProtocol,
    status::{GrpcCode, MethodType, Outcome, ResponseStatus},
    telemetry::access_log::Entry,
    upstream::Permit,
};

/// A request that has arrived for a model. Dropping it completes it, with what
/// is known of its outcome by then: at first, that the caller left.
#[derive(Debug)]
pub struct Exchange {
    model: ModelRef,
    in_flight: Option<InFlight<ModelRef>>,
    arrived: Nanos,
    outcome: Outcome,
    status: ResponseStatus,
    /// Whose slot it has or had last.
    replica: Option<ReplicaRef>,
    /// For the access log, if there is one.
    entry: Option<Box<Entry>>,
}

impl Exchange {
    /// Counts a request for `model` in.
    #[must_use]
    pub fn arrive(
        model: &ModelRef,
        now: Nanos,
        api: ApiProtocol,
        mut entry: Option<Box<Entry>>,
    ) -> Self {
        if let Some(entry) = &mut entry {
            entry.arrive(model.model.name(), now);
        }
        Self {
            entry,
            model: model.clone(),
            in_flight: Some(Ledger::arrive(model.clone(), now)),
            arrived: now,
            outcome: Outcome::CallerGone,
            replica: None,
            status: ResponseStatus::Nothing(match api {
                ApiProtocol::Grpc => MethodType::Grpc,
                ApiProtocol::Inference | ApiProtocol::OpenAi => MethodType::Rest,
            }),
        }
    }

    /// The model it is for.
    #[must_use]
    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    /// It has got a slot of a replica.
    pub fn give(&mut self, permit: &Permit) {
        self.replica = Some(permit.replica().clone());
        if let Some(entry) = &mut self.entry {
            entry.give(&permit.replica().replica, Nanos::now());
        }
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
            .is_some_and(|replica| replica.replica.is_cut())
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
        let now = Nanos::now();
        if self.outcome == Outcome::UpstreamReset && self.is_cut() {
            self.outcome = Outcome::Drained;
        }
        self.model
            .model
            .metrics
            .completed(self.outcome, self.status, now.since(self.arrived));
        // Before it counts as out: who waits for the last one finds it logged.
        if let Some(entry) = self.entry.take() {
            entry.finish(now, self.outcome, self.status);
        }
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.complete_at(now);
        }
    }
}
