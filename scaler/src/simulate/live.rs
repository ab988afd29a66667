//! The live brain under the simulator's clock.

use std::time::Duration;

use super::{Autoscaler, Cause, Seen};
use crate::{
    clock::Nanos,
    ledger::Reading,
    model_scaler::{ModelScaler, Replicas},
    policy::Settings,
};

/// As the live loop samples.
const SAMPLE: Duration = Duration::from_secs(1);

/// Drives a [`ModelScaler`] as the live loop does.
#[derive(Clone, Debug)]
pub struct Live {
    scaler: ModelScaler,
    period: Duration,
}

impl Live {
    /// Goes by `settings`, from `initial` replicas on; `period` is the time
    /// between periodic checks.
    #[must_use]
    pub fn new(settings: Settings, initial: u32, period: Duration) -> Self {
        let first = Reading {
            at: Nanos(0),
            ..Reading::default()
        };
        Self {
            scaler: ModelScaler::new(settings, initial, first),
            period,
        }
    }
}

impl Autoscaler for Live {
    fn name(&self) -> &str {
        self.scaler.settings().policy.as_str()
    }

    fn interval(&self) -> Duration {
        SAMPLE
    }

    fn look(&mut self, seen: &Seen) -> u32 {
        let due = match seen.cause {
            Cause::Interval => self.scaler.sample(seen.reading, self.period),
            Cause::Crossing => true,
            Cause::Replicas => {
                self.scaler.replicas_changed(seen.now());
                true
            }
        };
        if due {
            let replicas = Replicas {
                ready: seen.ready,
                starting: seen.starting,
                capacity: seen.capacity,
                start_up: seen.start_up,
            };
            let turn = self.scaler.decide(seen.reading, &replicas);
            self.scaler.adopt(turn.decision.desired, seen.now());
        }
        self.scaler.desired()
    }

    fn wake_at(&self) -> Option<u64> {
        self.scaler.wake_at()
    }

    fn follows_replicas(&self) -> bool {
        true
    }
}
