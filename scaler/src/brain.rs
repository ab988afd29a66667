//! One model's scaling: readings of its ledger and the state of its replicas
//! in, decisions out. Pure: the caller brings the time. The live loop and the
//! simulator feed the same brain.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Nanos,
    decision::Decision,
    guard::guard,
    ledger::Reading,
    policy::{Observation, Policy, RateLimit, Settings, State, wake_at, wish},
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
    history: History,
    signals: Signals,
    state: State,
    /// When it found replicas that it had not asked for.
    found: Option<Nanos>,
    /// When a replica last got ready, or none was on its way.
    progressed: Nanos,
    /// When more were last asked for.
    raised: Nanos,
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
            history: History::default(),
            signals: Signals::new(first),
            state: State::default(),
            found: None,
            progressed: first.at,
            raised: first.at,
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

    /// From now on readings have `unheard` in them; see [`Signals::correct`].
    pub fn correct(&mut self, unheard: &Reading) {
        self.signals.correct(unheard);
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

    /// `desired` replicas are asked for already, by whomever: they are taken over.
    pub fn take_over(&mut self, desired: u32, now: Nanos) {
        self.found = (desired > 0).then_some(now);
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
mod tests {
    use super::*;
    use crate::{decision::Reason, policy::Wish};
    use std::num::NonZeroU32;

    fn at(s: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(s))
    }

    fn limit(replicas: u32, seconds: u64) -> Option<RateLimit> {
        Some(RateLimit {
            replicas: NonZeroU32::new(replicas).unwrap(),
            within: Duration::from_secs(seconds),
        })
    }

    fn reading(s: u64) -> Reading {
        Reading {
            at: at(s),
            ..Reading::default()
        }
    }

    #[test]
    fn the_count_changes_no_faster_than_the_user_allows() {
        let settings = Settings {
            stability: Duration::ZERO,
            up_limit: limit(4, 60),
            down_limit: limit(1, 30),
            min: 0,
            ..Settings::sample()
        };
        let mut brain = Brain::new(settings.clone(), 1, reading(0));
        let replicas = Replicas {
            capacity: u32::MAX,
            ..Replicas::default()
        };
        for (second, wanted, expected) in [
            (10, 50, 5),
            (11, 50, 5),
            (69, 50, 5),
            (70, 50, 9),
            (71, 2, 8),
            (100, 2, 8),
            (101, 2, 7),
            (102, 9, 9),
        ] {
            let seen = brain.observe(&reading(second), &replicas);
            let wish = Wish {
                replicas: wanted,
                reason: Reason::Configured { replicas: wanted },
            };
            let decision = guard(&seen, &settings, wish);
            assert_eq!(
                decision.desired, expected,
                "{wanted} at {second} s: {:?}",
                decision.reasons
            );
            brain.adopt(decision.desired, at(second));
        }
    }

    #[test]
    fn starts_hang_once_none_has_got_ready_for_long() {
        let settings = Settings {
            threshold: 1,
            slots: 1,
            target_wait: Duration::ZERO,
            stability: Duration::ZERO,
            ..Settings::sample()
        };
        let mut brain = Brain::new(settings, 4, reading(0));
        let mut look = |second, ready| {
            let replicas = Replicas {
                ready,
                starting: 4 - ready,
                capacity: u32::MAX,
                start_up: Some(Duration::from_secs(50)),
            };
            let lag = Reading {
                arrived: 500,
                held: 500,
                ..reading(second)
            };
            let turn = brain.decide(lag, &replicas);
            (turn.seen.hangs(), turn.decision.desired)
        };
        assert!(!look(149, 0).0);
        assert!(look(150, 0).0);
        assert!(!look(160, 1).0, "one got ready");
        assert!(!look(309, 1).0);
        let (hangs, desired) = look(310, 1);
        assert_eq!((hangs, desired), (true, 5), "one more is tried");
    }

    #[test]
    fn unused_for_less_than_the_stability_time_it_goes_once_both_have_passed() {
        let settings = Settings {
            inactive: Duration::from_secs(10),
            stability: Duration::from_secs(60),
            min: 0,
            ..Settings::sample()
        };
        let mut brain = Brain::new(settings, 0, reading(0));
        let mut look = |second, used, ready| {
            let replicas = Replicas {
                ready,
                capacity: u32::MAX,
                ..Replicas::default()
            };
            let seen = Reading {
                arrived: used,
                completed: used,
                ..reading(second)
            };
            if ready != brain.ready {
                brain.replicas_changed(seen.at);
            }
            let decision = brain.decide(seen, &replicas).decision;
            brain.adopt(decision.desired, seen.at);
            decision.desired
        };
        assert_eq!(look(1, 1, 0), 1, "the first request");
        assert_eq!(look(20, 1, 1), 1, "ready");
        assert_eq!(
            look(79, 1, 1),
            1,
            "unused for long, but 59 s without a change"
        );
        assert_eq!(look(80, 1, 1), 0);
        assert_eq!(look(81, 2, 0), 1, "the next one");
        assert_eq!(look(90, 2, 1), 1, "ready");
        assert_eq!(look(190, 3, 1), 1, "used");
        assert_eq!(look(199, 3, 1), 1, "unused for 9 s");
        assert_eq!(look(200, 3, 1), 0, "nothing has changed for long");
    }

    #[test]
    fn a_first_request_starts_one_replica() {
        for (slots, after_ms) in [(1, 7), (2, 7), (8, 500), (1, 4000)] {
            let settings = Settings {
                slots,
                min: 0,
                ..Settings::sample()
            };
            let mut brain = Brain::new(settings, 0, reading(0));
            let first = Reading {
                at: Nanos::from_duration(Duration::from_millis(after_ms)),
                arrived: 1,
                held: 1,
                ..Reading::default()
            };
            let replicas = Replicas {
                capacity: u32::MAX,
                ..Replicas::default()
            };
            let decision = brain.decide(first, &replicas).decision;
            assert_eq!(
                decision.desired, 1,
                "{slots} slots, {after_ms} ms: {:?}",
                decision.reasons
            );
        }
    }
}
