//! Whether a model is active: it has requests in flight, or had some within its inactive time.
//! Pure. The count of arrivals shows every request between two evaluations, however short it was.

use std::time::Duration;

use tailback_scaler::{clock::Nanos, ledger::Reading};

/// The time of a model's last use, as far as evaluations can tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastUse {
    arrived: u64,
    at: Option<Nanos>,
}

impl LastUse {
    /// Updates from `reading`; returns whether the model was in use within `inactive`.
    pub(super) fn is_recent(&mut self, reading: &Reading, inactive: Duration) -> bool {
        if self.arrived != reading.arrived || reading.in_flight() > 0 {
            self.arrived = reading.arrived;
            self.at = Some(reading.at);
        }
        self.at
            .is_some_and(|last| reading.at.since(last) < inactive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_between_two_looks_counts_as_use() {
        let mut last_use = LastUse::default();
        let mut look = |seconds: u64, arrived: u64, completed: u64| {
            let reading = Reading {
                at: Nanos::from_duration(Duration::from_secs(seconds)),
                arrived,
                completed,
                ..Reading::default()
            };
            last_use.is_recent(&reading, Duration::from_secs(10))
        };
        assert!(!look(1, 0, 0), "never used");
        assert!(look(2, 3, 3), "used and done");
        assert!(look(11, 3, 3) && !look(12, 3, 3));
        assert!(
            look(50, 4, 3) && look(70, 4, 3) && look(79, 4, 4),
            "while it runs"
        );
        assert!(!look(80, 4, 4));
    }
}
