//! Entries, exits and the time between them: plain counters with a single writer.

use std::ops::AddAssign;

use crate::{
    clock::Nanos,
    sync::{AtomicU64, Ordering},
};

/// How many came in and went out, and the integral over time of how many were
/// inside. All counters wrap; only differences and sums matter.
///
/// `entered`/`left`, `integral` and `done` are written in this order, and read in
/// the opposite order. `done` is how many of the former two were fully written: a
/// reader that finds `done == entered + left` has an `integral` that belongs to
/// them (see [`Account::cut`]).
#[derive(Debug)]
pub(super) struct Account {
    entered: AtomicU64,
    left: AtomicU64,
    /// Sum of the times of exits minus sum of the times of entries, in ns.
    integral: AtomicU64,
    done: AtomicU64,
}

/// A consistent state of one account, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub entered: u64,
    pub left: u64,
    pub integral: u64,
}

// === impl Cut ===

impl Cut {
    /// Grows with every entry and exit.
    pub(super) fn version(&self) -> u64 {
        self.entered.wrapping_add(self.left)
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> u64 {
        self.entered.wrapping_sub(self.left)
    }
}

impl AddAssign for Cut {
    fn add_assign(&mut self, other: Self) {
        self.entered = self.entered.wrapping_add(other.entered);
        self.left = self.left.wrapping_add(other.left);
        self.integral = self.integral.wrapping_add(other.integral);
    }
}

// === impl Account ===

// Loom's atomics have no derivable default.
impl Default for Account {
    fn default() -> Self {
        Self {
            entered: AtomicU64::new(0),
            left: AtomicU64::new(0),
            integral: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }
}

/// Adds to a counter that only the calling thread writes: a load and a store,
/// several times cheaper than an atomic read-modify-write.
fn add(counter: &AtomicU64, n: u64) {
    let next = counter.load(Ordering::Relaxed).wrapping_add(n);
    counter.store(next, Ordering::Release);
}

// The writer's side: one thread at a time.
impl Account {
    /// Counts an entry at `now`.
    pub(super) fn enter(&self, now: Nanos) {
        add(&self.entered, 1);
        self.finish(now.0.wrapping_neg());
    }

    /// Counts an entry at `now`, ordered against [`synchronise`](Self::synchronise).
    /// Returns how many are inside by this account.
    #[inline]
    pub(super) fn enter_ordered(&self, now: Nanos) -> i64 {
        // The one read-modify-write of a request's way.
        let entered = self.entered.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        self.finish(now.0.wrapping_neg());
        entered.wrapping_sub(self.left.load(Ordering::Relaxed)) as i64
    }

    /// Counts an exit at `now`.
    #[inline]
    pub(super) fn leave(&self, now: Nanos) {
        add(&self.left, 1);
        self.finish(now.0);
    }

    #[inline]
    fn finish(&self, integral: u64) {
        add(&self.integral, integral);
        add(&self.done, 1);
    }
}

// The readers' side: any thread.
impl Account {
    /// A state this account had, or `None` if the writer was in the middle.
    ///
    /// Let `done` be k: the first k writes happened before. Were `integral` of a
    /// later write, its counter, stored before with Release, would be seen by
    /// the loads that follow, and the sum would not be k.
    pub(super) fn cut(&self) -> Option<Cut> {
        let done = self.done.load(Ordering::Acquire);
        let integral = self.integral.load(Ordering::Acquire);
        let left = self.left.load(Ordering::Acquire);
        let entered = self.entered.load(Ordering::Acquire);
        let cut = Cut {
            entered,
            left,
            integral,
        };
        (cut.version() == done).then_some(cut)
    }

    /// As [`Cut::version`].
    pub(super) fn version(&self) -> u64 {
        // Exits first: an exit that is seen has its entry seen.
        let left = self.left.load(Ordering::Acquire);
        self.entered.load(Ordering::Acquire).wrapping_add(left)
    }

    /// How many are inside by this account: negative where more leave than enter here.
    pub(super) fn inside(&self) -> i64 {
        let left = self.left.load(Ordering::Acquire);
        self.entered.load(Ordering::Acquire).wrapping_sub(left) as i64
    }

    /// Puts the caller in one order with all [ordered](Self::enter_ordered) entries.
    ///
    /// The addition of 0 is a read-modify-write on the counter that entries modify.
    /// An entry after it in that counter's order acquires what the caller wrote
    /// before; one before it is seen by whoever loads the counter after this call.
    /// So no entry is missed by both sides, without a fence on the hot path.
    pub(super) fn synchronise(&self) {
        self.entered.fetch_add(0, Ordering::AcqRel);
    }
}
