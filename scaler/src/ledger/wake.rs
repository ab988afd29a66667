//! The wake-up that data-plane threads send to the scaler.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::Notify;

/// A bell that wakes the scaler. Several rings before it wakes count as one. Clones ring the same
/// bell.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Bell>);

#[derive(Debug, Default)]
struct Bell {
    notify: Notify,
    /// The numbers of the ledgers that rang. Locked only to add one, and to take all.
    rung: Mutex<BTreeSet<u64>>,
}

impl Wake {
    /// Wakes the scaler, or makes its next sleep end at once. `ledger` is the
    /// [number](super::Ledger::number) of the ledger that rings.
    pub fn ring(&self, ledger: u64) {
        self.lock().insert(ledger);
        self.0.notify.notify_one();
    }

    /// Sleeps until the bell rings. Returns the numbers of the ledgers that rang. Only one task may
    /// sleep.
    pub async fn rung(&self) -> BTreeSet<u64> {
        self.0.notify.notified().await;
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.rung.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_that_rang_are_told_once() {
        let wake = Wake::default();
        for ledger in [7, 3, 7] {
            wake.ring(ledger);
        }
        assert_eq!(wake.rung().await, BTreeSet::from([3, 7]));
        let clone = wake.clone();
        let (rung, ()) = tokio::join!(wake.rung(), async { clone.ring(5) });
        assert_eq!(rung, BTreeSet::from([5]));
    }
}
