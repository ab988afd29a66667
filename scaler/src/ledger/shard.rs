//! One worker's part of a ledger: plain counters with a single writer.

use std::ops::AddAssign;

use crate::{
    clock::Nanos,
    sync::{AtomicI64, AtomicU64, Ordering},
};

/// No crossing is being waited for.
const DISARMED: i64 = i64::MAX;

/// Counters of one writing thread. All wrap; only differences and sums matter.
///
/// `arrived`/`completed`, `in_flight_integral` and `done` are written in this order, and read
/// in the opposite order. `done` is how many of the former two were fully
/// written: a reader that finds `done == arrived + completed` has an `in_flight_integral`
/// that belongs to them (see [`Shard::cut`]).
#[derive(Debug)]
pub(super) struct Shard {
    arrived: AtomicU64,
    completed: AtomicU64,
    /// Sum of completion times minus sum of arrival times, in ns.
    in_flight_integral: AtomicU64,
    done: AtomicU64,
    held: AtomicU64,
    released: AtomicU64,
    /// The in-flight of this shard at which the scaler wants to be woken.
    wake_at: AtomicI64,
}

/// A consistent state of one shard, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub arrived: u64,
    pub completed: u64,
    pub in_flight_integral: u64,
}

impl Cut {
    pub(super) fn version(&self) -> u64 {
        self.arrived.wrapping_add(self.completed)
    }
}

impl AddAssign for Cut {
    fn add_assign(&mut self, other: Self) {
        self.arrived = self.arrived.wrapping_add(other.arrived);
        self.completed = self.completed.wrapping_add(other.completed);
        self.in_flight_integral = self
            .in_flight_integral
            .wrapping_add(other.in_flight_integral);
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            arrived: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            in_flight_integral: AtomicU64::new(0),
            done: AtomicU64::new(0),
            held: AtomicU64::new(0),
            released: AtomicU64::new(0),
            wake_at: AtomicI64::new(DISARMED),
        }
    }
}

/// Adds to a counter that only the calling thread writes: a load and a store,
/// several times cheaper than an atomic read-modify-write.
fn add(counter: &AtomicU64, n: u64) {
    let next = counter.load(Ordering::Relaxed).wrapping_add(n);
    counter.store(next, Ordering::Release);
}

// === the writer's side: one thread at a time ===

impl Shard {
    /// Counts an arrival at `now`. Returns whether it crosses the mark, which
    /// it says once for each time the mark was set.
    #[inline]
    pub(super) fn arrive(&self, now: Nanos) -> bool {
        // The one read-modify-write of a request's way: it orders this arrival
        // against `arm`.
        let arrived = self.arrived.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        add(&self.in_flight_integral, now.0.wrapping_neg());
        add(&self.done, 1);
        let in_flight = arrived.wrapping_sub(self.completed.load(Ordering::Relaxed)) as i64;
        in_flight >= self.wake_at.load(Ordering::Relaxed) && self.disarm()
    }

    #[cold]
    fn disarm(&self) -> bool {
        self.wake_at.swap(DISARMED, Ordering::Relaxed) != DISARMED
    }

    /// Counts a completion at `now`.
    #[inline]
    pub(super) fn complete(&self, now: Nanos) {
        add(&self.completed, 1);
        add(&self.in_flight_integral, now.0);
        add(&self.done, 1);
    }

    pub(super) fn hold(&self) {
        add(&self.held, 1);
    }

    pub(super) fn release(&self) {
        add(&self.released, 1);
    }
}

// === the readers' side: any thread ===

impl Shard {
    /// A state this shard had, or `None` if the writer was in the middle.
    ///
    /// Let `done` be k: the first k writes happened before. Were `in_flight_integral` of a
    /// later write, its counter, stored before with Release, would be seen by
    /// the loads that follow, and the sum would not be k.
    pub(super) fn cut(&self) -> Option<Cut> {
        let done = self.done.load(Ordering::Acquire);
        let in_flight_integral = self.in_flight_integral.load(Ordering::Acquire);
        let completed = self.completed.load(Ordering::Acquire);
        let arrived = self.arrived.load(Ordering::Acquire);
        let cut = Cut {
            arrived,
            completed,
            in_flight_integral,
        };
        (cut.version() == done).then_some(cut)
    }

    /// Grows with every write.
    pub(super) fn version(&self) -> u64 {
        // Completed first: a completion that is seen has its arrival seen.
        let completed = self.completed.load(Ordering::Acquire);
        self.arrived.load(Ordering::Acquire).wrapping_add(completed)
    }

    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    pub(super) fn released(&self) -> u64 {
        self.released.load(Ordering::Acquire)
    }

    /// Sets the mark `share` arrivals above the shard's present in-flight.
    ///
    /// The addition of 0 is a read-modify-write on the counter that arrivals
    /// modify. An arrival after it in that counter's order acquires the mark;
    /// one before it is seen by whoever loads the counter after this call. So
    /// no arrival is missed by both sides, without a fence on the hot path.
    pub(super) fn arm(&self, share: u64) {
        let completed = self.completed.load(Ordering::Acquire);
        let arrived = self.arrived.load(Ordering::Acquire);
        let mark = (arrived.wrapping_sub(completed) as i64).saturating_add_unsigned(share);
        self.wake_at.store(mark, Ordering::Relaxed);
        self.arrived.fetch_add(0, Ordering::AcqRel);
    }
}
