//! From readings of a ledger to what a policy sees of demand.
//!
//! Every figure is a difference of two exact readings, so that nothing that
//! comes and goes between two looks is missed. Pure: the caller brings the
//! readings.

use std::{collections::VecDeque, time::Duration};

use crate::{clock::Nanos, ledger::Reading};

/// How far apart the kept readings are, at least.
const SPACING: Duration = Duration::from_millis(900);
/// Means are taken over at least this long: see `Reading::mean_in_flight`.
const SHORTEST_MEAN: Duration = Duration::from_millis(100);
/// Rates are taken over about this long; growth compares it with as long before.
const WINDOW: Duration = Duration::from_secs(5);

/// A model's recent readings.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Oldest first; never empty. About two windows.
    kept: VecDeque<Reading>,
    /// The reading at the last decision.
    decided: Reading,
    /// When the model was last seen in use.
    used: Nanos,
    last: Reading,
}

/// Demand between the last decision and now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Mean lag since the last decision.
    pub mean_lag: f64,
    /// Requests per second by which the mean lag of the last window exceeds
    /// that of the window before.
    pub growth: f64,
    /// Completions a second over the last window.
    pub completion_rate: f64,
    /// Since the model was last in use.
    pub idle: Duration,
}

impl Signals {
    /// Starts at `first`; the model counts as used then.
    #[must_use]
    pub fn new(first: Reading) -> Self {
        Self {
            kept: VecDeque::from([first]),
            decided: first,
            used: first.at,
            last: first,
        }
    }

    /// Takes a reading in. Call it every second or so, and before deciding.
    pub fn observe(&mut self, reading: Reading) {
        let used = reading.in_flight() > 0 || reading.arrived != self.last.arrived;
        if used {
            self.used = reading.at;
        }
        self.last = reading;
        let newest = self.kept.back().map_or(Nanos(0), |kept| kept.at);
        if reading.at.since(newest) >= SPACING {
            self.kept.push_back(reading);
        }
        // Keep the youngest that is at least two windows old, and all after it.
        while self
            .kept
            .get(1)
            .is_some_and(|second| reading.at.since(second.at) >= 2 * WINDOW)
        {
            self.kept.pop_front();
        }
    }

    /// Demand up to the last reading, which the next mean starts from.
    pub fn demand(&mut self) -> Demand {
        let now = self.last;
        let middle = self.around(now.at - WINDOW);
        let oldest = self.kept.front().copied().unwrap_or(now);
        let span = middle.since(&oldest);
        let growth = if span < SPACING {
            0.0
        } else {
            // The means lie half of each window apart.
            let apart = (now.since(&middle) + span).as_secs_f64() / 2.0;
            (now.mean_in_flight(&middle) - middle.mean_in_flight(&oldest)) / apart
        };
        let mean_lag = if now.since(&self.decided) < SHORTEST_MEAN {
            now.in_flight() as f64
        } else {
            let before = std::mem::replace(&mut self.decided, now);
            now.mean_in_flight(&before)
        };
        Demand {
            mean_lag,
            growth,
            completion_rate: now.completion_rate(&middle),
            idle: now.at.since(self.used),
        }
    }

    /// The newest kept reading not after `at`, or the oldest.
    fn around(&self, at: Nanos) -> Reading {
        let older = self.kept.iter().rev().find(|kept| kept.at <= at);
        older.or(self.kept.front()).copied().unwrap_or(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Wake};

    fn at(s: f64) -> Nanos {
        Nanos::from_duration(Duration::from_secs_f64(s))
    }

    #[test]
    fn what_comes_and_goes_between_two_looks_counts() {
        let ledger = Ledger::new(1, Wake::default());
        let mut signals = Signals::new(ledger.read_with(|| at(0.0)));
        for _ in 0..40 {
            ledger.count_in(at(1.0));
        }
        for _ in 0..40 {
            ledger.count_out(at(6.0));
        }
        signals.observe(ledger.read_with(|| at(10.0)));
        let demand = signals.demand();
        assert!(
            (demand.mean_lag - 20.0).abs() < 1e-9,
            "40 for 5 of 10 s: {demand:?}"
        );
        assert_eq!(
            demand.idle,
            Duration::ZERO,
            "something arrived since the last look"
        );
        signals.observe(ledger.read_with(|| at(25.0)));
        assert_eq!(signals.demand().idle, Duration::from_secs(15));
    }

    #[test]
    fn growth_is_the_slope_of_mean_lag() {
        let ledger = Ledger::new(1, Wake::default());
        let mut signals = Signals::new(ledger.read_with(|| at(0.0)));
        // One more stays every half second: 2 a second.
        for step in 0..40 {
            let t = f64::from(step) * 0.5;
            ledger.count_in(at(t));
            signals.observe(ledger.read_with(|| at(t)));
        }
        let demand = signals.demand();
        assert!((demand.growth - 2.0).abs() < 0.1, "{demand:?}");
    }

    #[test]
    fn start_and_stand_still_are_no_division_by_zero() {
        let ledger = Ledger::new(1, Wake::default());
        let first = ledger.read_with(|| at(1.0));
        let mut signals = Signals::new(first);
        signals.observe(first);
        assert_eq!(signals.demand(), Demand::default());
    }
}
