//! The metadata that a model's replicas report about it, kept while its server stays the same.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tailback_scaler::clock::Nanos;

use crate::protocol::model_card::ModelCard;

/// How long it is used before a replica is asked again.
const BELIEVED: Duration = Duration::from_secs(60);

/// A model's card, if a replica has reported one. Only requests for the list of models read it.
#[derive(Debug, Default)]
pub struct KnownCard {
    card: Mutex<ModelCard>,
    /// When a replica was last asked; 0: never.
    asked: AtomicU64,
}

impl KnownCard {
    /// The card reported last.
    #[must_use]
    pub fn get(&self) -> ModelCard {
        let card = self.card.lock().unwrap_or_else(PoisonError::into_inner);
        card.clone()
    }

    /// Stores a card that a replica reports.
    pub fn set(&self, said: ModelCard) {
        *self.card.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    /// Whether a replica should be asked again. Returns `true` to one caller only, which must then
    /// ask.
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
