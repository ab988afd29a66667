//! Who scales in a simulation: the live scaler, or another autoscaler's rules alone.

use std::time::Duration;

use crate::{
    clock::Nanos,
    ledger::Reading,
    model_scaler::{ModelScaler, Replicas},
    policy::{Observation, ScalingPolicy, Settings, Tuning},
};

/// As the live loop samples.
const SAMPLE: Duration = Duration::from_secs(1);

/// Why a scaler looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its interval is over.
    Interval,
    /// A request arrived that brought the lag to its
    /// [`wake_at`](SimulatedScaler::wake_at).
    Crossing,
    /// A replica became ready.
    Replicas,
}

/// What a scaler sees when it looks.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Why it looks.
    pub cause: Cause,
    /// The ledger, as live.
    pub reading: Reading,
    /// The replicas, as live.
    pub replicas: Replicas,
}

/// Decides how many replicas there should be.
#[derive(Debug)]
pub enum SimulatedScaler {
    /// As the live loop drives it.
    Live {
        /// With a policy of ours and the constraints.
        scaler: Box<ModelScaler>,
        /// Time between periodic checks.
        period: Duration,
    },
    /// Rules without the constraints of ours: each has its own.
    Reference {
        /// The rules.
        policy: Box<dyn ScalingPolicy>,
        /// Bounds, and what a replica takes.
        settings: Settings,
        /// Replicas asked for.
        desired: u32,
    },
}

impl SimulatedScaler {
    /// Goes by `settings`, from `initial` replicas on; `period` is the time
    /// between periodic checks.
    #[must_use]
    pub fn live(settings: Settings, initial: u32, period: Duration, tuning: &Tuning) -> Self {
        let first = Reading {
            at: Nanos(0),
            ..Reading::default()
        };
        let scaler = ModelScaler::with_tuning(settings, initial, first, tuning);
        Self::Live {
            scaler: Box::new(scaler),
            period,
        }
    }

    /// Goes by another autoscaler's rules, from `initial` replicas on.
    #[must_use]
    pub fn reference(policy: Box<dyn ScalingPolicy>, settings: Settings, initial: u32) -> Self {
        Self::Reference {
            policy,
            settings,
            desired: initial,
        }
    }

    /// As in `--policy`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Live { scaler, .. } => scaler.settings().policy.as_str(),
            Self::Reference { policy, .. } => policy.name(),
        }
    }

    /// Time between its looks.
    #[must_use]
    pub fn interval(&self) -> Duration {
        match self {
            Self::Live { .. } => SAMPLE,
            Self::Reference { policy, .. } => policy.interval().unwrap_or(SAMPLE),
        }
    }

    /// The count that should be asked for.
    pub fn look(&mut self, seen: &Seen) -> u32 {
        match self {
            Self::Live { scaler, period } => look_live(scaler, *period, seen),
            Self::Reference {
                policy,
                settings,
                desired,
            } => {
                let observation = Observation {
                    reading: seen.reading,
                    desired: *desired,
                    ready: seen.replicas.ready,
                    starting: seen.replicas.starting,
                    start_up: seen.replicas.start_up,
                    capacity: seen.replicas.capacity,
                    ..Observation::default()
                };
                *desired = policy.recommend(&observation, settings).replicas;
                *desired
            }
        }
    }

    /// The lag at which it wants to look at once; `None`: it waits for its
    /// interval.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        match self {
            Self::Live { scaler, .. } => scaler.wake_at(),
            Self::Reference {
                policy,
                settings,
                desired,
            } => policy.wake_at(settings, *desired),
        }
    }

    /// Whether it also looks when a replica becomes ready.
    #[must_use]
    pub fn follows_replicas(&self) -> bool {
        matches!(self, Self::Live { .. })
    }
}

fn look_live(scaler: &mut ModelScaler, period: Duration, seen: &Seen) -> u32 {
    let now = seen.reading.at;
    let due = match seen.cause {
        Cause::Interval => scaler.sample(seen.reading, period),
        Cause::Crossing => true,
        Cause::Replicas => {
            scaler.replicas_changed(now);
            true
        }
    };
    if due {
        let evaluation = scaler.decide(seen.reading, &seen.replicas);
        scaler.adopt(evaluation.decision.desired, now);
    }
    scaler.desired()
}
