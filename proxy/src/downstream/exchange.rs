//! One request in the books, from its arrival to its end.

use http::StatusCode;
use tailback_scaler::{
    clock::Nanos,
    ledger::{InFlight, Ledger},
};

use crate::{
    access_log::Entry, dialect::Dialect, grpc::Code, outcome::Outcome, upstream::Slot,
    worker::ModelRef,
};

/// A request that has arrived for a model. Dropping it completes it, with what
/// is known of its outcome by then: at first, that the caller left.
#[derive(Debug)]
pub struct Exchange {
    model: ModelRef,
    in_flight: Option<InFlight<ModelRef>>,
    arrived: Nanos,
    outcome: Outcome,
    told: Told,
    /// For the access log, if there is one.
    entry: Option<Box<Entry>>,
}

/// What a request's caller is told, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing: it has left, or the answer broke off.
    Nothing(Method),
    /// A status of HTTP.
    Http(StatusCode),
    /// A status of gRPC.
    Grpc(Code),
}

/// What Seldon's metrics tell apart as `method_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Any HTTP that is not gRPC.
    Rest,
    /// gRPC.
    Grpc,
}

impl Method {
    /// The label's value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Grpc => "grpc",
        }
    }
}

impl Told {
    /// How it was asked for.
    #[must_use]
    pub fn method(self) -> Method {
        match self {
            Self::Nothing(method) => method,
            Self::Http(_) => Method::Rest,
            Self::Grpc(_) => Method::Grpc,
        }
    }
}

impl Exchange {
    /// Counts a request for `model` in.
    #[must_use]
    pub fn arrive(
        model: &ModelRef,
        now: Nanos,
        dialect: Dialect,
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
            told: Told::Nothing(match dialect {
                Dialect::Grpc => Method::Grpc,
                Dialect::Inference | Dialect::OpenAi => Method::Rest,
            }),
        }
    }

    /// The model it is for.
    #[must_use]
    pub fn model(&self) -> &ModelRef {
        &self.model
    }

    /// It has got a slot of a replica.
    pub fn give(&mut self, slot: &Slot) {
        if let Some(entry) = &mut self.entry {
            entry.give(&slot.replica().replica, Nanos::now());
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
    pub fn set_told(&mut self, told: Told) {
        self.told = told;
    }

    /// A replica has answered a gRPC call with `code`: that, and not the status
    /// of HTTP, says how it went.
    pub fn answered(&mut self, code: Code) {
        self.told = Told::Grpc(code);
        self.outcome = Outcome::of_code(code);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = Nanos::now();
        self.model
            .model
            .metrics
            .completed(self.outcome, self.told, now.since(self.arrived));
        // Before it counts as out: who waits for the last one finds it logged.
        if let Some(entry) = self.entry.take() {
            entry.finish(now, self.outcome, self.told);
        }
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.complete_at(now);
        }
    }
}
