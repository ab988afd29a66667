//! KEDA's HTTP add-on.
//!
//! Source: KEDA HTTP add-on documentation, `HTTPScaledObject`, and KEDA's
//! "Scaling deployments": pending requests are polled every 15 s and given to
//! an [`Hpa`], whose rules and target hold between 1 and the most; the step to and
//! from zero is KEDA's own, back to zero after a cool-down of 300 s without requests.

use std::time::Duration;

use super::{Hpa, recommendation};
use crate::{
    clock::Nanos,
    policy::{Observation, Recommendation, ScalingPolicy, Settings},
};

const POLLING: Duration = Duration::from_secs(15);
const COOLDOWN: Duration = Duration::from_secs(300);

/// An HPA, and the time of the last requests.
#[derive(Debug)]
pub struct Keda {
    hpa: Hpa,
    active: Nanos,
}

impl Keda {
    /// The add-on with the documented defaults and the HPA's target per replica.
    #[must_use]
    pub fn new(initial: u32) -> Self {
        Self {
            hpa: Hpa::new(initial.max(1)),
            active: Nanos(0),
        }
    }

    fn look(&mut self, seen: &Observation, settings: &Settings) -> u32 {
        if seen.lag() > 0 {
            self.active = seen.reading.at;
        }
        let above_zero = Settings {
            min: settings.min.max(1),
            ..settings.clone()
        };
        let desired = self.hpa.look(seen, &above_zero);
        if settings.min == 0 && seen.reading.at.since(self.active) >= COOLDOWN {
            return 0;
        }
        desired
    }
}

impl ScalingPolicy for Keda {
    fn name(&self) -> &'static str {
        "keda"
    }

    fn interval(&self) -> Option<Duration> {
        Some(POLLING)
    }

    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation {
        recommendation(self.name(), self.look(seen, settings))
    }
}
