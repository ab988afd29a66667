//! One model's scaling: readings of its ledger and the state of its replicas
//! in, decisions out. Pure: the caller brings the time. The live loop and the
//! simulator feed the same brain.

use std::time::Duration;

use crate::{
    clock::Nanos,
    decision::Decision,
    guard::guard,
    ledger::Reading,
    policy::{Observation, Policy, Settings, State, wake_at, wish},
    signals::Signals,
};

/// `lag` decides at least this often: it weighs each second of demand.
const LOOK: Duration = Duration::from_secs(1);

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

/// What came of a look.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// What was seen.
    pub seen: Observation,
    /// What is to be done.
    pub decision: Decision,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Brain {
    settings: Settings,
    desired: u32,
    signals: Signals,
    state: State,
    /// When it found replicas that it had not asked for.
    found: Option<Nanos>,
    /// When a replica last got ready, or was last asked for, or none was on its way.
    progressed: Nanos,
    ready: u32,
    /// When the count asked for or the ready replicas last changed.
    changed: Nanos,
    decided: Nanos,
}

impl Brain {
    /// Begins with `desired` replicas asked for.
    #[must_use]
    pub fn new(settings: Settings, desired: u32, first: Reading) -> Self {
        Self {
            settings,
            desired,
            signals: Signals::new(first),
            state: State::default(),
            found: None,
            progressed: first.at,
            ready: 0,
            changed: first.at,
            decided: first.at,
        }
    }

    /// Replicas asked for.
    #[must_use]
    pub fn desired(&self) -> u32 {
        self.desired
    }

    /// What it goes by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// From now on it goes by `settings`; it keeps what it has learned.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes a reading in, about every second. Returns whether it is time to
    /// [`decide`](Self::decide).
    pub fn sample(&mut self, reading: Reading, period: Duration) -> bool {
        self.signals.observe(reading);
        let period = match self.settings.policy {
            Policy::Lag => period.min(LOOK),
            Policy::LagStep => period,
        };
        reading.at.since(self.decided) >= period
    }

    /// One turn: observe, decide, guard. What is decided counts once the caller
    /// [adopts](Self::adopt) it: with `dryRun` it never does.
    pub fn decide(&mut self, reading: Reading, replicas: &Replicas) -> Turn {
        self.signals.observe(reading);
        self.decided = reading.at;
        if replicas.starting == 0 || replicas.ready > self.ready {
            self.progressed = reading.at;
        }
        self.ready = replicas.ready;
        let seen = self.observe(&reading, replicas);
        let wish = wish(&seen, &self.settings, &mut self.state, reading.at);
        let decision = guard(&seen, &self.settings, wish);
        Turn { seen, decision }
    }

    /// The count that is asked for from now on.
    pub fn adopt(&mut self, desired: u32, now: Nanos) {
        if desired > self.desired {
            self.progressed = now;
        }
        if desired != self.desired {
            self.changed = now;
            self.desired = desired;
        }
    }

    /// `desired` replicas are asked for already, by whomever: they are taken over.
    pub fn take_over(&mut self, desired: u32, now: Nanos) {
        self.found = Some(now);
        self.adopt(desired, now);
    }

    /// Other replicas take requests now than before.
    pub fn replicas_changed(&mut self, now: Nanos) {
        self.changed = now;
    }

    /// The lag at which to decide at once; `None`: nothing would change.
    #[must_use]
    pub fn wake_at(&self) -> Option<u64> {
        wake_at(&self.settings, self.desired)
    }

    fn observe(&self, reading: &Reading, replicas: &Replicas) -> Observation {
        Observation {
            lag: reading.in_flight(),
            held: reading.held,
            demand: self.signals.demand(self.settings.target_wait),
            desired: self.desired,
            ready: replicas.ready,
            starting: replicas.starting,
            stalled: reading.at.since(self.progressed),
            watched: self.found.map(|found| reading.at.since(found)),
            unchanged: reading.at.since(self.changed),
            start_up: replicas.start_up,
            capacity: replicas.capacity,
        }
    }
}
