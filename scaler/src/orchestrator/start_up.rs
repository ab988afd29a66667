//! Measures how long replicas take to become ready where another system starts them: from our
//! request until they are ready.

use std::{collections::VecDeque, time::Duration};

use crate::clock::Nanos;

/// The largest number of pending starts that are remembered.
const MOST: usize = 1024;

/// When each replica that is not ready yet was asked for, oldest first.
#[derive(Debug, Default)]
pub(super) struct StartUps {
    asked: VecDeque<Nanos>,
    last: Option<Duration>,
}

impl StartUps {
    /// How long the last replica took.
    pub(super) fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Notes a request at `at` that changed the count asked for from `from` to `to`.
    pub(super) fn asked(&mut self, from: u32, to: u32, at: Nanos) {
        for _ in to..from {
            self.asked.pop_back();
        }
        let added = to.saturating_sub(from) as usize;
        let room = MOST.saturating_sub(self.asked.len());
        self.asked.extend(std::iter::repeat_n(at, added.min(room)));
    }

    /// Notes that `count` more replicas are ready. A replica that this proxy did not ask for (a
    /// replaced pod, another client's request) is not measured.
    pub(super) fn ready(&mut self, count: u32, now: Nanos) {
        for _ in 0..count {
            let Some(asked) = self.asked.pop_front() else {
                return;
            };
            self.last = Some(now.since(asked));
        }
    }

    /// All replicas that were asked for are ready. Forgets pending starts: they belong to
    /// replicas that were ready for a while and have gone.
    pub(super) fn complete(&mut self) {
        self.asked.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn each_added_replica_is_timed_from_its_own_request() {
        let mut times = StartUps::default();
        times.asked(0, 1, at(0));
        times.asked(1, 3, at(10));
        times.ready(1, at(20));
        assert_eq!(times.last(), Some(Duration::from_secs(20)));
        times.ready(2, at(40));
        assert_eq!(times.last(), Some(Duration::from_secs(30)));
        times.ready(1, at(90));
        assert_eq!(
            times.last(),
            Some(Duration::from_secs(30)),
            "this proxy did not ask for it"
        );
    }

    #[test]
    fn starts_that_were_taken_back_are_not_waited_for() {
        let mut times = StartUps::default();
        times.asked(1, 4, at(0));
        times.asked(4, 1, at(5));
        times.ready(1, at(50));
        assert_eq!(times.last(), None);
        times.asked(0, u32::MAX, at(60));
        times.complete();
        times.ready(1, at(70));
        assert_eq!(times.last(), None);
    }
}
