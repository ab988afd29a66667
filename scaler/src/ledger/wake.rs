//! The bell that data-plane threads ring to wake the scaler.

use std::sync::Arc;
use tokio::sync::Notify;

/// A bell. Rings that come before the sleeper wakes are one ring. Clones ring
/// the same bell.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Wakes the sleeper, or makes its next sleep end at once. Never waits.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Sleeps until the bell rings. For one sleeper.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}
