//! What is learned of requests over minutes: how long they are served, and how
//! unevenly they arrive.

use std::{f64::consts::FRAC_PI_2, time::Duration};

use crate::{ledger::Reading, tuning::Tuning};

/// Time in service that is assumed before anything was served, in seconds; it
/// counts as much as one request.
pub(super) const UNKNOWN_SERVICE: f64 = 1.0;

/// Request-seconds in service between two readings: those inside less those that waited.
pub(super) fn served_seconds(from: &Reading, to: &Reading) -> f64 {
    (to.mean_in_flight(from) - to.mean_held(from)).max(0.0) * to.since(from).as_secs_f64()
}

/// The mean time in service: by Little's law the request-seconds in service
/// over the completions, both fading with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// In seconds; see [`Tuning::request_memory`].
    memory: f64,
    seconds: f64,
    completed: f64,
}

impl Service {
    pub(super) fn new(tuning: &Tuning) -> Self {
        Self {
            memory: tuning.request_memory,
            seconds: 0.0,
            completed: 0.0,
        }
    }

    pub(super) fn learn(&mut self, from: &Reading, to: &Reading) {
        let fade = fade(to.since(from), self.memory);
        let completed = to.completed.wrapping_sub(from.completed) as f64;
        self.seconds = self.seconds * fade + served_seconds(from, to);
        self.completed = self.completed * fade + completed;
    }

    /// Completions it goes by.
    pub(super) fn completed(&self) -> f64 {
        self.completed
    }

    pub(super) fn mean(&self) -> f64 {
        (self.seconds + UNKNOWN_SERVICE) / (self.completed + 1.0)
    }
}

/// How far the arrivals of a window are from the mean: their variance as a
/// multiple of that of a Poisson process, which is its mean.
///
/// The variance is taken from the mean distance, as of a normal distribution:
/// σ = √(π/2)·E|x − m|. A burst now and then is not what is meant, and would
/// count for much more by its square.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispersion {
    /// In seconds; see [`Tuning::request_memory`].
    memory: f64,
    /// See [`Tuning::poisson_prior`].
    prior: f64,
    looks: f64,
    apart: f64,
    mean: f64,
}

impl Dispersion {
    pub(super) fn new(tuning: &Tuning) -> Self {
        Self {
            memory: tuning.request_memory,
            prior: tuning.poisson_prior,
            looks: 0.0,
            apart: 0.0,
            mean: 0.0,
        }
    }

    /// A window was `apart` from its mean of `mean` arrivals, `span` after the last look.
    pub(super) fn learn(&mut self, apart: f64, mean: f64, span: Duration) {
        let fade = fade(span, self.memory);
        self.looks = self.looks * fade + 1.0;
        self.apart = self.apart * fade + apart;
        self.mean = self.mean * fade + mean;
    }

    /// At least 1.
    pub(super) fn mean(&self) -> f64 {
        let distance = self.apart / self.looks.max(1.0);
        let squares = FRAC_PI_2 * distance * distance * self.looks;
        ((squares + self.prior) / (self.mean + self.prior)).max(1.0)
    }
}

fn fade(span: Duration, memory: f64) -> f64 {
    (-span.as_secs_f64() / memory).exp()
}
