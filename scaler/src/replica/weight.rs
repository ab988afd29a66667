//! How large a share of the load a replica takes beside the others.

use super::Replica;
use crate::sync::{AtomicU32, Ordering};

/// A share of the load, in percent of that of other replicas: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// As much as any other replica.
    pub const FULL: Self = Self(100);

    /// So many percent, within 1 to 100.
    #[must_use]
    pub fn from_percent(percent: u32) -> Self {
        Self(percent.clamp(1, 100))
    }

    /// 1 to 100.
    #[must_use]
    pub fn percent(self) -> u32 {
        self.0
    }

    /// Whether it is as much as any other replica's.
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
    /// Its share of the load; less than full in slow start.
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight(self.weight.0.load(Ordering::Relaxed))
    }

    /// Changes its share of the load.
    pub fn set_weight(&self, weight: Weight) {
        // Written only if it changes: all workers have the line.
        if self.weight.0.load(Ordering::Relaxed) != weight.0 {
            self.weight.0.store(weight.0, Ordering::Relaxed);
        }
    }
}
