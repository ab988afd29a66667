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
    /// From the arrival until the request's body is there and it may go to a replica.
    receiving: Account,
    /// The demand of this shard at which the scaler is woken.
    wake_at: AtomicI64,
}

/// A consistent state of one shard, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShardCut {
    pub inside: Cut,
    pub held: Cut,
    pub receiving: Cut,
}

// === impl ShardCut ===

impl ShardCut {
    /// A number that grows with every write.
    pub(super) fn version(&self) -> u64 {
        let slow = self.held.version().wrapping_add(self.receiving.version());
        self.inside.version().wrapping_add(slow)
    }
}

impl AddAssign for ShardCut {
    fn add_assign(&mut self, other: Self) {
        self.inside += other.inside;
        self.held += other.held;
        self.receiving += other.receiving;
    }
}

// === impl Shard ===

impl Default for Shard {
    fn default() -> Self {
        Self {
            inside: Account::default(),
            held: Account::default(),
            receiving: Account::default(),
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
        self.crosses(in_flight - self.receiving.inside())
    }

    /// Counts an arrival at `now` whose body has not come; see [`ready`](Self::ready).
    #[inline]
    pub(super) fn arrive_unready(&self, now: Nanos) {
        // In this order, so that no reading has more `receiving` than `inside`.
        self.inside.enter(now);
        self.receiving.enter(now);
    }

    /// The body of a request that [arrived unready](Self::arrive_unready) is there at `now`.
    /// Returns whether the mark is crossed, as [`arrive`](Self::arrive) does.
    #[inline]
    pub(super) fn ready(&self, now: Nanos) -> bool {
        self.receiving.leave(now);
        self.inside.synchronise();
        self.crosses(self.demand())
    }

    /// A request that [arrived unready](Self::arrive_unready) ends at `now`, before its body has
    /// come.
    pub(super) fn leave_unready(&self, now: Nanos) {
        // In this order, so that no reading has more `receiving` than `inside`.
        self.receiving.leave(now);
        self.inside.leave(now);
    }

    #[inline]
    fn crosses(&self, demand: i64) -> bool {
        demand >= self.wake_at.load(Ordering::Relaxed) && self.disarm()
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
            receiving: self.receiving.cut()?,
        })
    }

    /// As [`ShardCut::version`].
    pub(super) fn version(&self) -> u64 {
        let slow = self.held.version().wrapping_add(self.receiving.version());
        self.inside.version().wrapping_add(slow)
    }

    /// This shard's part of the demand: all requests but those whose body has not come. Negative
    /// if requests enter by another shard and leave by this one.
    pub(super) fn demand(&self) -> i64 {
        self.inside.inside() - self.receiving.inside()
    }

    /// Sets the mark: the demand of this shard at which the scaler is woken. A reading after this
    /// call sees every arrival that did not see the mark.
    pub(super) fn arm(&self, mark: i64) {
        self.wake_at.store(mark, Ordering::Relaxed);
        self.inside.synchronise();
    }
}
