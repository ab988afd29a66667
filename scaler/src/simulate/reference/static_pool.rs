//! A static pool: always the same number of replicas. The fair one to compare
//! with is the smallest that meets the target, which is known only afterwards.

use std::time::Duration;

use super::recommendation;
use crate::policy::{Observation, Recommendation, ScalingPolicy, Settings};

/// Always as many.
#[derive(Debug)]
pub struct StaticPool(pub u32);

impl ScalingPolicy for StaticPool {
    fn name(&self) -> &'static str {
        "static"
    }

    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }

    fn recommend(&mut self, _: &Observation, _: &Settings) -> Recommendation {
        recommendation(self.name(), self.0)
    }
}
