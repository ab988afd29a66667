//! Counts entries, exits and the time between them, in plain counters with a single writer.

use std::ops::AddAssign;

use crate::{
    clock::Nanos,
    sync::{AtomicU64, Ordering},
};

/// How many requests have entered and left, and the integral over time of how many were inside.
/// All counters wrap: use only differences and sums.
///
/// `entered`/`left`, `integral` and `done` are written in this order and read in the opposite
/// order. `done` counts the entries and exits that were written completely. If a reader finds
/// `done == entered + left`, the `integral` that it has read belongs to them (see
/// [`Account::cut`]).
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
    /// A number that grows with every entry and exit.
    pub(super) fn version(&self) -> u64 {
        self.entered.wrapping_add(self.left)
    }

    /// How many requests are inside.
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

    /// As [`enter`](Self::enter), ordered against [`synchronise`](Self::synchronise). Returns how
    /// many are inside by this account alone.
    #[inline]
    pub(super) fn enter_ordered(&self, now: Nanos) -> i64 {
        // The only read-modify-write that a request costs.
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
    /// A state that this account had at one instant, or `None` if its writer was in the middle of
    /// a write.
    ///
    /// Proof: let `done` be k, so the first k writes are visible. If `integral` came from a later
    /// write, the loads that follow would see that write's counter, which was stored before it
    /// with Release. The sum would then not be k.
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
        // Exits are loaded first, so that for each exit its entry is seen too.
        let left = self.left.load(Ordering::Acquire);
        self.entered.load(Ordering::Acquire).wrapping_add(left)
    }

    /// Entries minus exits of this account. Negative if requests enter by another account and
    /// leave by this one.
    pub(super) fn inside(&self) -> i64 {
        let left = self.left.load(Ordering::Acquire);
        self.entered.load(Ordering::Acquire).wrapping_sub(left) as i64
    }

    /// Puts the caller into one order with all [ordered](Self::enter_ordered) entries.
    ///
    /// The addition of 0 is a read-modify-write of the counter that entries modify. An entry
    /// later in that counter's order sees what the caller wrote before this call. An earlier
    /// entry is seen by a load of the counter after this call. So at least one side sees the
    /// other, without a fence on the hot path.
    pub(super) fn synchronise(&self) {
        self.entered.fetch_add(0, Ordering::AcqRel);
    }
}
