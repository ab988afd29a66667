//! The Kubernetes HorizontalPodAutoscaler, `autoscaling/v2`, on in-flight
//! requests per pod.
//!
//! Source: Kubernetes documentation, "Horizontal Pod Autoscaling": a sync every
//! 15 s; ⌈total ÷ target⌉ pods, unless that is within 10 % of the present
//! count; default `behavior`: up by at most the larger of 100 % and 4 pods in
//! 15 s; down to the highest recommendation of the last 300 s.

use std::{collections::VecDeque, time::Duration};

use super::Aim;
use crate::{
    clock::Nanos,
    simulate::{Autoscaler, Seen},
};

const SYNC: Duration = Duration::from_secs(15);
/// The documentation leaves the target to the user; as Knative has it, so that
/// there is some room until the next sync.
const UTILISATION: f64 = 0.7;
const TOLERANCE: f64 = 0.1;
const UP_FACTOR: u32 = 2;
const UP_PODS: u32 = 4;
const STABILISATION: Duration = Duration::from_secs(300);

/// See the [module](self).
#[derive(Debug)]
pub struct Hpa {
    aim: Aim,
    desired: u32,
    recommended: VecDeque<(Nanos, u32)>,
}

impl Hpa {
    /// With the documented defaults.
    #[must_use]
    pub fn new(aim: Aim, initial: u32) -> Self {
        Self {
            aim,
            desired: initial,
            recommended: VecDeque::new(),
        }
    }
}

impl Autoscaler for Hpa {
    fn name(&self) -> &str {
        "hpa"
    }

    fn interval(&self) -> Duration {
        SYNC
    }

    fn look(&mut self, seen: &Seen) -> u32 {
        let now = seen.now();
        let load = seen.in_flight() as f64;
        let target = UTILISATION * self.aim.concurrency;
        let ratio = load / (target * f64::from(self.desired.max(1)));
        let wanted = if (ratio - 1.0).abs() <= TOLERANCE {
            self.desired
        } else {
            self.aim.replicas(load, target)
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
        self.desired = stable.clamp(self.aim.min, self.aim.max.max(self.aim.min));
        self.desired
    }
}
