//! KubeAI's model autoscaler.
//!
//! Source: KubeAI documentation, "Autoscaling" (`modelAutoscaling` defaults):
//! every 10 s the active requests, averaged over the last 10 minutes; ⌈mean ÷
//! target⌉ replicas; down only when it has been lower for 30 s. The
//! average starts full of zeros.

use std::{collections::VecDeque, time::Duration};

use super::{recommendation, replicas};
use crate::policy::{Observation, Recommendation, ScalingPolicy, Settings};

const INTERVAL: Duration = Duration::from_secs(10);
const SAMPLES: usize = 60;
/// Number of consecutive lower checks before a scale-down: 30 s.
const LOWER: u32 = 3;

/// The ten-minute window.
#[derive(Debug)]
pub struct KubeAi {
    desired: u32,
    samples: VecDeque<f64>,
    lower: u32,
}

impl KubeAi {
    /// An autoscaler with the documented defaults and `initial` replicas.
    #[must_use]
    pub fn new(initial: u32) -> Self {
        Self {
            desired: initial,
            samples: VecDeque::from(vec![0.0; SAMPLES]),
            lower: 0,
        }
    }

    fn look(&mut self, seen: &Observation, settings: &Settings) -> u32 {
        self.samples.pop_front();
        self.samples.push_back(seen.lag() as f64);
        let mean = self.samples.iter().sum::<f64>() / SAMPLES as f64;
        let wanted = replicas(mean, f64::from(settings.slots), settings);
        if wanted < self.desired && self.lower < LOWER {
            self.lower += 1;
            return self.desired;
        }
        self.lower = 0;
        self.desired = wanted;
        self.desired
    }
}

impl ScalingPolicy for KubeAi {
    fn name(&self) -> &'static str {
        "kubeai"
    }

    fn interval(&self) -> Option<Duration> {
        Some(INTERVAL)
    }

    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation {
        recommendation(self.name(), self.look(seen, settings))
    }
}
