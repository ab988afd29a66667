//! Policies: how many replicas a model should have, as pure functions.
//!
//! A policy sees an [`Observation`] and [`Settings`], keeps a small [`State`],
//! and returns a [`Recommendation`]: a number and the reason. It knows no clock, no I/O
//! and no other model; what may actually be done is the
//! [`constraints`](crate::constraints)'s business. The live loop and the tests call the
//! same functions with different clocks.

pub mod lag;
pub mod lag_step;

use std::time::Duration;

pub use tailback_config::{Policy, RateLimit};

use crate::{clock::Nanos, decision::Reason, signals::Demand};

/// No start is taken to hang before this.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(120);

/// What is known about a model at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Requests inside now, held or forwarded.
    pub lag: u64,
    /// Those of them that wait for a replica.
    pub held: u64,
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

/// What a policy remembers of a model between calls.
#[derive(Clone, Debug, Default)]
pub struct PolicyState {
    lag: lag::LagState,
}

/// What a policy wants, before the guards.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// How many replicas.
    pub replicas: u32,
    /// Why.
    pub reason: Reason,
}

/// What the model's policy wants now.
pub fn recommend(
    seen: &Observation,
    settings: &Settings,
    state: &mut PolicyState,
    now: Nanos,
) -> Recommendation {
    match settings.policy {
        Policy::Lag => lag::recommend(seen, settings, &mut state.lag, now),
        Policy::LagStep => lag_step::recommend(seen, settings),
    }
}

/// The lag at which the policy would ask for more: the data plane wakes the
/// scaler when it is reached. `None`: nothing would change.
#[must_use]
pub fn wake_at(settings: &Settings, desired: u32) -> Option<u64> {
    let most = settings.max.max(settings.min);
    if !settings.scaled || desired >= most {
        return None;
    }
    if desired == 0 {
        return Some(1);
    }
    let carried = u64::from(settings.threshold) * u64::from(desired);
    Some(match settings.policy {
        Policy::Lag => carried + 1,
        Policy::LagStep => carried,
    })
}
