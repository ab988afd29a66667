//! Policies: how many replicas a model should have, without I/O or a clock.
//!
//! A [`ScalingPolicy`] sees an [`Observation`] and [`Settings`], remembers what it
//! needs, and returns a [`Recommendation`]: a number and the reason. What may
//! actually be done is the [`constraints`](crate::constraints)' business. The live
//! scaler and the simulator run the same policies on different clocks; the rules of
//! other autoscalers, for comparison, are policies too (`simulate::reference`).

pub mod lag;
pub mod lag_step;

use std::{fmt, time::Duration};

pub use tailback_config::{Policy, RateLimit};

pub use crate::tuning::Tuning;
use crate::{decision::Reason, ledger::Reading, signals::Demand};

/// No start is taken to hang before this.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(120);

/// Rules that say how many replicas a model should have.
pub trait ScalingPolicy: fmt::Debug + Send {
    /// As in manifests, on the command line and in tables.
    fn name(&self) -> &'static str;

    /// Time between its evaluations, at most; `None`: the scaler's period.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// The count that it wants now, before the constraints.
    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation;

    /// The in-flight at which it would want more than `desired` replicas, where there
    /// are some: the data plane wakes the scaler then. `None`: it waits for its interval.
    fn wake_at(&self, _settings: &Settings, _desired: u32) -> Option<u64> {
        None
    }
}

/// The policy that a manifest names.
#[must_use]
pub fn named(policy: Policy, tuning: &Tuning) -> Box<dyn ScalingPolicy> {
    match policy {
        Policy::Lag => Box::new(lag::Lag::new(*tuning)),
        Policy::LagStep => Box::new(lag_step::LagStep),
    }
}

/// What a policy wants, before the constraints.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// How many replicas.
    pub replicas: u32,
    /// Why.
    pub reason: Reason,
}

/// How long a replica may take to get ready where its server does not say.
pub const LONGEST_START: Duration = Duration::from_secs(300);

/// What is known about a model at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// What the ledger says.
    pub reading: Reading,
    /// What arrives, and what it takes.
    pub demand: Demand,
    /// Replicas asked for.
    pub desired: u32,
    /// The fewest that were asked for within the time of the limit upwards.
    pub lowest: u32,
    /// The most that were asked for within the time of the limit downwards.
    pub highest: u32,
    /// Replicas that take traffic.
    pub ready: u32,
    /// Replicas on their way.
    pub starting: u32,
    /// For how long no more have been asked for.
    pub unraised: Duration,
    /// For how long replicas have been starting without one getting ready.
    pub stalled: Duration,
    /// For how long demand has been watched, where replicas were found that
    /// somebody else had asked for.
    pub watched: Option<Duration>,
    /// For how long neither the number asked for nor the ready ones changed.
    pub unchanged: Duration,
    /// How long a replica takes to get ready, as measured; `None` before the first.
    pub start_up: Option<Duration>,
    /// The most replicas the server has room for.
    pub capacity: u32,
}

impl Observation {
    /// Requests inside now, held or forwarded.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.reading.in_flight()
    }

    /// Those of them that wait for a replica.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.reading.held
    }

    /// Whether the replicas on their way hang: none got ready for far longer
    /// than a start takes.
    #[must_use]
    pub fn hangs(&self) -> bool {
        self.stalled >= self.patience()
    }

    /// How long a start may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let start_up = self.start_up.unwrap_or_default();
        (start_up * 3).max(SHORTEST_PATIENCE)
    }
}

/// What the user has set for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whose rules.
    pub policy: Policy,
    /// The lag one replica may carry, at least 1.
    pub threshold: u32,
    /// Requests one replica serves at once, at least 1.
    pub slots: u32,
    /// How long a request may wait for a replica.
    pub target_wait: Duration,
    /// Unused for this long: scale down.
    pub inactive: Duration,
    /// How long demand must have stayed lower, and the replica set unchanged,
    /// before replicas are taken away.
    pub stability: Duration,
    /// How long a replica may take to get ready.
    pub start: Duration,
    /// How fast the count may go up, and down.
    pub up_limit: Option<RateLimit>,
    /// See [`up_limit`](Self::up_limit).
    pub down_limit: Option<RateLimit>,
    /// Whether the count may change at all.
    pub scaled: bool,
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
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
                Some(process) => process.start,
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
    /// What tests go by where they say nothing else.
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

/// The concurrency where there is one, and the threshold where there is none.
/// One that somebody set below the concurrency holds as well.
fn slots(model: &tailback_config::Model) -> u32 {
    let threshold = &model.scaling.lag_threshold;
    let most = match threshold.origin {
        tailback_config::Origin::Default => u32::MAX,
        _ => threshold.value.get(),
    };
    let concurrency = model.concurrency.value;
    concurrency.map_or(threshold.value.get(), |slots| slots.get().min(most))
}
