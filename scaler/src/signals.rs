//! Derives demand, as policies see it, from readings of a ledger.
//!
//! Every figure is a difference of two exact readings, so requests that come and go between two
//! readings are not missed. Pure: the caller passes the readings.

mod learned;

use std::{collections::VecDeque, time::Duration};

use self::learned::{Dispersion, Service, UNKNOWN_SERVICE, served_seconds};
use crate::{clock::Nanos, ledger::Reading, tuning::Tuning};

/// Shortest time between two kept readings, so that about 700 are kept however often the scaler
/// is woken.
const SPACING: Duration = Duration::from_millis(900);
/// How long readings are kept: a little longer than the two windows of the longest time scale in
/// [`GROWTH`].
const KEPT: Duration = Duration::from_secs(610);
/// The windows over which demand is measured, in seconds. Each is twice as long as the one before,
/// so that a burst of up to 64 s fills at least half of one of them.
const WINDOWS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// The longest of the windows over which demand is measured.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(64);
/// The window of the arrival rate: long enough for a steady mean of some requests a second, short
/// enough to follow a load that changes within minutes.
pub const RATE: Duration = Duration::from_secs(60);
/// The shortest window of the arrival rate, while fewer readings are kept. Without it, the first
/// few requests of a model would count as a high rate.
const SHORTEST_RATE: Duration = Duration::from_secs(5);
/// The time scales on which growth is measured, in seconds: from about the start-up time of a
/// replica to slower changes of load.
const GROWTH: [u64; 4] = [30, 60, 120, 300];
/// The window of the mean lag: shorter lag over the threshold is a fluctuation that more replicas
/// would come too late for.
const LAG: Duration = Duration::from_secs(10);

/// A model's recent readings.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Oldest first; never empty.
    kept: VecDeque<Reading>,
    /// When the model was last in use.
    used: Nanos,
    last: Reading,
    service: Service,
    dispersion: Dispersion,
    tuning: Tuning,
}

