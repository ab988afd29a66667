//! A count of replicas that an operator sets for a while, in place of the policy's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A count that an operator has set. Plain data: the admin address shows it, and an upgrade hands
/// it to the next process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualCount {
    /// How many replicas.
    pub replicas: u32,
    /// The end, in seconds since 1970 (UTC).
    pub until: u64,
    /// Who set it: an IP address.
    pub by: String,
}

impl ManualCount {
    /// `replicas` from now on for as long as `lasts`.
    #[must_use]
    pub fn lasting(replicas: u32, lasts: Duration, by: String) -> Self {
        Self {
            replicas,
            until: (since_1970() + lasts).as_secs_f64().ceil() as u64,
            by,
        }
    }

    /// How much of its time is left; `None`: it has ended.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = Duration::from_secs(self.until).saturating_sub(since_1970());
        (!left.is_zero()).then_some(left)
    }
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_for_no_time_is_over() {
        let of = |seconds| ManualCount::lasting(3, Duration::from_secs(seconds), "a".into());
        let left = of(1000).left().unwrap();
        assert!((990..=1001).contains(&left.as_secs()), "{left:?}");
        let past = ManualCount { until: 1, ..of(0) };
        assert_eq!(past.left(), None);
    }
}
