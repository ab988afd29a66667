//! The pause before a failed replica is started again: none at first, because somebody may wait
//! for it; then growing ones, for a command that keeps failing.

use std::time::Duration;

use crate::clock::Nanos;

/// After so many failures in a row, the next start is still immediate.
const AT_ONCE: u32 = 3;
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses: none [`AT_ONCE`] times, then from 0.25 s, doubling, to 30 s, each with a jitter of up to
/// a quarter, so that many sets do not restart in step.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// The time of the last failure that was counted.
    last: Nanos,
    /// The earliest time of the next start.
    not_before: Nanos,
}

impl Backoff {
    /// Takes the failure, at `now`, of a replica that was started at `started`, and returns the
    /// pause before the next start.
    ///
    /// It counts only if the replica was started after the last counted failure: replicas that
    /// fail together, or one after the other for one reason, count as one failure.
    pub(super) fn failed(&mut self, started: Nanos, now: Nanos) -> Duration {
        if self.failures == 0 || started >= self.last {
            self.failures = self.failures.saturating_add(1);
            self.last = now;
            let doublings = self.failures.checked_sub(AT_ONCE + 1);
            let wait = doublings.map_or(Duration::ZERO, |doublings| {
                FIRST.saturating_mul(1 << doublings.min(10)).min(LONGEST)
            });
            self.not_before = now + wait.mul_f64(0.75 + 0.5 * fastrand::f64());
        }
        self.pause(now)
    }

    /// The time until a replica may be started.
    pub(super) fn pause(&self, now: Nanos) -> Duration {
        self.not_before.since(now)
    }

    /// A replica has run well, or the command has changed: the next starts are immediate again.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Nanos = Nanos(1_000_000_000);

    /// The pauses of a replica that fails `times` times as soon as it is started.
    fn pauses(backoff: &mut Backoff, mut now: Nanos, times: usize) -> Vec<f64> {
        let mut failed = || {
            let started = now;
            now = now + Duration::from_millis(1);
            let pause = backoff.failed(started, now);
            now = now + pause;
            pause.as_secs_f64()
        };
        (0..times).map(|_| failed()).collect()
    }

    #[test]
    fn none_three_times_then_doubling_up_to_its_limit_and_starts_over() {
        let mut backoff = Backoff::default();
        let expected = [
            0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0,
        ];
        let pauses_of = pauses(&mut backoff, START, expected.len());
        for (expected, pause) in expected.into_iter().zip(pauses_of) {
            assert!(
                (expected * 0.75..=expected * 1.25).contains(&pause),
                "{pause} for {expected}"
            );
        }
        backoff.reset();
        assert_eq!(backoff.pause(START), Duration::ZERO);
        assert_eq!(pauses(&mut backoff, START, 3), [0.0; 3]);
    }

    #[test]
    fn replicas_that_were_started_before_the_last_failure_do_not_keep_failing() {
        let mut backoff = Backoff::default();
        // A hundred replicas are killed, one after the other. Each is replaced at once.
        for n in 1..=100 {
            let now = START + Duration::from_secs(n);
            assert_eq!(backoff.failed(START, now), Duration::ZERO);
        }
        // Their successors are killed as well: this counts as one failure.
        for n in 101..=200 {
            let now = START + Duration::from_secs(n);
            let started = START + Duration::from_secs(50);
            assert_eq!(backoff.failed(started, now), Duration::ZERO);
        }
        // The pause applies to all replicas of the set.
        let now = START + Duration::from_secs(300);
        pauses(&mut backoff, now, 8);
        assert!(backoff.failed(START, now) > Duration::from_secs(1));
    }
}
