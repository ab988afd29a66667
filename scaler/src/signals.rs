//! From readings of a ledger to what a policy sees of demand.
//!
//! Every figure is a difference of two exact readings, so that nothing that
//! comes and goes between two looks is missed. Pure: the caller brings the
//! readings.

mod learned;

use std::{collections::VecDeque, time::Duration};

use self::learned::{Dispersion, Service, UNKNOWN_SERVICE, served_seconds};
use crate::{clock::Nanos, ledger::Reading, tuning::Tuning};

/// How far apart the kept readings are, at least.
const SPACING: Duration = Duration::from_millis(900);
/// For how long readings are kept.
const KEPT: Duration = Duration::from_secs(610);
/// The windows over which demand is looked at, in seconds.
const WINDOWS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// The longest of them.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(64);
/// The rate is taken over this window.
pub const RATE: Duration = Duration::from_secs(60);
/// And over no shorter one.
const SHORTEST_RATE: Duration = Duration::from_secs(5);
/// Growth is looked for on these scales of time, in seconds.
const GROWTH: [u64; 4] = [30, 60, 120, 300];
/// The mean lag is taken over this window.
const LAG: Duration = Duration::from_secs(10);

/// A model's recent readings.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Oldest first; never empty.
    kept: VecDeque<Reading>,
    /// When the model was last seen in use.
    used: Nanos,
    last: Reading,
    service: Service,
    dispersion: Dispersion,
    tuning: Tuning,
}

/// Demand up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Since the model was last in use.
    pub idle: Duration,
    /// Mean time in service, in seconds.
    pub service: f64,
    /// Arrivals a second over the last minute, or since the first reading.
    pub rate: f64,
    /// By how much the rate grows a second; 0 where it may as well be chance. Not below 0.
    pub growth: f64,
    /// Variance of arrivals within a time in service, as a multiple of a Poisson
    /// process's; at least 1.
    pub dispersion: f64,
    /// Slots that the arrivals so far need now, for none of them to wait longer
    /// than the target.
    pub slots: f64,
    /// Mean lag over the last seconds: exact, from the ledger's integral.
    pub mean_lag: f64,
}

impl Signals {
    /// Starts at `first`; the model counts as used then.
    #[must_use]
    pub fn new(first: Reading, tuning: &Tuning) -> Self {
        Self {
            kept: VecDeque::from([first]),
            used: first.at,
            last: first,
            service: Service::new(tuning),
            dispersion: Dispersion::new(tuning),
            tuning: *tuning,
        }
    }

    /// Takes a reading in. Call it every second or so, and before deciding.
    pub fn observe(&mut self, reading: Reading) {
        // A clock that stands still or goes back says nothing new.
        if reading.at < self.last.at {
            return;
        }
        let used = reading.in_flight() > 0 || reading.arrived != self.last.arrived;
        if used {
            self.used = reading.at;
        }
        self.last = reading;
        let newest = self.kept.back().copied().unwrap_or(reading);
        if reading.since(&newest) >= SPACING {
            self.service.learn(&newest, &reading);
            self.kept.push_back(reading);
            self.disperse(reading.since(&newest));
        }
        // Keep the youngest that is old enough, and all after it.
        while self
            .kept
            .get(1)
            .is_some_and(|second| reading.since(second) >= KEPT)
        {
            self.kept.pop_front();
        }
    }

    /// From now on readings have `correction` in them, and nothing of it has happened
    /// just now: what is kept is corrected as if it had been so all along.
    pub fn correct(&mut self, correction: &Reading) {
        for kept in self.kept.iter_mut().chain([&mut self.last]) {
            // Not a counter: what is held is looked at as it is.
            let held = kept.held.saturating_add_signed(correction.held as i64);
            *kept = kept.plus(correction);
            kept.held = held;
        }
    }

    /// Demand up to the last reading, where a request may wait for `target`.
    #[must_use]
    pub fn demand(&self, target: Duration) -> Demand {
        let now = self.last;
        let minute = self.before(RATE);
        let service = self.service();
        Demand {
            idle: now.at.since(self.used),
            service,
            rate: self.rate(&minute),
            growth: self.growth(),
            dispersion: self.dispersion.mean(),
            slots: self.slots(service, target.as_secs_f64()),
            mean_lag: self.mean_lag(),
        }
    }

    /// Were there `n` slots and each request took the mean S, then of A requests
    /// that arrived within w the last would wait until A·S ÷ n from the window's
    /// beginning at most, and that is within the target T of its own arrival if
    /// n ≥ A·S ÷ (w + T). A window shorter than S − T says no more than that: in
    /// it each request needs a slot of its own.
    fn slots(&self, service: f64, target: f64) -> f64 {
        let now = &self.last;
        let own = (service - target).max(WINDOWS[0]);
        let longer = WINDOWS.iter().copied().filter(|&window| window > own);
        let needed = |window: f64| {
            let from = self.before(Duration::from_secs_f64(window));
            let span = now.since(&from).as_secs_f64();
            let arrived = now.arrived.wrapping_sub(from.arrived) as f64;
            arrived * service / (span.max(own.min(window)) + target).max(f64::MIN_POSITIVE)
        };
        let arrived = std::iter::once(own.min(KEPT.as_secs_f64()))
            .chain(longer)
            .map(needed)
            .fold(0.0, f64::max);
        arrived.max(self.served(service, target))
    }

