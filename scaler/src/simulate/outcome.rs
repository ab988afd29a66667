//! The result of a simulation.

use std::time::Duration;

use super::timeline::Slice;
use crate::clock::Nanos;

/// How a trace was served under a scaler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimulationResult {
    /// The scaler's name.
    pub name: String,
    /// How long each request waited for a slot, in seconds, ascending. Infinite for requests that
    /// never got one.
    pub waits: Vec<f32>,
    /// The sum of the replicas' lifetimes in seconds, from being asked for until gone.
    pub replica_seconds: f64,
    /// The highest desired count of replicas.
    pub peak: u32,
    /// How often the desired count changed.
    pub scale_requests: u32,
    /// When the last request ended.
    pub end: Nanos,
    /// The course over time, if [`Conditions::timeline`](super::Conditions::timeline) asks for
    /// it; else empty.
    pub timeline: Vec<Slice>,
}

impl SimulationResult {
    /// The share of requests that waited no longer than `wait`, 0 to 1; 1 without requests.
    #[must_use]
    pub fn attainment(&self, wait: Duration) -> f64 {
        let limit = wait.as_secs_f32();
        let within = self.waits.partition_point(|&waited| waited <= limit);
        if self.waits.is_empty() {
            1.0
        } else {
            within as f64 / self.waits.len() as f64
        }
    }

    /// The `q` quantile (0 to 1) of the waits, in seconds.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.waits, q)
    }

    /// The longest wait, in seconds.
    #[must_use]
    pub fn longest(&self) -> f64 {
        self.quantile(1.0)
    }
}

/// The `q` quantile (0 to 1) of ascending values; 0 if there are none.
pub(super) fn quantile(ascending: &[f32], q: f64) -> f64 {
    let rank = (q.clamp(0.0, 1.0) * ascending.len() as f64).ceil() as usize;
    let at = ascending.get(rank.saturating_sub(1));
    f64::from(at.copied().unwrap_or(0.0))
}

/// Collects the figures of a result.
#[derive(Debug, Default)]
pub(super) struct Tally {
    requests: usize,
    waits: Vec<f32>,
    peak: u32,
    scale_requests: u32,
}

impl Tally {
    /// A tally for this number of `requests`, with a desired count of `replicas` at the
    /// beginning.
    pub(super) fn new(requests: usize, replicas: u32) -> Self {
        Self {
            requests,
            peak: replicas,
            waits: Vec::with_capacity(requests),
            ..Self::default()
        }
    }

    pub(super) fn waited(&mut self, wait: Duration) {
        self.waits.push(wait.as_secs_f32());
    }

    pub(super) fn asked(&mut self, replicas: u32) {
        self.peak = self.peak.max(replicas);
        self.scale_requests += 1;
    }

    pub(super) fn finish(
        mut self,
        name: &str,
        end: Nanos,
        replica_seconds: f64,
        timeline: Vec<Slice>,
    ) -> SimulationResult {
        self.waits.resize(self.requests, f32::INFINITY);
        self.waits.sort_unstable_by(f32::total_cmp);
        SimulationResult {
            name: name.to_owned(),
            waits: self.waits,
            replica_seconds,
            peak: self.peak,
            scale_requests: self.scale_requests,
            end,
            timeline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quantiles_count_each_request() {
        let outcome = SimulationResult {
            waits: vec![0.0, 0.0, 0.5, 1.0, 2.0, f32::INFINITY],
            ..SimulationResult::default()
        };
        let second = Duration::from_secs(1);
        assert!((outcome.attainment(second) - 4.0 / 6.0).abs() < 1e-9);
        assert_eq!(outcome.quantile(0.5), 0.5);
        assert_eq!(outcome.longest(), f64::INFINITY);
        assert_eq!(SimulationResult::default().attainment(second), 1.0);
        assert_eq!(SimulationResult::default().longest(), 0.0);
    }
}
