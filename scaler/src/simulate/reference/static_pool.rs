//! A static pool: a fixed number of replicas. The fair comparison is the smallest pool that meets
//! the target, which is known only afterwards.

use std::time::Duration;

use super::recommendation;
use crate::policy::{Observation, Recommendation, ScalingPolicy, Settings};

/// A pool of this many replicas.
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
