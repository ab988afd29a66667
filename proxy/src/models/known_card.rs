//! What a model's replicas have said about it, remembered for as long as its server is the same.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tailback_scaler::clock::Nanos;

use crate::protocol::model_card::ModelCard;

/// How long it is believed before a replica is asked again.
const BELIEVED: Duration = Duration::from_secs(60);

/// A model's card, if a replica has told one. Only requests for the list of models look at it.
#[derive(Debug, Default)]
pub struct KnownCard {
    card: Mutex<ModelCard>,
    /// When a replica was last asked; 0: never.
    asked: AtomicU64,
}

impl KnownCard {
    /// What has been told last.
    #[must_use]
    pub fn get(&self) -> ModelCard {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.clone()
    }

    /// Remembers what a replica says.
    pub fn set(&self, said: ModelCard) {
        *self.card.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    /// Whether it is time to ask a replica, which the caller then has to do: it is said to one
    /// alone.
    #[must_use]
    pub fn is_due(&self, now: Nanos) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        let is_due = asked == 0 || now.since(Nanos(asked)) >= BELIEVED;
        is_due && {
            let claim = self.asked.compare_exchange(
                asked,
                now.0.max(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            claim.is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_asked_once_a_minute() {
        let card = KnownCard::default();
        let at = |seconds| Nanos::from_duration(Duration::from_secs(seconds));
        let due: Vec<_> = [5, 5, 64, 65, 65]
            .map(|seconds| card.is_due(at(seconds)))
            .into();
        assert_eq!(due, [true, false, false, true, false]);
    }
}
