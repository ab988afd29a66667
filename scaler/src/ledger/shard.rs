//! One worker's shard of a ledger: accounts with a single writer, and a wake-up mark.

use std::ops::AddAssign;

use super::account::{Account, Cut};
use crate::{
    clock::Nanos,
    sync::{AtomicI64, Ordering},
};

/// The mark while no wake-up is wanted.
const DISARMED: i64 = i64::MAX;

/// Counters of one writing thread.
#[derive(Debug)]
pub(super) struct Shard {
    /// From arrival to completion.
    inside: Account,
    /// From the beginning of a hold to its end.
    held: Account,
    /// The in-flight of this shard at which the scaler is woken.
    wake_at: AtomicI64,
}

/// A consistent state of one shard, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShardCut {
    pub inside: Cut,
    pub held: Cut,
}

// === impl ShardCut ===

impl ShardCut {
    /// A number that grows with every write.
    pub(super) fn version(&self) -> u64 {
        self.inside.version().wrapping_add(self.held.version())
    }
}

impl AddAssign for ShardCut {
    fn add_assign(&mut self, other: Self) {
        self.inside += other.inside;
        self.held += other.held;
    }
}

// === impl Shard ===

impl Default for Shard {
    fn default() -> Self {
        Self {
            inside: Account::default(),
            held: Account::default(),
            wake_at: AtomicI64::new(DISARMED),
        }
    }
}

// The writer's side: one thread at a time.
impl Shard {
    /// Counts an arrival at `now`. Returns whether it crosses the mark; `true` at most once for
    /// each time the mark was set.
    #[inline]
    pub(super) fn arrive(&self, now: Nanos) -> bool {
        let in_flight = self.inside.enter_ordered(now);
        in_flight >= self.wake_at.load(Ordering::Relaxed) && self.disarm()
    }

    #[cold]
    fn disarm(&self) -> bool {
        self.wake_at.swap(DISARMED, Ordering::Relaxed) != DISARMED
    }

    /// Counts a completion at `now`.
    #[inline]
    pub(super) fn complete(&self, now: Nanos) {
        self.inside.leave(now);
    }

    /// Begins the hold of a request at `now`.
    pub(super) fn hold(&self, now: Nanos) {
        self.held.enter(now);
    }

    /// Ends the hold of a request at `now`.
    pub(super) fn release(&self, now: Nanos) {
        self.held.leave(now);
    }
}

// The readers' side: any thread.
impl Shard {
    /// A state of each account, or `None` if the writer was in the middle of a write. An
    /// unchanged [`version`](Self::version) afterwards proves that both were true at one instant.
    pub(super) fn cut(&self) -> Option<ShardCut> {
        Some(ShardCut {
            inside: self.inside.cut()?,
            held: self.held.cut()?,
        })
    }

    /// As [`ShardCut::version`].
    pub(super) fn version(&self) -> u64 {
        self.inside.version().wrapping_add(self.held.version())
    }

    /// Sets the mark `share` arrivals above the shard's current in-flight. A reading after this
    /// call sees every arrival that did not see the mark.
    pub(super) fn arm(&self, share: u64) {
        let mark = self.inside.inside().saturating_add_unsigned(share);
        self.wake_at.store(mark, Ordering::Relaxed);
        self.inside.synchronise();
    }
}
