//! The weight of a replica in load balancing.

use super::Replica;
use crate::sync::{AtomicU32, Ordering};

/// A replica's weight, in percent of a full one: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// The weight of a replica that is not in slow start.
    pub const FULL: Self = Self(100);

    /// This many percent, limited to 1 to 100.
    #[must_use]
    pub fn from_percent(percent: u32) -> Self {
        Self(percent.clamp(1, 100))
    }

    /// In percent, 1 to 100.
    #[must_use]
    pub fn percent(self) -> u32 {
        self.0
    }

    /// Whether it is the full weight.
    #[must_use]
    pub fn is_full(self) -> bool {
        self == Self::FULL
    }
}

/// The weight of a replica, which the data plane changes while requests read it.
#[derive(Debug)]
pub(super) struct AtomicWeight(AtomicU32);

impl Default for AtomicWeight {
    fn default() -> Self {
        Self(AtomicU32::new(Weight::FULL.0))
    }
}

// === impl Replica ===

impl Replica {
    /// Its weight; below full in slow start.
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight(self.weight.0.load(Ordering::Relaxed))
    }

    /// Changes its weight.
    pub fn set_weight(&self, weight: Weight) {
        // Written only if it changes, because all workers read this cache line.
        if self.weight.0.load(Ordering::Relaxed) != weight.0 {
            self.weight.0.store(weight.0, Ordering::Relaxed);
        }
    }
}
