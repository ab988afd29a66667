//! One worker's part of a ledger: accounts with a single writer, and a wake-up mark.

use std::ops::AddAssign;

use super::account::{Account, Cut};
use crate::{
    clock::Nanos,
    sync::{AtomicI64, Ordering},
};

/// No crossing is being waited for.
const DISARMED: i64 = i64::MAX;

/// Counters of one writing thread.
#[derive(Debug)]
pub(super) struct Shard {
    /// From arrival to completion.
    inside: Account,
    /// Of those, the time they wait for a replica.
    held: Account,
    /// The in-flight of this shard at which the scaler wants to be woken.
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
    /// Grows with every write.
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
    /// Counts an arrival at `now`. Returns whether it crosses the mark, which
    /// it says once for each time the mark was set.
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

    /// A request waits from `now` on.
    pub(super) fn hold(&self, now: Nanos) {
        self.held.enter(now);
    }

    /// A request's wait ends at `now`.
    pub(super) fn release(&self, now: Nanos) {
        self.held.leave(now);
    }
}

// The readers' side: any thread.
impl Shard {
    /// A state that both accounts had, or `None` if the writer was in the middle of one.
    /// That both had it at one instant is for [`version`](Self::version) to prove.
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

    /// Sets the mark `share` arrivals above the shard's present in-flight. An arrival
    /// that does not see it is seen by who reads the shard after this call.
    pub(super) fn arm(&self, share: u64) {
        let mark = self.inside.inside().saturating_add_unsigned(share);
        self.wake_at.store(mark, Ordering::Relaxed);
        self.inside.synchronise();
    }
}
