//! What is counted of an API key's requests. Names of keys come from a file, so that there are no
//! more series than keys in it, and one for requests without a valid key.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::status::{KeyRefusal, Outcome};

/// The counts of one key.
#[derive(Debug, Default)]
pub struct KeyCounts {
    in_flight: AtomicU32,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    refusals: [AtomicU64; KeyRefusal::ALL.len()],
}

impl KeyCounts {
    /// Counts a request in; `false`: there are `limit` already.
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

    /// Takes back what `begin` has counted.
    pub fn withdraw(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a request out.
    pub fn end(&self, outcome: Option<Outcome>) {
        self.withdraw();
        let outcome = outcome.unwrap_or(Outcome::CallerGone);
        self.outcomes[outcome.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// A request was refused.
    pub fn refused(&self, refusal: KeyRefusal) {
        self.refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests inside now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that ended so.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()].load(Ordering::Relaxed)
    }

    /// Requests that were refused for this.
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