    /// Mean time in service, in seconds, if something was served lately.
    #[must_use]
    pub fn measured_service(&self) -> Option<f64> {
        (self.service.completed() >= 0.5).then(|| self.service())
    }

    /// Slots in use over the last second; fewer would have done where requests
    /// are short against the wait that they may have. Nothing, while some of those
    /// that are served have waited: they say what arrived before.
    fn served(&self, service: f64, target: f64) -> f64 {
        let settled = Duration::from_secs_f64((2.0 * service).min(3600.0)) + SPACING;
        if self.last.mean_held(&self.before(settled)) > 0.0 {
            return 0.0;
        }
        let from = self.before(Duration::from_secs(1));
        let span = self.last.since(&from).as_secs_f64();
        if span == 0.0 {
            return 0.0;
        }
        served_seconds(&from, &self.last) / span * (service.max(span) / (span + target)).min(1.0)
    }

    fn mean_lag(&self) -> f64 {
        let from = self.before(LAG);
        if self.last.since(&from) < SPACING {
            return 0.0;
        }
        self.last.mean_in_flight(&from)
    }

    /// Arrivals a second. Often an arrival is why one looks: that one does not say
    /// how often they come, nor does a short time of watching.
    fn rate(&self, minute: &Reading) -> f64 {
        let others = self
            .last
            .arrived
            .wrapping_sub(minute.arrived)
            .saturating_sub(1);
        others as f64 / self.last.since(minute).max(SHORTEST_RATE).as_secs_f64()
    }

    /// How long a request is in service. As long as few have ended, against a
    /// [sample](Tuning::service_sample) and those that are served now (as when many replicas begin
    /// at once), what was served says that requests are long, but not that they
    /// are longer than those that are served now have been.
    fn service(&self) -> f64 {
        let mean = self.service.mean();
        let served = self.last.in_flight().saturating_sub(self.last.held) as f64;
        if served == 0.0 || self.service.completed() >= served.max(self.tuning.service_sample) {
            return mean;
        }
        mean.min(self.age().max(UNKNOWN_SERVICE))
    }

    /// Seconds since that was begun which ends now, were requests served in order.
    fn age(&self) -> f64 {
        let begun = |at: &Reading| at.arrived.wrapping_sub(at.held);
        let later = self
            .kept
            .partition_point(|kept| begun(kept) <= self.last.completed);
        let from = self.kept.get(later.saturating_sub(1));
        self.last.since(from.unwrap_or(&self.last)).as_secs_f64()
    }

    /// By how much the rate grows a second: on the scale of time at which a window
    /// differs from the one before it by more than chance explains; where several
    /// do, the highest. What shorter scales do not show as well, give or take a
    /// standard deviation, was a step, and is over.
    fn growth(&self) -> f64 {
        let (mut growth, mut most) = (0.0_f64, f64::INFINITY);
        for seconds in GROWTH {
            let Some(step) = self.step(Duration::from_secs(seconds)) else {
                continue;
            };
            if step.height > self.tuning.growth_deviations * step.deviation {
                growth = growth.max((step.height / step.seconds).min(most));
            }
            most = most.min(((step.height + step.deviation) / step.seconds).max(0.0));
        }
        growth
    }

    /// From the window before the last to the last; `None`: it was not watched for so long.
    fn step(&self, window: Duration) -> Option<Step> {
        let middle = self.before(window);
        let first = self.before(2 * window);
        let (late, early) = (self.last.since(&middle), middle.since(&first));
        if early < window / 2 {
            return None;
        }
        let (a, b) = (self.last.arrival_rate(&middle), middle.arrival_rate(&first));
        let variance = a / late.as_secs_f64() + b / early.as_secs_f64();
        Some(Step {
            height: a - b,
            deviation: (variance * self.dispersion.mean()).sqrt(),
            seconds: (late + early).as_secs_f64() / 2.0,
        })
    }

    /// Compares the arrivals of the last two times in service, over which arrivals
    /// meet each other in service, with the mean.
    fn disperse(&mut self, span: Duration) {
        let window = Duration::from_secs_f64((2.0 * self.service.mean()).clamp(1.0, 30.0));
        let middle = self.before(window);
        let window = self.last.since(&middle);
        let first = self.before((4 * window).max(RATE));
        let share = window.as_secs_f64() / self.last.since(&first).as_secs_f64();
        // A mean that is hardly more than the window itself says nothing.
        if share <= 0.5 {
            let since = |then: &Reading| self.last.arrived.wrapping_sub(then.arrived) as f64;
            let mean = since(&first) * share;
            let apart = (since(&middle) - mean).abs() / (1.0 - share).sqrt();
            self.dispersion.learn(apart, mean, span);
        }
    }

    /// The newest kept reading at least `span` old, or the oldest.
    fn before(&self, span: Duration) -> Reading {
        let at = self.last.at - span;
        let later = self.kept.partition_point(|kept| kept.at <= at);
        let found = self.kept.get(later.saturating_sub(1));
        found.copied().unwrap_or(self.last)
    }
}

/// How the rate of two neighbouring windows differs.
struct Step {
    /// By how many arrivals a second.
    height: f64,
    /// By how many it would by chance, as a standard deviation.
    deviation: f64,
    /// From the middle of one to that of the other.
    seconds: f64,
}

#[cfg(test)]
mod tests;
