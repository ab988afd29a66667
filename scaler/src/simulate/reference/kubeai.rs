//! KubeAI's model autoscaler.
//!
//! Source: KubeAI documentation, "Autoscaling" (`modelAutoscaling` defaults):
//! every 10 s the active requests, averaged over the last 10 minutes; ⌈mean ÷
//! target⌉ replicas; down only when it has been lower for 30 s. The
//! average starts full of zeros.

use std::{collections::VecDeque, time::Duration};

use super::Aim;
use crate::simulate::{Autoscaler, Seen};

const INTERVAL: Duration = Duration::from_secs(10);
const SAMPLES: usize = 60;
/// Checks that found less before the one that goes down: 30 s.
const LOWER: u32 = 3;

/// See the [module](self).
#[derive(Debug)]
pub struct KubeAi {
    aim: Aim,
    desired: u32,
    samples: VecDeque<f64>,
    lower: u32,
}

impl KubeAi {
    /// With the documented defaults.
    #[must_use]
    pub fn new(aim: Aim, initial: u32) -> Self {
        Self {
            aim,
            desired: initial,
            samples: VecDeque::from(vec![0.0; SAMPLES]),
            lower: 0,
        }
    }
}

impl Autoscaler for KubeAi {
    fn name(&self) -> &str {
        "kubeai"
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn look(&mut self, seen: &Seen) -> u32 {
        self.samples.pop_front();
        self.samples.push_back(seen.in_flight() as f64);
        let mean = self.samples.iter().sum::<f64>() / SAMPLES as f64;
        let wanted = self.aim.replicas(mean, self.aim.concurrency);
        if wanted < self.desired && self.lower < LOWER {
            self.lower += 1;
            return self.desired;
        }
        self.lower = 0;
        self.desired = wanted;
        self.desired
    }
}
