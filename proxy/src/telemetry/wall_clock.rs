//! The time of day of instants of the monotonic clock.

use std::time::{Duration, SystemTime};

use tailback_scaler::clock::Nanos;

/// The wall clock and the monotonic clock, read at the same instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    pub wall: SystemTime,
    pub monotonic: Nanos,
}

impl WallClock {
    pub(super) fn read() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Nanos::now(),
        }
    }

    /// The wall-clock time of the monotonic instant `at`, which may be before or after this
    /// reading.
    pub(super) fn at(self, at: Nanos) -> SystemTime {
        let (ago, ahead): (Duration, Duration) =
            (self.monotonic.since(at), at.since(self.monotonic));
        let wall = self.wall.checked_sub(ago);
        wall.unwrap_or(SystemTime::UNIX_EPOCH) + ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_times_are_computed_before_and_after_the_reading() {
        let second = Duration::from_secs(1);
        let now = WallClock {
            wall: SystemTime::UNIX_EPOCH + 10 * second,
            monotonic: Nanos(0) + 3 * second,
        };
        for (at, expected) in [(1, 8), (3, 10), (4, 11)] {
            let wall = now.at(Nanos(0) + at * second);
            assert_eq!(wall, SystemTime::UNIX_EPOCH + expected * second);
        }
    }
}
