//! The wake-up that data-plane threads send to the scaler.

use std::sync::Arc;
use tokio::sync::Notify;

/// A bell that wakes the scaler. Several rings before it wakes count as one. Clones ring the same
/// bell.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Wakes the scaler, or makes its next sleep end at once. Never blocks.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Sleeps until the bell rings. Only one task may sleep.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}
