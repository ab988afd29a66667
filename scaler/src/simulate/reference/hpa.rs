//! The Kubernetes HorizontalPodAutoscaler, `autoscaling/v2`, on in-flight
//! requests per pod.
//!
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling": a sync every 15 s; ⌈total ÷
//! target⌉ pods, unless that is within 10 % of the current count; default `behavior`: up by at
//! most the larger of 100 % and 4 pods in 15 s; down to the highest recommendation of the last
//! 300 s.

use std::{collections::VecDeque, time::Duration};

use super::{bounded, recommendation, replicas};
use crate::{
    clock::Nanos,
    policy::{Observation, Recommendation, ScalingPolicy, Settings},
};

const SYNC: Duration = Duration::from_secs(15);
/// The target utilisation, which Kubernetes leaves to the user. Knative's value, which leaves
/// some room until the next sync.
const UTILISATION: f64 = 0.7;
const TOLERANCE: f64 = 0.1;
const UP_FACTOR: u32 = 2;
const UP_PODS: u32 = 4;
const STABILISATION: Duration = Duration::from_secs(300);

/// The current count and recent recommendations.
#[derive(Debug)]
pub struct Hpa {
    desired: u32,
    recommended: VecDeque<(Nanos, u32)>,
}

impl Hpa {
    /// An HPA with the documented defaults and `initial` replicas.
    #[must_use]
    pub fn new(initial: u32) -> Self {
        Self {
            desired: initial,
            recommended: VecDeque::new(),
        }
    }

    pub(super) fn look(&mut self, seen: &Observation, settings: &Settings) -> u32 {
        let now = seen.reading.at;
        let load = seen.lag() as f64;
        let target = UTILISATION * f64::from(settings.slots);
        let ratio = load / (target * f64::from(self.desired.max(1)));
        let wanted = if (ratio - 1.0).abs() <= TOLERANCE {
            self.desired
        } else {
            replicas(load, target, settings)
        };
        self.recommended.push_back((now, wanted));
        while self
            .recommended
            .front()
            .is_some_and(|&(at, _)| now.since(at) > STABILISATION)
        {
            self.recommended.pop_front();
        }
        let highest = self.recommended.iter().map(|&(_, n)| n).max();
        let most =
            (self.desired.saturating_mul(UP_FACTOR)).max(self.desired.saturating_add(UP_PODS));
        let stable = if wanted >= self.desired {
            wanted.min(most)
        } else {
            highest.unwrap_or(wanted).min(self.desired)
        };
        self.desired = bounded(stable, settings);
        self.desired
    }
}

impl ScalingPolicy for Hpa {
    fn name(&self) -> &'static str {
        "hpa"
    }

    fn interval(&self) -> Option<Duration> {
        Some(SYNC)
    }

    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation {
        recommendation(self.name(), self.look(seen, settings))
    }
}
