//! From readings of a ledger to what a policy sees of demand.
//!
//! Every figure is a difference of two exact readings, so that nothing that
//! comes and goes between two looks is missed. Pure: the caller brings the
//! readings.

use std::{collections::VecDeque, time::Duration};

use crate::{clock::Nanos, ledger::Reading};

/// How far apart the kept readings are, at least.
const SPACING: Duration = Duration::from_millis(900);
/// For how long readings are kept.
const KEPT: Duration = Duration::from_secs(130);
/// The windows over which demand is looked at, in seconds.
const WINDOWS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// The longest of them.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(64);
/// The rate is taken over this window; its slope is that against the window before.
const RATE: Duration = Duration::from_secs(60);
/// The mean lag is taken over this window.
const LAG: Duration = Duration::from_secs(10);
/// What was served longer ago than this says little of the time in service.
const SERVICE_MEMORY: f64 = 300.0;
/// Time in service that is assumed before anything was served, in seconds; it
/// counts as much as one request.
const UNKNOWN_SERVICE: f64 = 1.0;

/// A model's recent readings.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Oldest first; never empty.
    kept: VecDeque<Reading>,
    /// When the model was last seen in use.
    used: Nanos,
    last: Reading,
    /// When a request was last seen to wait.
    waited: Option<Nanos>,
    service: Service,
    dispersion: Dispersion,
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
    /// By how much the rate grows a second; 0 where it may as well be chance.
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
    pub fn new(first: Reading) -> Self {
        Self {
            kept: VecDeque::from([first]),
            used: first.at,
            last: first,
            waited: None,
            service: Service::default(),
            dispersion: Dispersion::default(),
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
        if reading.held > 0 {
            self.waited = Some(reading.at);
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

    /// Demand up to the last reading, where a request may wait for `target`.
    #[must_use]
    pub fn demand(&self, target: Duration) -> Demand {
        let now = self.last;
        let minute = self.before(RATE);
        let service = self.service.mean();
        Demand {
            idle: now.at.since(self.used),
            service,
            rate: now.arrival_rate(&minute),
            growth: self.growth(&minute),
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

    /// Slots in use over the last second; fewer would have done where requests
    /// are short against the wait that they may have. Nothing can be said of it
    /// while those are served that have waited: they came before.
    fn served(&self, service: f64, target: f64) -> f64 {
        let settled = Duration::from_secs_f64((2.0 * service).min(3600.0)) + SPACING;
        if self
            .waited
            .is_some_and(|at| self.last.at.since(at) <= settled)
        {
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

    /// The rate of the last window against that of the one before it, less what
    /// two such counts of a steady Poisson process differ by in one of six cases.
    fn growth(&self, minute: &Reading) -> f64 {
        let before = self.before(2 * RATE);
        let (late, early) = (self.last.since(minute), minute.since(&before));
        if early < RATE / 2 {
            return 0.0;
        }
        let (a, b) = (self.last.arrival_rate(minute), minute.arrival_rate(&before));
        let chance = (a / late.as_secs_f64() + b / early.as_secs_f64()).sqrt();
        let apart = (late + early).as_secs_f64() / 2.0;
        ((a - b).abs() - chance).max(0.0).copysign(a - b) / apart
    }

    /// Compares the arrivals within a time in service with those before.
    fn disperse(&mut self, span: Duration) {
        let window = Duration::from_secs_f64(self.service.mean().clamp(1.0, 60.0));
        let middle = self.before(window);
        let length = self.last.since(&middle);
        let first = self.before(2 * length);
        let before = middle.since(&first);
        if before < length / 2 {
            return;
        }
        let late = self.last.arrived.wrapping_sub(middle.arrived) as f64;
        let early = middle.arrived.wrapping_sub(first.arrived) as f64;
        let scale = length.as_secs_f64() / before.as_secs_f64().max(f64::MIN_POSITIVE);
        self.dispersion.learn(late, early, scale, span);
    }

    /// The newest kept reading at least `span` old, or the oldest.
    fn before(&self, span: Duration) -> Reading {
        let at = self.last.at - span;
        let later = self.kept.partition_point(|kept| kept.at <= at);
        let found = self.kept.get(later.saturating_sub(1));
        found.copied().unwrap_or(self.last)
    }
}

/// Request-seconds in service between two readings: what the lag's integral
/// holds beyond those who waited. These are counted at both ends only, and
/// taken to have changed evenly.
fn served_seconds(from: &Reading, to: &Reading) -> f64 {
    let span = to.since(from).as_secs_f64();
    let held = (from.held + to.held) as f64 / 2.0;
    (to.mean_in_flight(from) - held).max(0.0) * span
}

/// The mean time in service: by Little's law the request-seconds in service
/// over the completions, both fading with [`SERVICE_MEMORY`].
#[derive(Clone, Copy, Debug, Default)]
struct Service {
    seconds: f64,
    completed: f64,
}

impl Service {
    fn learn(&mut self, from: &Reading, to: &Reading) {
        let fade = (-to.since(from).as_secs_f64() / SERVICE_MEMORY).exp();
        let completed = to.completed.wrapping_sub(from.completed) as f64;
        self.seconds = self.seconds * fade + served_seconds(from, to);
        self.completed = self.completed * fade + completed;
    }

    fn mean(&self) -> f64 {
        (self.seconds + UNKNOWN_SERVICE) / (self.completed + 1.0)
    }
}

/// How much counts in neighbouring windows differ, as a multiple of what those
/// of a Poisson process do: there the mean square of the difference is the sum.
#[derive(Clone, Copy, Debug, Default)]
struct Dispersion {
    squares: f64,
    counts: f64,
}

impl Dispersion {
    /// `early` arrived in a window that was `scale` times shorter than that of `late`.
    fn learn(&mut self, late: f64, early: f64, scale: f64, span: Duration) {
        let fade = (-span.as_secs_f64() / SERVICE_MEMORY).exp();
        self.squares = self.squares * fade + (late - scale * early).powi(2);
        self.counts = self.counts * fade + late + scale * scale * early;
    }

    fn mean(&self) -> f64 {
        // As if a hundred had been Poisson's.
        ((self.squares + 100.0) / (self.counts + 100.0)).max(1.0)
    }
}

#[cfg(test)]
mod tests;
