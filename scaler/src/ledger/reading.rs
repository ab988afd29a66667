//! Readings of a ledger at one instant, and what the difference of two readings shows.

use std::time::Duration;

use crate::clock::Nanos;

/// The totals of a ledger at one instant. Counters wrap: compare them by wrapping difference
/// only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The instant.
    pub at: Nanos,
    /// Requests that have arrived so far.
    pub arrived: u64,
    /// Requests that have completed so far.
    pub completed: u64,
    /// Sum of completion times minus sum of arrival times, in ns, wrapping: the part of the
    /// integral of in-flight over time that does not depend on `at`. See
    /// [`integral`](Self::integral).
    pub in_flight_integral: u64,
    /// Requests waiting for a replica.
    pub held: u64,
    /// As [`in_flight_integral`](Self::in_flight_integral), for held requests: sum of the times
    /// at which holds ended minus sum of the times at which they began.
    pub held_integral: u64,
    /// Requests in flight whose body has not come yet, so that they cannot go to a replica.
    pub receiving: u64,
    /// As [`held_integral`](Self::held_integral), for `receiving`.
    pub receiving_integral: u64,
}

impl Reading {
    /// Requests in flight: the lag.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.arrived.wrapping_sub(self.completed)
    }

    /// Adds `others`, counts of other ledgers with integrals on the same clock.
    #[must_use]
    pub fn plus(mut self, others: &Self) -> Self {
        self.arrived = self.arrived.wrapping_add(others.arrived);
        self.completed = self.completed.wrapping_add(others.completed);
        self.in_flight_integral = self
            .in_flight_integral
            .wrapping_add(others.in_flight_integral);
        self.held = self.held.wrapping_add(others.held);
        self.held_integral = self.held_integral.wrapping_add(others.held_integral);
        self.receiving = self.receiving.wrapping_add(others.receiving);
        self.receiving_integral = self
            .receiving_integral
            .wrapping_add(others.receiving_integral);
        self
    }

    /// The difference to `others`: what [`plus`](Self::plus) must add to `others` to get this
    /// reading.
    #[must_use]
    pub fn minus(mut self, others: &Self) -> Self {
        self.arrived = self.arrived.wrapping_sub(others.arrived);
        self.completed = self.completed.wrapping_sub(others.completed);
        self.in_flight_integral = self
            .in_flight_integral
            .wrapping_sub(others.in_flight_integral);
        self.held = self.held.wrapping_sub(others.held);
        self.held_integral = self.held_integral.wrapping_sub(others.held_integral);
        self.receiving = self.receiving.wrapping_sub(others.receiving);
        self.receiving_integral = self
            .receiving_integral
            .wrapping_sub(others.receiving_integral);
        self
    }

    /// The same counts for requests that are demand for replicas: a request counts as arrived once
    /// enough of its body has come to send it on. So a caller that sends its body slowly, or
    /// never, makes no replica start.
    ///
    /// `arrived` may be smaller in a later reading, because a request whose body begins to be
    /// awaited in between is subtracted: compare by [`arrived_since`](Self::arrived_since).
    #[must_use]
    pub fn demand(mut self) -> Self {
        self.arrived = self.arrived.wrapping_sub(self.receiving);
        self.in_flight_integral = self
            .in_flight_integral
            .wrapping_sub(self.receiving_integral);
        (self.receiving, self.receiving_integral) = (0, 0);
        self
    }

    /// Requests that have arrived since `earlier`.
    #[must_use]
    pub fn arrived_since(&self, earlier: &Self) -> u64 {
        let arrived = self.arrived.wrapping_sub(earlier.arrived) as i64;
        arrived.max(0) as u64
    }

    /// The integral of in-flight over time up to `at`, in request-nanoseconds,
    /// wrapping: A(t) = in_flight_integral + L·t.
    #[must_use]
    pub fn integral(&self) -> u64 {
        self.in_flight_integral
            .wrapping_add(self.in_flight().wrapping_mul(self.at.0))
    }

    /// As [`integral`](Self::integral), for requests whose body has not come yet.
    #[must_use]
    pub fn receiving_integral_at(&self) -> u64 {
        self.receiving_integral
            .wrapping_add(self.receiving.wrapping_mul(self.at.0))
    }

    /// As [`integral`](Self::integral), for held requests.
    #[must_use]
    pub fn held_integral_at(&self) -> u64 {
        self.held_integral
            .wrapping_add(self.held.wrapping_mul(self.at.0))
    }

    /// The integral in request-seconds since the process's start, for a counter metric.
    #[must_use]
    pub fn integral_seconds(&self) -> f64 {
        (self.integral() as i64 as f64 / 1e9).max(0.0)
    }

    /// The time since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        self.at.since(earlier.at)
    }

    /// Mean in-flight between `earlier` and this reading. It is exact and not sampled, so
    /// requests that came and went in between count. The current in-flight if no time has passed.
    ///
    /// An event's time is taken just before the event is counted. If a reading comes between the
    /// two, the event counts in the next interval. This error is only as long as that moment, so
    /// it matters only in intervals that are hardly longer.
    #[must_use]
    pub fn mean_in_flight(&self, earlier: &Self) -> f64 {
        self.mean(earlier, self.in_flight(), Self::integral)
    }

    /// Mean number of held requests between `earlier` and this reading, as
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
        // Signed: in a very short interval, more may be moved to the next interval than there is.
        let area = integral(self).wrapping_sub(integral(earlier)) as i64;
        (area as f64 / span).max(0.0)
    }

    /// Arrivals a second since `earlier`; 0 if no time has passed.
    #[must_use]
    pub fn arrival_rate(&self, earlier: &Self) -> f64 {
        rate(self.arrived_since(earlier), self.since(earlier))
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

#[cfg(all(test, not(tailback_loom)))]
impl Reading {
    /// A reading with `in_flight` requests, of which `held` wait.
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
