//! What a ledger said at one instant, and what two readings tell together.

use std::time::Duration;

use crate::clock::Nanos;

/// The sums of a ledger at one instant. Counters wrap: compare them only by
/// wrapping difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at: Nanos,
    /// Requests that have come in.
    pub arrived: u64,
    /// Requests that have gone out.
    pub completed: u64,
    /// The part of the integral of in-flight over time that events have settled:
    /// sum of completion times minus sum of arrival times, in ns, wrapping. See
    /// [`integral`](Self::integral).
    pub in_flight_integral: u64,
    /// Requests waiting for a replica.
    pub held: u64,
    /// As [`in_flight_integral`](Self::in_flight_integral), of those that wait: sum of
    /// the times at which waits ended minus sum of those at which they began.
    pub held_integral: u64,
}

impl Reading {
    /// Requests inside: the lag.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.arrived.wrapping_sub(self.completed)
    }

    /// With the counts of other ledgers added, whose integrals are on the same clock.
    #[must_use]
    pub fn plus(mut self, others: &Self) -> Self {
        self.arrived = self.arrived.wrapping_add(others.arrived);
        self.completed = self.completed.wrapping_add(others.completed);
        self.in_flight_integral = self
            .in_flight_integral
            .wrapping_add(others.in_flight_integral);
        self.held = self.held.wrapping_add(others.held);
        self.held_integral = self.held_integral.wrapping_add(others.held_integral);
        self
    }

    /// What [`plus`](Self::plus) has to add to `others` to make it this.
    #[must_use]
    pub fn minus(mut self, others: &Self) -> Self {
        self.arrived = self.arrived.wrapping_sub(others.arrived);
        self.completed = self.completed.wrapping_sub(others.completed);
        self.in_flight_integral = self
            .in_flight_integral
            .wrapping_sub(others.in_flight_integral);
        self.held = self.held.wrapping_sub(others.held);
        self.held_integral = self.held_integral.wrapping_sub(others.held_integral);
        self
    }

    /// The integral of in-flight over time up to `at`, in request-nanoseconds,
    /// wrapping: A(t) = in_flight_integral + L·t.
    #[must_use]
    pub fn integral(&self) -> u64 {
        self.in_flight_integral
            .wrapping_add(self.in_flight().wrapping_mul(self.at.0))
    }

    /// As [`integral`](Self::integral), of those that wait.
    #[must_use]
    pub fn held_integral_at(&self) -> u64 {
        self.held_integral
            .wrapping_add(self.held.wrapping_mul(self.at.0))
    }

    /// The integral in request-seconds, for a counter that starts with the process.
    #[must_use]
    pub fn integral_seconds(&self) -> f64 {
        (self.integral() as i64 as f64 / 1e9).max(0.0)
    }

    /// The time since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        self.at.since(earlier.at)
    }

    /// Mean in-flight between `earlier` and this reading: not sampled, so that
    /// nothing that came and went between them is missing. The present
    /// in-flight if no time has passed.
    ///
    /// Events are stamped just before they are counted. What was between stamp
    /// and count at either end is in the next interval instead: an error of
    /// that moment's length a request, which matters only for intervals not
    /// much longer.
    #[must_use]
    pub fn mean_in_flight(&self, earlier: &Self) -> f64 {
        self.mean(earlier, self.in_flight(), Self::integral)
    }

    /// Mean of those that waited between `earlier` and this reading, as
    /// [`mean_in_flight`](Self::mean_in_flight).
    #[must_use]
    pub fn mean_held(&self, earlier: &Self) -> f64 {
        self.mean(earlier, self.held, Self::held_integral_at)
    }

    fn mean(&self, earlier: &Self, present: u64, integral: fn(&Self) -> u64) -> f64 {
        let span = self.since(earlier).as_nanos() as f64;
        if span == 0.0 {
            return present as f64;
        }
        // Signed: over a very short interval, what moves to the next may be more
        // than all there is.
        let area = integral(self).wrapping_sub(integral(earlier)) as i64;
        (area as f64 / span).max(0.0)
    }

    /// Arrivals a second since `earlier`; 0 if no time has passed.
    #[must_use]
    pub fn arrival_rate(&self, earlier: &Self) -> f64 {
        rate(
            self.arrived.wrapping_sub(earlier.arrived),
            self.since(earlier),
        )
    }

    /// Completions a second since `earlier`; 0 if no time has passed.
    #[must_use]
    pub fn completion_rate(&self, earlier: &Self) -> f64 {
        rate(
            self.completed.wrapping_sub(earlier.completed),
            self.since(earlier),
        )
    }
}

#[cfg(test)]
impl Reading {
    /// `in_flight` inside, of which `held` wait.
    pub(crate) fn inside(in_flight: u64, held: u64) -> Self {
        Self {
            arrived: in_flight,
            held,
            ..Self::default()
        }
    }
}

fn rate(count: u64, span: Duration) -> f64 {
    if span.is_zero() {
        0.0
    } else {
        count as f64 / span.as_secs_f64()
    }
}
