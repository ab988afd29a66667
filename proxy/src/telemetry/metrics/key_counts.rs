//! The counters of an API key. Keys come from a file, so there is one series for each key in it,
//! and one for requests without a valid key.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::status::{KeyRefusal, Outcome};

/// The counters of one key.
#[derive(Debug, Default)]
pub struct KeyCounts {
    in_flight: AtomicU32,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    refusals: [AtomicU64; KeyRefusal::ALL.len()],
}

impl KeyCounts {
    /// Counts a request in; `false`: `limit` requests are in flight already.
    pub fn begin(&self, limit: Option<u32>) -> bool {
        let Some(limit) = limit else {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let more = |count: u32| (count < limit).then_some(count + 1);
        let begun = self
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        begun.is_ok()
    }

    /// Undoes a `begin`.
    pub fn withdraw(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a request out.
    pub fn end(&self, outcome: Option<Outcome>) {
        self.withdraw();
        let outcome = outcome.unwrap_or(Outcome::CallerGone);
        self.outcomes[outcome.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a refused request.
    pub fn refused(&self, refusal: KeyRefusal) {
        self.refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The number of requests that ended with `outcome`.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].load(Ordering::Relaxed)
    }

    /// The number of requests that were refused for this reason.
    #[must_use]
    pub fn refusals(&self, refusal: KeyRefusal) -> u64 {
        self.refusals[refusal as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_requests_are_counted_in_than_the_limit() {
        let counts = KeyCounts::default();
        assert!(counts.begin(Some(2)) && counts.begin(Some(2)) && !counts.begin(Some(2)));
        counts.end(Some(Outcome::Success));
        assert!(counts.begin(Some(2)) && counts.begin(None) && !counts.begin(Some(2)));
        assert_eq!((counts.in_flight(), counts.ended(Outcome::Success)), (3, 1));
    }
}
