//! Whether a model is in use: has requests, or had some within its inactive
//! time. Nothing is sampled for that: a count of arrivals that is another one
//! than at the last look says that there were some, however short.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tailback_scaler::{clock::Nanos, ledger::Reading};

/// The last use of each model that was asked about.
#[derive(Debug, Default)]
pub(super) struct Activity(Mutex<HashMap<String, Use>>);

#[derive(Clone, Copy, Debug)]
struct Use {
    arrived: u64,
    last: Option<Nanos>,
}

impl Activity {
    /// Whether `model`, whose ledger says `reading`, was in use within `inactive`.
    pub(super) fn is_active(&self, model: &str, reading: &Reading, inactive: Duration) -> bool {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = match models.get_mut(model) {
            Some(used) => used,
            None => models.entry(model.to_owned()).or_insert(Use {
                arrived: 0,
                last: None,
            }),
        };
        if used.arrived != reading.arrived || reading.in_flight() > 0 {
            used.arrived = reading.arrived;
            used.last = Some(reading.at);
        }
        used.last
            .is_some_and(|last| reading.at.since(last) < inactive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_came_and_went_between_two_looks_is_use() {
        let activity = Activity::default();
        let look = |seconds: u64, arrived: u64, completed: u64| {
            let reading = Reading {
                at: Nanos::from_duration(Duration::from_secs(seconds)),
                arrived,
                completed,
                ..Reading::default()
            };
            activity.is_active("m", &reading, Duration::from_secs(10))
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
