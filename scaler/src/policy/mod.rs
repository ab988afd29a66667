//! Policies decide how many replicas a model should have, without I/O or a clock.
//!
//! A [`ScalingPolicy`] gets an [`Observation`] and [`Settings`], remembers what it needs, and
//! returns a [`Recommendation`]: a count and the reason. The [`constraints`](crate::constraints)
//! then limit the count. The live scaler and the simulator run the same policies on different
//! clocks; the rules of other autoscalers, for comparison, are policies too
//! (`simulate::reference`).

pub mod lag;
pub mod lag_step;

use std::{fmt, time::Duration};

pub use tailback_config::{Policy, RateLimit};

pub use crate::tuning::Tuning;
use crate::{
    decision::Reason, ledger::Reading, manual_count::ManualCount, signals::MeasuredDemand,
};

/// A start does not count as hanging before this time.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(120);

/// Decides how many replicas a model should have.
pub trait ScalingPolicy: fmt::Debug + Send {
    /// Its name in manifests, on the command line and in tables.
    fn name(&self) -> &'static str;

    /// Longest time between two of its evaluations; `None`: the scaler's period.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// The count that it recommends now, before the constraints.
    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation;

    /// The in-flight at which it may recommend more than `desired` replicas, if `desired` is not
    /// 0. The data plane then wakes the scaler. `None`: the next interval is early enough.
    fn wake_at(&self, _settings: &Settings, _desired: u32) -> Option<u64> {
        None
    }
}

/// A new policy by the name in a manifest.
#[must_use]
pub fn named(policy: Policy, tuning: &Tuning) -> Box<dyn ScalingPolicy> {
    match policy {
        Policy::Lag => Box::new(lag::Lag::new(*tuning)),
        Policy::LagStep => Box::new(lag_step::LagStep),
    }
}

/// What a policy recommends, before the constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// How many replicas.
    pub replicas: u32,
    /// Why.
    pub reason: Reason,
}

/// How long a replica may take to become ready, if its server does not set it.
pub const LONGEST_START: Duration = Duration::from_secs(300);

/// The state of a model at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The reading of its ledger.
    pub reading: Reading,
    /// Its demand.
    pub demand: MeasuredDemand,
    /// The desired count of replicas.
    pub desired: u32,
    /// The lowest desired count within the time span of the limit for scaling up.
    pub lowest: u32,
    /// The highest desired count within the time span of the limit for scaling down.
    pub highest: u32,
    /// Replicas that take requests.
    pub ready: u32,
    /// Replicas that are starting.
    pub starting: u32,
    /// The time since the desired count last went up.
    pub unraised: Duration,
    /// How long replicas have been starting without one becoming ready.
    pub stalled: Duration,
    /// How long demand has been watched, if the replicas were found running; else `None`.
    pub watched: Option<Duration>,
    /// The time since the desired count or the ready replicas last changed.
    pub unchanged: Duration,
    /// How long a replica takes to become ready, as measured; `None` before the first.
    pub start_up: Option<Duration>,
    /// The largest number of replicas that the server has room for.
    pub capacity: u32,
    /// The count that an operator has set, while it lasts.
    pub manual: Option<ManualCount>,
}

impl Observation {
    /// Requests in flight, held or forwarded.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.reading.in_flight()
    }

    /// Requests that wait for a replica.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.reading.held
    }

    /// Whether the starting replicas hang: none has become ready for far longer than a start
    /// takes.
    #[must_use]
    pub fn hangs(&self) -> bool {
        self.stalled >= self.patience()
    }

    /// How long replicas may start before they count as hanging.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let start_up = self.start_up.unwrap_or_default();
        (start_up * 3).max(SHORTEST_PATIENCE)
    }
}

/// A model's scaling settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The policy.
    pub policy: Policy,
    /// The lag that one replica may carry; at least 1.
    pub threshold: u32,
    /// Requests that one replica serves at once; at least 1.
    pub slots: u32,
    /// How long a request may wait for a replica (the goal, not a limit).
    pub target_wait: Duration,
    /// How long the model must be unused before it is scaled down.
    pub inactive: Duration,
    /// How long demand must be lower, and the replica set unchanged, before a scale-down.
    pub stability: Duration,
    /// How long a replica may take to become ready.
    pub start: Duration,
    /// How fast the count may go up; `None`: no limit.
    pub up_limit: Option<RateLimit>,
    /// How fast the count may go down; `None`: no limit.
    pub down_limit: Option<RateLimit>,
    /// Whether the count may change, that is, minReplicas or maxReplicas is set.
    pub scaled: bool,
    /// Smallest count of replicas.
    pub min: u32,
    /// Largest count of replicas.
    pub max: u32,
}

impl From<&tailback_config::Model> for Settings {
    fn from(model: &tailback_config::Model) -> Self {
        let scaling = &model.scaling;
        Self {
            policy: scaling.policy.value,
            threshold: scaling.lag_threshold.value.get(),
            slots: slots(model),
            target_wait: scaling.target_wait.value,
            inactive: scaling.inactive.value,
            stability: scaling.stability.value,
            start: match model.server.process() {
                Some(process) => process.start.value,
                None => LONGEST_START,
            },
            up_limit: scaling.up_limit.value,
            down_limit: scaling.down_limit.value,
            scaled: model.replicas.scaled,
            min: model.replicas.min,
            max: model.replicas.max,
        }
    }
}

#[cfg(test)]
impl Settings {
    /// Settings for tests.
    pub(crate) fn sample() -> Self {
        Self {
            policy: Policy::Lag,
            threshold: 30,
            slots: 8,
            target_wait: Duration::from_secs(1),
            inactive: Duration::from_secs(600),
            stability: Duration::from_secs(60),
            start: LONGEST_START,
            up_limit: None,
            down_limit: None,
            scaled: true,
            min: 1,
            max: 100,
        }
    }
}

/// The model's concurrency, or the threshold if it has none. A threshold below the concurrency
/// limits the slots.
fn slots(model: &tailback_config::Model) -> u32 {
    let threshold = &model.scaling.lag_threshold;
    let most = match threshold.origin {
        tailback_config::Origin::Default => u32::MAX,
        _ => threshold.value.get(),
    };
    let concurrency = model.concurrency.value;
    concurrency.map_or(threshold.value.get(), |slots| slots.get().min(most))
}
