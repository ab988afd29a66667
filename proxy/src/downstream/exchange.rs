//! One request in the books, from its arrival to its end.

use http::StatusCode;
use tailback_scaler::{
    clock::Nanos,
    ledger::{InFlight, Ledger},
};

use crate::{outcome::Outcome, worker::ModelRef};

/// A request that has arrived for a model. Dropping it completes it, with what
/// is known of its outcome by then: at first, that the caller left.
#[derive(Debug)]
pub struct Exchange {
    model: ModelRef,
    in_flight: Option<InFlight<ModelRef>>,
    arrived: Nanos,
    outcome: Outcome,
    status: Option<StatusCode>,
}

impl Exchange {
    /// Counts a request for `model` in.
    #[must_use]
    pub fn arrive(model: &ModelRef, now: Nanos) -> Self {
        Self {
            model: model.clone(),
            in_flight: Some(Ledger::arrive(model.clone(), now)),
            arrived: now,
            outcome: Outcome::CallerGone,
            status: None,
        }
    }

    /// The model it is for.
    #[must_use]
    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    /// How it ends, as far as can be said now.
    pub fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// What its caller is told.
    pub fn set_status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Nanos::now();
        self.model
            .model
            .metrics
            .completed(self.outcome, self.status, now.since(self.arrived));
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.complete_at(now);
        }
    }
}
