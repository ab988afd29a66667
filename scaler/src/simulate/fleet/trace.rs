//! The requests of several models.

use std::time::Duration;

use crate::{clock::Nanos, simulate::trace};

/// A request, and the model that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetRequest {
    /// When it arrives, on the trace's clock, which starts at 0.
    pub at: Nanos,
    /// Time in service, without waiting.
    pub service: Duration,
    /// The index of its model.
    pub model: usize,
}

/// Requests in the order of their arrival, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetTrace {
    /// The names of the models. [`FleetRequest::model`] is an index into them.
    pub models: Vec<String>,
    /// In the order of their arrival.
    pub requests: Vec<FleetRequest>,
    /// Requests left out because no replica served them, so that their time in service is not
    /// known.
    pub not_served: u64,
    /// Lines left out because they are incomplete.
    pub cut_off: u64,
}

impl FleetTrace {
    /// Makes `rate` times as many requests, as [`Trace::times`](crate::simulate::Trace::times) does.
    pub fn multiply(&mut self, rate: f64, jitter: Duration, seed: u64) {
        self.requests = trace::repeat(&self.requests, rate, seed, |request, share| FleetRequest {
            at: request.at + jitter.mul_f64(share),
            ..*request
        });
        self.requests.sort_by_key(|request| request.at);
    }
}
