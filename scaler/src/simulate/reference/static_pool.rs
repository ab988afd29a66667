//! A static pool: always the same number of replicas. The fair one to compare
//! with is the smallest that meets the target, which is known only afterwards.

use std::time::Duration;

use crate::simulate::{Autoscaler, Conditions, Seen, SimulationResult, Trace, simulate};

/// Always as many.
#[derive(Debug)]
pub struct StaticPool(pub u32);

impl StaticPool {
    /// The outcome of the smallest pool, up to `most`, with which the share
    /// `attainment` of the requests waits at most `wait`: by bisection.
    #[must_use]
    pub fn smallest(
        trace: &Trace,
        conditions: &Conditions,
        wait: Duration,
        attainment: f64,
        most: u32,
    ) -> SimulationResult {
        let run = |count: u32| {
            let conditions = Conditions {
                initial: count,
                ..conditions.clone()
            };
            simulate(trace, &conditions, &mut Self(count))
        };
        let (mut low, mut high) = (0, most.max(1));
        let mut best = run(high);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let outcome = run(middle);
            if outcome.attainment(wait) >= attainment {
                (high, best) = (middle, outcome);
            } else {
                low = middle;
            }
        }
        best.peak = high;
        best
    }
}

impl Autoscaler for StaticPool {
    fn name(&self) -> &str {
        "static"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn look(&mut self, _: &Seen) -> u32 {
        self.0
    }
}
