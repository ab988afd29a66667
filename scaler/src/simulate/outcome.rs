//! What a simulation found.

use std::time::Duration;

use super::timeline::Slice;
use crate::clock::Nanos;

/// What became of a trace under an autoscaler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimulationResult {
    /// Whose rules.
    pub name: String,
    /// How long each request waited for a slot, in seconds, ascending. Those
    /// that never got one waited for ever.
    pub waits: Vec<f32>,
    /// Time that replicas were there, from being asked for until gone.
    pub replica_seconds: f64,
    /// The most replicas asked for.
    pub peak: u32,
    /// How often the count asked for changed.
    pub scale_requests: u32,
    /// When the last request was answered.
    pub end: Nanos,
    /// The course of it, if [`Conditions::timeline`](super::Conditions::timeline) asks for it.
    pub timeline: Vec<Slice>,
}

impl SimulationResult {
    /// The share of requests that waited no longer than `wait`, 0 to 1; 1 of none.
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

    /// The wait that the share `q` (0 to 1) of the requests does not exceed, in seconds.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = (q.clamp(0.0, 1.0) * self.waits.len() as f64).ceil() as usize;
        let at = self.waits.get(rank.saturating_sub(1));
        f64::from(at.copied().unwrap_or(0.0))
    }

    /// The longest wait, in seconds.
    #[must_use]
    pub fn longest(&self) -> f64 {
        self.quantile(1.0)
    }
}

/// An outcome in the making.
#[derive(Debug, Default)]
pub(super) struct Tally {
    requests: usize,
    waits: Vec<f32>,
    peak: u32,
    scale_requests: u32,
}

impl Tally {
    /// Of so many requests, from `replicas` on.
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
