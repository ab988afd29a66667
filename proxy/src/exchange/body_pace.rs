//! How fast the body of a request must come.

use std::cell::Cell;

/// What a caller owes within the present time limit of its body, so that it cannot make a request last
/// by a byte a minute.
#[derive(Debug, Default)]
pub(super) struct BodyPace {
    /// Bytes that must come until the time limit restarts.
    owed: Cell<u64>,
    /// Whether the replica was waited for since the caller was waited for last.
    paused: Cell<bool>,
}

/// Where a caller stands when bytes have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It owes so many bytes more within the same time.
    Owes(u64),
    /// Its time restarts: it has sent enough, or the replica was waited for meanwhile.
    Restarts,
}

impl BodyPace {
    /// A request begins, of whose body `quota` bytes must come within the time limit.
    pub(super) fn begin(&self, quota: u64) {
        self.owe(quota);
        self.paused.set(false);
    }

    /// So many bytes must come until the time limit restarts.
    pub(super) fn owe(&self, bytes: u64) {
        self.owed.set(bytes);
    }

    /// The replica is waited for, and not the caller.
    pub(super) fn pause(&self) {
        self.paused.set(true);
    }

    /// The caller is waited for. Returns whether the replica was, until now.
    pub(super) fn resume(&self) -> bool {
        self.paused.take()
    }

    /// `bytes` have come.
    pub(super) fn came(&self, bytes: usize) -> Pace {
        let owed = self.owed.get().saturating_sub(bytes as u64);
        let was_paused = self.resume();
        if owed > 0 && !was_paused {
            Pace::Owes(owed)
        } else {
            Pace::Restarts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_caller_restarts_once_it_has_sent_what_it_owes_or_the_replica_was_waited_for() {
        let pace = BodyPace::default();
        pace.begin(100);
        assert_eq!(pace.came(40), Pace::Owes(60));
        pace.owe(60);
        assert_eq!(pace.came(60), Pace::Restarts);
        pace.begin(100);
        pace.pause();
        assert_eq!(pace.came(1), Pace::Restarts);
        assert_eq!(pace.came(1), Pace::Owes(99), "it was waited for once");
    }
}
