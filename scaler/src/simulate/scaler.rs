//! The scaler in a simulation: the live one, or the rules of another autoscaler.

use std::time::Duration;

use crate::{
    clock::Nanos,
    ledger::Reading,
    model_scaler::{ModelScaler, Replicas},
    policy::{Observation, ScalingPolicy, Settings, Tuning},
};

/// The sampling interval of the live loop.
const SAMPLE: Duration = Duration::from_secs(1);

/// Why a scaler evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its interval has passed.
    Interval,
    /// An arrival has brought the lag to its [`wake_at`](SimulatedScaler::wake_at).
    Crossing,
    /// A replica has become ready.
    Replicas,
}

/// The input of an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Why the scaler evaluates.
    pub cause: Cause,
    /// The reading of the ledger, as live.
    pub reading: Reading,
    /// The state of the replicas, as live.
    pub replicas: Replicas,
}

/// Decides how many replicas to ask for.
#[derive(Debug)]
pub enum SimulatedScaler {
    /// The live model scaler.
    Live {
        /// With one of Tailback's policies and the constraints.
        scaler: Box<ModelScaler>,
        /// Time between periodic evaluations.
        period: Duration,
    },
    /// The rules of another autoscaler, which has its own constraints.
    Reference {
        /// The rules.
        policy: Box<dyn ScalingPolicy>,
        /// The bounds, and the slots of a replica.
        settings: Settings,
        /// The desired count of replicas.
        desired: u32,
    },
}

impl SimulatedScaler {
    /// A live scaler with `settings` that starts with `initial` replicas and evaluates every
    /// `period`.
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

    /// Another autoscaler's `policy`, which starts with `initial` replicas.
    #[must_use]
    pub fn reference(policy: Box<dyn ScalingPolicy>, settings: Settings, initial: u32) -> Self {
        Self::Reference {
            policy,
            settings,
            desired: initial,
        }
    }

    /// Its name, as in `--policy`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Live { scaler, .. } => scaler.settings().policy.as_str(),
            Self::Reference { policy, .. } => policy.name(),
        }
    }

    /// Time between its evaluations.
    #[must_use]
    pub fn interval(&self) -> Duration {
        match self {
            Self::Live { .. } => SAMPLE,
            Self::Reference { policy, .. } => policy.interval().unwrap_or(SAMPLE),
        }
    }

    /// Evaluates, and returns the desired count.
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

    /// The lag at which it evaluates at once; `None`: it waits for its interval.
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

    /// Whether it also evaluates when a replica becomes ready.
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
