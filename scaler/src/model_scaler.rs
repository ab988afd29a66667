//! Scales one model: takes readings of its ledger and the state of its replicas, and returns
//! decisions. Pure: the time comes with the readings. The live loop and the simulator run the
//! same code.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Nanos,
    constraints::constrain,
    decision::Decision,
    ledger::Reading,
    manual_count::ManualCount,
    policy::{self, Observation, RateLimit, ScalingPolicy, Settings, Tuning},
    signals::Signals,
};

/// The state of a model's replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// How many take requests.
    pub ready: u32,
    /// How many are starting.
    pub starting: u32,
    /// The largest number that the orchestrator has room for.
    pub capacity: u32,
    /// How long the latest replica took to become ready, as measured.
    pub start_up: Option<Duration>,
}

/// One evaluation: its input and its decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// What the policy saw.
    pub seen: Observation,
    /// What was decided.
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
    /// When replicas that were found running were taken over.
    found: Option<Nanos>,
    /// When a replica last became ready, or none was starting any more.
    progressed: Nanos,
    /// When the desired count last went up.
    raised: Nanos,
    /// Replicas that were ready, and that were starting, at the last decision.
    ready: u32,
    starting: u32,
    /// Whether, at the last sample, requests were held while no replica was asked for.
    waited: bool,
    /// When the desired count or the ready replicas last changed.
    changed: Nanos,
    decided: Nanos,
    /// An operator's count, and when it ends.
    manual: Option<(ManualCount, Nanos)>,
}

impl ModelScaler {
    /// A scaler that starts with a desired count of `desired`, at the reading `first`.
    #[must_use]
    pub fn new(settings: Settings, desired: u32, first: Reading) -> Self {
        Self::with_tuning(settings, desired, first, &Tuning::default())
    }

    /// As [`new`](Self::new), with other constants.
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
            manual: None,
        }
    }

    /// The desired count of replicas.
    #[must_use]
    pub fn desired(&self) -> u32 {
        self.desired
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings. Learned demand stays. The policy's memory is lost only if the policy
    /// changes.
    pub fn configure(&mut self, settings: Settings) {
        if settings.policy != self.settings.policy {
            self.policy = policy::named(settings.policy, &self.tuning);
        }
        self.settings = settings;
    }

    /// Sets an operator's count, which replaces the policy until the given time. `None`: the
    /// policy decides again.
    pub fn set_manual(&mut self, manual: Option<(ManualCount, Nanos)>) {
        self.manual = manual;
    }

    /// The operator's count that is in force.
    #[must_use]
    pub fn manual(&self) -> Option<&ManualCount> {
        self.manual.as_ref().map(|(manual, _)| manual)
    }

    /// Takes a reading, about every second. Returns whether it is time to
    /// [`decide`](Self::decide): the period is over, an operator's count has ended, or a request is
    /// held while no replica is asked for. (The wake-up at the request's arrival may have come before the request was
    /// held.)
    pub fn sample(&mut self, reading: Reading, period: Duration) -> bool {
        self.signals.observe(reading);
        let period = self
            .policy
            .interval()
            .map_or(period, |most| period.min(most));
        let waits = self.waits(&reading);
        let begins = waits && !self.waited;
        self.waited &= waits;
        let ended = self.end_manual(reading.at);
        begins || ended || reading.at.since(self.decided) >= period
    }

    /// Whether an operator's count has ended.
    fn end_manual(&mut self, now: Nanos) -> bool {
        self.manual.take_if(|(_, until)| now >= *until).is_some()
    }

    fn waits(&self, reading: &Reading) -> bool {
        reading.held > 0 && self.desired == 0
    }

    /// Observes, asks the policy, and applies the constraints. The decision takes effect when the
    /// caller [adopts](Self::adopt) it; with `dryRun` it never does.
    pub fn decide(&mut self, reading: Reading, replicas: &Replicas) -> Evaluation {
        self.signals.observe(reading);
        self.end_manual(reading.at);
        self.decided = reading.at;
        // If no replica was starting until now, the present start begins now.
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

    /// Tells the signals that readings now include `correction`; see [`Signals::correct`].
    pub fn correct(&mut self, correction: &Reading) {
        self.signals.correct(correction);
    }

    /// Sets the desired count, which the caller asks the orchestrator for.
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

    /// Takes over `desired` replicas that were found running.
    pub fn take_over(&mut self, desired: u32, now: Nanos) {
        self.found = (desired > 0).then_some(now);
        self.adopt(desired, now);
    }

    /// Notes that the set of ready replicas has changed.
    pub fn replicas_changed(&mut self, now: Nanos) {
        self.changed = now;
    }

    /// Mean time in service of recent requests, in seconds; `None`: there were none.
    #[must_use]
    pub fn service_seconds(&self) -> Option<f64> {
        self.signals.measured_service()
    }

    /// The lag at which the data plane should wake the scaler. `None`: no lag would change the
    /// decision.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        let settings = &self.settings;
        if !settings.scaled
            || self.manual.is_some()
            || self.desired >= settings.max.max(settings.min)
        {
            return None;
        }
        match self.desired {
            // Without a replica, the first request wakes the scaler.
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
            manual: self.manual().cloned(),
        }
    }
}

/// Past desired counts, as far back as the rate limits look.
#[derive(Clone, Debug, Default)]
struct History {
    /// Each with the time at which another count replaced it, oldest first.
    counts: VecDeque<(Nanos, u32)>,
}

impl History {
    /// Notes that another count has replaced `count`.
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

    /// The counts that were desired at some time within the limit's time span.
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
