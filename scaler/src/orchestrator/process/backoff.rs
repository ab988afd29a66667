//! The pause before a failed replica is started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double from 0.25 s to 30 s, each with a jitter of up to a quarter, so that many
/// sets do not restart in step.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes a failure, and returns the pause before the next start.
    pub(super) fn failed(&mut self) -> Duration {
        let wait = FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(0.75 + 0.5 * fastrand::f64())
    }

    /// Notes that a replica has run well: the next pause is short again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit_and_starts_over() {
        let mut backoff = Backoff::default();
        for expected in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let wait = backoff.failed().as_secs_f64();
            assert!(
                (expected * 0.75..=expected * 1.25).contains(&wait),
                "{wait} for {expected}"
            );
        }
        backoff.reset();
        assert!(backoff.failed() < Duration::from_millis(400));
    }
}