/// A model's demand at the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeasuredDemand {
    /// Time since the model was last in use.
    pub idle: Duration,
    /// Mean time in service, in seconds.
    pub service: f64,
    /// Arrivals a second over the last minute, or since the first reading.
    pub rate: f64,
    /// The growth of the rate, in arrivals a second per second. 0 if the difference may be chance;
    /// never negative.
    pub growth: f64,
    /// Variance of the arrivals within one time in service, as a multiple of a Poisson process's.
    /// At least 1.
    pub dispersion: f64,
    /// Slots that recent arrivals need, so that none of them waits longer than the target.
    pub slots: f64,
    /// Mean lag over the last 10 s: exact, from the ledger's integral.
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

    /// Takes a reading. Call it about every second, and before each decision.
    pub fn observe(&mut self, reading: Reading) {
        // Ignores a reading of a clock that went back.
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
        // Keeps the youngest reading that is old enough, and all after it.
        while self
            .kept
            .get(1)
            .is_some_and(|second| reading.since(second) >= KEPT)
        {
            self.kept.pop_front();
        }
    }

    /// Adds `correction` to all kept readings, because readings include it from now on. It did not
    /// happen just now, so it must not look like a burst.
    pub fn correct(&mut self, correction: &Reading) {
        for kept in self.kept.iter_mut().chain([&mut self.last]) {
            // `held` is not a counter, but the number held at that time.
            let held = kept.held.saturating_add_signed(correction.held as i64);
            *kept = kept.plus(correction);
            kept.held = held;
        }
    }

    /// Demand at the last reading, if a request may wait for `target`.
    #[must_use]
    pub fn demand(&self, target: Duration) -> MeasuredDemand {
        let now = self.last;
        let minute = self.before(RATE);
        let service = self.service();
        MeasuredDemand {
            idle: now.at.since(self.used),
            service,
            rate: self.rate(&minute),
            growth: self.growth(),
            dispersion: self.dispersion.mean(),
            slots: self.slots(service, target.as_secs_f64()),
            mean_lag: self.mean_lag(),
        }
    }

    /// Let A requests arrive within a window w, let each take the mean time in service S, and let
    /// there be n slots. The last request then starts at most A·S ÷ n after the window's
    /// beginning. It starts within the target T of its own arrival if n ≥ A·S ÷ (w + T). In a
    /// window shorter than S − T, each request needs a slot of its own.
    fn slots(&self, service: f64, target: f64) -> f64 {
        let now = &self.last;
        let own = (service - target).max(WINDOWS[0]);
        let longer = WINDOWS.iter().copied().filter(|&window| window > own);
        let needed = |window: f64| {
            let from = self.before(Duration::from_secs_f64(window));
            let span = now.since(&from).as_secs_f64();
            let arrived = now.arrived_since(&from) as f64;
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

    /// Slots in use over the last second, or fewer if requests are short against the wait that
    /// they may have. 0 while requests that have waited are served: they show older arrivals.
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

    /// Arrivals a second over the window that begins at `minute`. A reading is often taken
    /// because of an arrival. So one arrival is left out, and the window counts as at least
    /// [`SHORTEST_RATE`].
    fn rate(&self, minute: &Reading) -> f64 {
        let others = self.last.arrived_since(minute).saturating_sub(1);
        others as f64 / self.last.since(minute).max(SHORTEST_RATE).as_secs_f64()
    }

    /// Mean time in service, in seconds. While few requests have ended, compared with a
    /// [sample](Tuning::service_sample) and with those in service (as when many replicas start at
    /// once), the seconds served so far overstate the mean. It is then at most the time for which
    /// the present requests have been in service.
    fn service(&self) -> f64 {
        let mean = self.service.mean();
        let served = self.last.in_flight().saturating_sub(self.last.held) as f64;
        if served == 0.0 || self.service.completed() >= served.max(self.tuning.service_sample) {
            return mean;
        }
        mean.min(self.age().max(UNKNOWN_SERVICE))
    }

    /// How many seconds the oldest request in service has been served, if requests end in the
    /// order of their starts.
    fn age(&self) -> f64 {
        let begun = |at: &Reading| at.arrived.wrapping_sub(at.held);
        let later = self
            .kept
            .partition_point(|kept| begun(kept) <= self.last.completed);
        let from = self.kept.get(later.saturating_sub(1));
        self.last.since(from.unwrap_or(&self.last)).as_secs_f64()
    }

    /// The growth of the rate per second. On each time scale, the last window is compared with the
    /// one before it. A difference that chance does not explain counts as growth; of several
    /// scales, the highest counts. Growth that a shorter scale does not confirm, within a standard
    /// deviation, was a step that is over.
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

    /// Compares the last window with the one before it. `None`: not watched for that long.
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

    /// Learns the dispersion: compares the arrivals within the last two times in service, in
    /// which requests meet each other in service, with the mean.
    fn disperse(&mut self, span: Duration) {
        let window = Duration::from_secs_f64((2.0 * self.service.mean()).clamp(1.0, 30.0));
        let middle = self.before(window);
        let window = self.last.since(&middle);
        let first = self.before((4 * window).max(RATE));
        let share = window.as_secs_f64() / self.last.since(&first).as_secs_f64();
        // A mean over hardly more than the window itself is no basis for a comparison.
        if share <= 0.5 {
            let since = |then: &Reading| self.last.arrived_since(then) as f64;
            let mean = since(&first) * share;
            let apart = (since(&middle) - mean).abs() / (1.0 - share).sqrt();
            self.dispersion.learn(apart, mean, span);
        }
    }

    /// The newest kept reading that is at least `span` old, or else the oldest.
    fn before(&self, span: Duration) -> Reading {
        let at = self.last.at - span;
        let later = self.kept.partition_point(|kept| kept.at <= at);
        let found = self.kept.get(later.saturating_sub(1));
        found.copied().unwrap_or(self.last)
    }
}

/// The difference of the rates of two neighbouring windows.
struct Step {
    /// The difference, in arrivals a second.
    height: f64,
    /// The standard deviation that chance alone explains, in arrivals a second.
    deviation: f64,
    /// The time between the middles of the windows, in seconds.
    seconds: f64,
}

#[cfg(test)]
mod tests;
