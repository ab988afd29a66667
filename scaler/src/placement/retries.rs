//! When a failed load is tried again: after pauses that double, and later rarely.

use std::time::Duration;

use tailback_config::Placement;

use crate::clock::Nanos;

/// Pause after the first failed load. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between loads that fail, as long as there are tries left.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pause between loads after all tries have failed.
pub(super) const GIVEN_UP: Duration = Duration::from_secs(300);

/// How long and how often a load is tried.
#[derive(Clone, Copy, Debug)]
pub struct LoadTries {
    /// How often a load that failed is tried again before a long pause.
    pub count: u32,
    /// How long the load may take, all tries and pauses included.
    pub limit: Duration,
}

impl LoadTries {
    /// From the settings.
    #[must_use]
    pub fn of(placement: &Placement) -> Self {
        Self {
            count: placement.load_retries,
            limit: placement.load_limit,
        }
    }
}

/// Failed loads of a model since the last one that succeeded.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailedLoads {
    /// How many have failed.
    pub number: u32,
    /// The end of the present pause, if there is one.
    pub not_before: Option<Nanos>,
    /// How much of the time for a load the tries have used up, pauses between them included.
    spent: Duration,
}

impl FailedLoads {
    /// Begins to count anew. A pause that has begun still ends at its time.
    pub fn count_anew(&mut self) {
        (self.number, self.spent) = (0, Duration::ZERO);
    }

    /// How long the next load may take.
    #[must_use]
    pub fn limit(&self, tries: LoadTries) -> Duration {
        (tries.limit.saturating_sub(self.spent)).max(FIRST_PAUSE)
    }

    /// Notes that a load that was sent at `sent` has failed. Returns the pause until the next try.
    pub fn failed(&mut self, tries: LoadTries, sent: Nanos, now: Nanos) -> Duration {
        self.number = self.number.saturating_add(1);
        let spent = self.spent.saturating_add(now.since(sent));
        let pause = match self.number > tries.count || spent >= tries.limit {
            true => GIVEN_UP,
            false => (FIRST_PAUSE * (1 << (self.number - 1).min(6))).min(LONGEST_PAUSE),
        };
        self.spent = match pause {
            GIVEN_UP => Duration::ZERO,
            pause => spent.saturating_add(pause),
        };
        self.not_before = Some(now + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TRIES: LoadTries = LoadTries {
        count: 5,
        limit: Duration::from_secs(60),
    };

    fn at(seconds: u32) -> Nanos {
        Nanos(0) + seconds * SECOND
    }

    #[test]
    fn the_time_of_a_load_is_for_all_its_tries_together() {
        let mut own = FailedLoads::default();
        assert_eq!(own.limit(TRIES), 60 * SECOND);
        assert_eq!(own.failed(TRIES, at(100), at(140)), SECOND);
        assert_eq!(own.limit(TRIES), 19 * SECOND);
        let pause = own.failed(TRIES, at(141), at(160));
        assert_eq!(pause, GIVEN_UP, "its time is over");
        assert_eq!(own.limit(TRIES), 60 * SECOND);
        for (failures, pause) in [
            (3, 4 * SECOND),
            (4, 8 * SECOND),
            (5, 16 * SECOND),
            (6, GIVEN_UP),
        ] {
            let now = at(460 + failures);
            assert_eq!(own.failed(TRIES, now, now), pause);
        }
    }

    #[test]
    fn time_in_which_no_load_is_tried_does_not_count() {
        let mut own = FailedLoads::default();
        own.failed(TRIES, at(100), at(110));
        // The model is not wanted for a day.
        assert_eq!(own.limit(TRIES), 49 * SECOND);
        let day = at(86_400);
        assert_eq!(own.failed(TRIES, day, day), 2 * SECOND);
    }
}
