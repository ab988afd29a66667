//! The minimum rate at which a request's body must arrive.

use std::cell::Cell;

/// The bytes that a caller must send within the present time limit, so that it cannot keep a
/// request alive with one byte a minute.
#[derive(Debug, Default)]
pub(super) struct BodyPace {
    /// Bytes that must arrive before the time limit restarts.
    owed: Cell<u64>,
    /// Whether the replica was waited for since the caller was last waited for.
    paused: Cell<bool>,
}

/// The result of the arrival of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// This many more bytes must arrive within the same time.
    Owes(u64),
    /// The time limit restarts: enough was sent, or the replica was waited for meanwhile.
    Restarts,
}

impl BodyPace {
    /// Begins a request. `quota` bytes of its body must arrive within each time limit.
    pub(super) fn begin(&self, quota: u64) {
        self.owe(quota);
        self.paused.set(false);
    }

    /// This many bytes must arrive before the time limit restarts.
    pub(super) fn owe(&self, bytes: u64) {
        self.owed.set(bytes);
    }

    /// From now on the replica is waited for, not the caller.
    pub(super) fn pause(&self) {
        self.paused.set(true);
    }

    /// From now on the caller is waited for. Returns whether the replica was before.
    pub(super) fn resume(&self) -> bool {
        self.paused.take()
    }

    /// `bytes` have arrived.
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
