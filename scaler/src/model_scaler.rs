//! One model's scaling: readings of its ledger and the state of its replicas
//! in, decisions out. Pure: the time comes with the readings. The live loop
//! and the simulator drive the same code.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Nanos,
    constraints::constrain,
    decision::Decision,
    ledger::Reading,
    policy::{self, Observation, RateLimit, ScalingPolicy, Settings, Tuning},
    signals::Signals,
};

/// What is known of a model's replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Those that take requests.
    pub ready: u32,
    /// On their way.
    pub starting: u32,
    /// The most there is room for.
    pub capacity: u32,
    /// How long the last one took to get ready.
    pub start_up: Option<Duration>,
}

/// What one evaluation saw and decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What was seen.
    pub seen: Observation,
    /// What is to be done.
    pub decision: Decision,
}

/// One model's settings, history and policy.
#[derive(Debug)]
pub struct ModelScaler {
    settings: Settings,
    desired: u32,
    history: History,
    signals: Signals,
    policy: Box<dyn ScalingPolicy>,
    tuning: Tuning,
    /// When it took over replicas that it had not asked for.
    found: Option<Nanos>,
    /// When a replica last got ready, or none was on its way.
    progressed: Nanos,
    /// When more were last asked for.
    raised: Nanos,
    /// Replicas that were ready and on their way at the last decision.
    ready: u32,
    starting: u32,
    /// Whether requests waited while none was asked for, at the last look.
    waited: bool,
    /// When the count asked for or the ready replicas last changed.
    changed: Nanos,
    decided: Nanos,
}

impl ModelScaler {
    /// Begins with `desired` replicas asked for.
    #[must_use]
    pub fn new(settings: Settings, desired: u32, first: Reading) -> Self {
        Self::with_tuning(settings, desired, first, &Tuning::default())
    }

    /// The same, with other constants.
    #[must_use]
    pub fn with_tuning(settings: Settings, desired: u32, first: Reading, tuning: &Tuning) -> Self {
        Self {
            policy: policy::named(settings.policy, tuning),
            tuning: *tuning,
            settings,
            desired,
            history: History::default(),
            signals: Signals::new(first, tuning),
            found: None,
            progressed: first.at,
            raised: first.at,
            ready: 0,
            starting: 0,
            waited: false,
            changed: first.at,
            decided: first.at,
        }
    }

