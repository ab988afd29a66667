//! The ledger: exact, lock-free accounts of every request of a model.
//!
//! The data plane writes it (a request arrives, is held, completes), the
//! scaler and the metrics read it. Nothing of HTTP is known here.
//!
//! Each worker thread owns one cache-line-padded [`shard`](self) and is its
//! only writer, so writers never wait for each other nor for readers. A
//! reading is a consistent cut over all shards: in-flight is exact and never
//! negative, and the integral of in-flight over time needs no sampling.

mod account;
mod guard;
mod reading;
mod shard;
mod slot;
mod wake;

#[cfg(all(test, tailback_loom))]
mod loom_tests;

use crossbeam_utils::CachePadded;

use self::shard::{Shard, ShardCut};
pub use self::{
    guard::{Held, InFlight},
    reading::Reading,
    wake::Wake,
};
use crate::{
    clock::Nanos,
    sync::{AtomicU64, Mutex, Ordering, spin},
};

/// The accounts of one model.
#[derive(Debug)]
pub struct Ledger {
    number: u64,
    /// One a worker; the last one is for every other thread.
    shards: Box<[CachePadded<Shard>]>,
    /// Serialises the threads that have no shard of their own. Workers never
    /// take it.
    others: Mutex<()>,
    wake: Wake,
    /// When the last unanswered crossing of the threshold arrived; 0: none.
    crossed: AtomicU64,
}

impl Ledger {
    /// A ledger for `workers` writing threads at full speed, up to 1,024; any other
    /// thread shares one shard behind a mutex. `wake` is rung when in-flight
    /// reaches the level set by [`arm`](Self::arm).
    #[must_use]
    pub fn new(workers: usize, wake: Wake) -> Self {
        // Not loom's: nothing is ordered by it.
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Self {
            number: LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            shards: (0..=workers)
                .map(|_| CachePadded::new(Shard::default()))
                .collect(),
            others: Mutex::new(()),
            wake,
            crossed: AtomicU64::new(0),
        }
    }

    /// Tells it from any other ledger of this process.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Counts a request in, now; the guard counts it out when it is dropped.
    ///
    /// `ledger` is whatever leads to the ledger and is cheap to keep: `&Ledger`,
    /// `Arc<Ledger>`, or an `Rc` of what the worker keeps for the model.
    #[inline]
    pub fn arrive<L: AsRef<Self>>(ledger: L, now: Nanos) -> InFlight<L> {
        ledger.as_ref().count_in(now);
        InFlight::new(ledger)
    }

    /// Counts a request in. Pair it with one [`count_out`](Self::count_out),
    /// or better, use [`arrive`](Self::arrive).
    #[inline]
    pub fn count_in(&self, now: Nanos) {
        let crossed = self.write(|shard| shard.arrive(now));
        if crossed {
            self.ring(now);
        }
    }

    /// Counts a request out, on any thread.
    #[inline]
    pub fn count_out(&self, now: Nanos) {
        self.write(|shard| shard.complete(now));
    }

    /// Counts a request as held, from now until the guard is dropped.
    pub fn hold<L: AsRef<Self>>(ledger: L) -> Held<L> {
        ledger.as_ref().hold_at(Nanos::now());
        Held::new(ledger)
    }

    /// Counts a request as held from `now` on. Pair it with one
    /// [`release_at`](Self::release_at), or better, use [`hold`](Self::hold).
    pub fn hold_at(&self, now: Nanos) {
        self.write(|shard| shard.hold(now));
    }

    /// Counts a request as held no more, on any thread.
    pub fn release_at(&self, now: Nanos) {
        self.write(|shard| shard.release(now));
    }

    /// Runs `f` on the shard that the calling thread alone may write.
    #[inline]
    fn write<T>(&self, f: impl FnOnce(&Shard) -> T) -> T {
        let last = self.shards.len() - 1;
        match slot::of_this_thread() {
            Some(own) if own < last => f(&self.shards[own]),
            _ => {
                // A poisoned lock protects no data: its shard is atomics only.
                let _alone = self.others.lock().unwrap_or_else(|e| e.into_inner());
                f(&self.shards[last])
            }
        }
    }

    #[cold]
    fn ring(&self, now: Nanos) {
        // Keep the first unanswered crossing: reaction time counts from it.
        let _ = self
            .crossed
            .compare_exchange(0, now.0.max(1), Ordering::AcqRel, Ordering::Relaxed);
        self.wake.ring();
    }

    /// Requests now inside: arrived minus completed.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.read().in_flight()
    }

    /// A consistent cut of all counts, stamped with the present.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.read_with(Nanos::now)
    }

    /// As [`read`](Self::read), on the caller's clock. The clock is read after
    /// the counts, so no counted arrival lies in its future.
    pub fn read_with(&self, clock: impl Fn() -> Nanos) -> Reading {
        loop {
            if let Some(cut) = self.try_cut() {
                return Reading {
                    at: clock(),
                    arrived: cut.inside.entered,
                    completed: cut.inside.left,
                    in_flight_integral: cut.inside.integral,
                    held: cut.held.inside(),
                    held_integral: cut.held.integral,
                };
            }
            spin();
        }
    }

    /// Double collect (Afek et al., "Atomic snapshots of shared memory", 1993):
    /// if no shard changed between two passes, all the values read in the
    /// first were true at one instant, the one between the passes.
    fn try_cut(&self) -> Option<ShardCut> {
        let mut sum = ShardCut::default();
        // The shards' versions only grow, so their sum is unchanged only if
        // each of them is.
        let mut version = 0u64;
        for shard in &self.shards {
            let cut = shard.cut()?;
            version = version.wrapping_add(cut.version());
            sum += cut;
        }
        let again = self
            .shards
            .iter()
            .fold(0u64, |v, shard| v.wrapping_add(shard.version()));
        (again == version).then_some(sum)
    }

    /// Requests held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.read().held
    }

    /// Asks to be woken when in-flight reaches `level`. Returns `true` if it
    /// has by now: nobody will ring for that.
    ///
    /// The room below the level is dealt out over the shards. In-flight cannot
    /// reach the level before some shard has used up its part; that shard
    /// rings once, and whoever wakes reads the exact lag and arms again with
    /// what room is left. The ring may come early, and is never missed.
    pub fn arm(&self, level: u64) -> bool {
        let in_flight = self.in_flight();
        if in_flight >= level {
            return true;
        }
        let room = level - in_flight;
        let shards = self.shards.len() as u64;
        // Shares whose sum exceeds `room` by at most `shards - 1` less than
        // what it takes to reach the level unseen: each shard may take
        // `share - 1` arrivals silently.
        let share = room.div_ceil(shards);
        for shard in &self.shards {
            shard.arm(share);
        }
        // What arrived while the marks were being set was seen by neither side
        // unless it is looked at once more. `Account::synchronise` explains why this
        // reading sees every arrival that did not see its mark.
        self.in_flight() >= level
    }

    /// The arrival that crossed the level and has not been answered yet; taken
    /// once.
    pub fn take_crossing(&self) -> Option<Nanos> {
        let at = self.crossed.swap(0, Ordering::AcqRel);
        (at != 0).then_some(Nanos(at))
    }
}

impl AsRef<Ledger> for Ledger {
    fn as_ref(&self) -> &Ledger {
        self
    }
}

#[cfg(all(test, not(tailback_loom)))]
mod tests;
