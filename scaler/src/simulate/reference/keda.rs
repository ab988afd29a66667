//! KEDA's HTTP add-on.
//!
//! Source: KEDA HTTP add-on documentation, `HTTPScaledObject`, and KEDA's
//! "Scaling deployments": pending requests are polled every 15 s and given to
//! an [`Hpa`], whose rules and target hold between 1 and the most; the step to and
//! from zero is KEDA's own, back to zero after a cool-down of 300 s without requests.

use std::time::Duration;

use super::{Aim, Hpa};
use crate::{
    clock::Nanos,
    simulate::{Autoscaler, Seen},
};

const POLLING: Duration = Duration::from_secs(15);
const COOLDOWN: Duration = Duration::from_secs(300);

/// See the [module](self).
#[derive(Debug)]
pub struct Keda {
    hpa: Hpa,
    min: u32,
    active: Nanos,
}

impl Keda {
    /// With the documented defaults; the target per replica is the HPA's.
    #[must_use]
    pub fn new(aim: Aim, initial: u32) -> Self {
        let above_zero = Aim {
            min: aim.min.max(1),
            ..aim
        };
        Self {
            hpa: Hpa::new(above_zero, initial.max(1)),
            min: aim.min,
            active: Nanos(0),
        }
    }
}

impl Autoscaler for Keda {
    fn name(&self) -> &str {
        "keda"
    }

    fn interval(&self) -> Duration {
        POLLING
    }

    fn look(&mut self, seen: &Seen) -> u32 {
        if seen.in_flight() > 0 {
            self.active = seen.now();
        }
        let desired = self.hpa.look(seen);
        if self.min == 0 && seen.now().since(self.active) >= COOLDOWN {
            return 0;
        }
        desired
    }
}