    /// Replicas asked for.
    #[must_use]
    pub fn desired(&self) -> u32 {
        self.desired
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings. What was learned of demand stays; what the policy
    /// remembers goes only if it is another policy.
    pub fn configure(&mut self, settings: Settings) {
        if settings.policy != self.settings.policy {
            self.policy = policy::named(settings.policy, &self.tuning);
        }
        self.settings = settings;
    }

    /// Takes a reading in, about every second. Returns whether it is time to
    /// [`decide`](Self::decide): the period is over, or a request is held while no
    /// replica is asked for. (The wake-up at its arrival may have come before it was held.)
    pub fn sample(&mut self, reading: Reading, period: Duration) -> bool {
        self.signals.observe(reading);
        let period = self
            .policy
            .interval()
            .map_or(period, |most| period.min(most));
        let waits = self.waits(&reading);
        let begins = waits && !self.waited;
        self.waited &= waits;
        begins || reading.at.since(self.decided) >= period
    }

    fn waits(&self, reading: &Reading) -> bool {
        reading.held > 0 && self.desired == 0
    }

    /// Observes, asks the policy, and applies the constraints. The decision counts once
    /// the caller [adopts](Self::adopt) it: with `dryRun` it never does.
    pub fn decide(&mut self, reading: Reading, replicas: &Replicas) -> Evaluation {
        self.signals.observe(reading);
        self.decided = reading.at;
        // None was on its way until now: what is now has just begun.
        let begins = self.starting == 0 || replicas.starting == 0;
        if begins || replicas.ready > self.ready {
            self.progressed = reading.at;
        }
        (self.ready, self.starting) = (replicas.ready, replicas.starting);
        self.waited = self.waits(&reading);
        let seen = self.observe(&reading, replicas);
        let recommendation = self.policy.recommend(&seen, &self.settings);
        let decision = constrain(&seen, &self.settings, recommendation);
        Evaluation { seen, decision }
    }

    /// Readings from now on include `correction`; see [`Signals::correct`].
    pub fn correct(&mut self, correction: &Reading) {
        self.signals.correct(correction);
    }

    /// The count that is asked for from now on.
    pub fn adopt(&mut self, desired: u32, now: Nanos) {
        if desired > self.desired {
            self.raised = now;
        }
        if desired != self.desired {
            self.history.replaced(self.desired, now, &self.settings);
            self.changed = now;
            self.desired = desired;
        }
    }

    /// Takes over `desired` replicas that somebody else asked for before the start.
    pub fn take_over(&mut self, desired: u32, now: Nanos) {
        self.found = (desired > 0).then_some(now);
        self.adopt(desired, now);
    }

    /// The set of ready replicas changed.
    pub fn replicas_changed(&mut self, now: Nanos) {
        self.changed = now;
    }

    /// Mean seconds in service of what was served lately, if anything was.
    #[must_use]
    pub fn service_seconds(&self) -> Option<f64> {
        self.signals.measured_service()
    }

    /// The lag at which to decide at once; `None`: nothing would change.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let settings = &self.settings;
        if !settings.scaled || self.desired >= settings.max.max(settings.min) {
            return None;
        }
        match self.desired {
            // Without a replica the first request is reason enough.
            0 => Some(1),
            desired => self.policy.wake_at(settings, desired),
        }
    }

    fn observe(&self, reading: &Reading, replicas: &Replicas) -> Observation {
        Observation {
            reading: *reading,
            demand: self.signals.demand(self.settings.target_wait),
            desired: self.desired,
            lowest: self
                .history
                .lowest(self.desired, &self.settings, reading.at),
            highest: self
                .history
                .highest(self.desired, &self.settings, reading.at),
            ready: replicas.ready,
            starting: replicas.starting,
            unraised: reading.at.since(self.raised),
            stalled: reading.at.since(self.progressed),
            watched: self.found.map(|found| reading.at.since(found)),
            unchanged: reading.at.since(self.changed),
            start_up: replicas.start_up,
            capacity: replicas.capacity,
        }
    }
}

/// Counts that were asked for, as far back as the limits reach.
#[derive(Clone, Debug, Default)]
struct History {
    /// Each with the time at which another took its place, the oldest first.
    counts: VecDeque<(Nanos, u32)>,
}

impl History {
    /// Another count took the place of `count`.
    fn replaced(&mut self, count: u32, now: Nanos, settings: &Settings) {
        let within = |limit: Option<RateLimit>| limit.map_or(Duration::ZERO, |l| l.within);
        let reach = within(settings.up_limit).max(within(settings.down_limit));
        self.counts.push_back((now, count));
        while self
            .counts
            .front()
            .is_some_and(|&(until, _)| now.since(until) > reach)
        {
            self.counts.pop_front();
        }
    }

    fn lowest(&self, desired: u32, settings: &Settings, now: Nanos) -> u32 {
        self.within(settings.up_limit, now).fold(desired, u32::min)
    }

    fn highest(&self, desired: u32, settings: &Settings, now: Nanos) -> u32 {
        self.within(settings.down_limit, now)
            .fold(desired, u32::max)
    }

    /// Those that were asked for at some time within the limit's.
    fn within(&self, limit: Option<RateLimit>, now: Nanos) -> impl Iterator<Item = u32> {
        let within = limit.map_or(Duration::ZERO, |limit| limit.within);
        self.counts
            .iter()
            .filter(move |(until, _)| now.since(*until) < within)
            .map(|&(_, count)| count)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
