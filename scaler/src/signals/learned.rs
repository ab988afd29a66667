//! Learns about requests over minutes: how long they are in service, and how unevenly they
//! arrive.

use std::{f64::consts::FRAC_PI_2, time::Duration};

use crate::{ledger::Reading, tuning::Tuning};

/// Time in service that is assumed at first, in seconds. It has the weight of one request.
pub(super) const UNKNOWN_SERVICE: f64 = 1.0;

/// Request-seconds in service between two readings: those in flight without those that waited.
pub(super) fn served_seconds(from: &Reading, to: &Reading) -> f64 {
    (to.mean_in_flight(from) - to.mean_held(from)).max(0.0) * to.since(from).as_secs_f64()
}

/// The mean time in service. By Little's law it is the request-seconds in service over the
/// completions, both with exponential decay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// Time constant of the decay, in seconds; see [`Tuning::request_memory`].
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

    /// The decayed number of completions that the mean is based on.
    pub(super) fn completed(&self) -> f64 {
        self.completed
    }

    pub(super) fn mean(&self) -> f64 {
        (self.seconds + UNKNOWN_SERVICE) / (self.completed + 1.0)
    }
}

/// The dispersion of arrivals: the variance of their number in a window, as a multiple of a
/// Poisson process's variance, which equals its mean.
///
/// The variance is derived from the mean absolute deviation, as for a normal distribution: σ =
/// √(π/2)·E|x − m|. With squares, a single burst would count for far too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dispersion {
    /// Time constant of the decay, in seconds; see [`Tuning::request_memory`].
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

    /// Takes a window whose number of arrivals was `apart` from its expected `mean`, `span` after
    /// the last one.
    pub(super) fn learn(&mut self, apart: f64, mean: f64, span: Duration) {
        let fade = fade(span, self.memory);
        self.looks = self.looks * fade + 1.0;
        self.apart = self.apart * fade + apart;
        self.mean = self.mean * fade + mean;
    }

    /// The dispersion; at least 1.
    pub(super) fn mean(&self) -> f64 {
        let distance = self.apart / self.looks.max(1.0);
        let squares = FRAC_PI_2 * distance * distance * self.looks;
        ((squares + self.prior) / (self.mean + self.prior)).max(1.0)
    }
}

fn fade(span: Duration, memory: f64) -> f64 {
    (-span.as_secs_f64() / memory).exp()
}
