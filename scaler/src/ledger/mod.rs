//! The ledger: exact, lock-free counts of a model's requests.
//!
//! The data plane writes it when a request arrives, is held, or completes. The scaler and the
//! metrics read it. It knows nothing of HTTP.
//!
//! Each worker thread owns one cache-line-padded [`shard`](self) and is its
//! only writer, so writers never wait for each other nor for readers. A
//! reading is a consistent cut over all shards: in-flight is exact and never
//! negative, and the integral of in-flight over time needs no sampling.

mod account;
mod crossing;
mod guard;
mod reading;
mod shard;
mod thread_number;
mod wake;

#[cfg(all(test, tailback_loom))]
mod loom_tests;

use std::ops::Deref;

use crossbeam_utils::CachePadded;

use self::shard::{Shard, ShardCut};
pub use self::{
    crossing::{Crossing, SpanRef},
    guard::{Held, InFlight},
    reading::Reading,
    wake::Wake,
};
use crate::{
    clock::Nanos,
    sync::{Mutex, MutexGuard, spin},
};

/// The counts of one model.
#[derive(Debug)]
pub struct Ledger {
    number: u64,
    /// One for each worker, and a last one for all other threads.
    shards: Box<[CachePadded<Shard>]>,
    /// Serialises the threads without a shard of their own. Workers never lock it.
    others: Mutex<()>,
    wake: Wake,
    /// The first crossing of the level that has not been taken yet. Locked only when the level is
    /// reached.
    crossing: Mutex<Option<Crossing>>,
}

impl Ledger {
    /// A ledger with a shard for each of `workers` writing threads, up to 1,024. All other
    /// threads share one more shard behind a mutex. `wake` is notified when in-flight reaches the
    /// level set by [`arm`](Self::arm).
    #[must_use]
    pub fn new(workers: usize, wake: Wake) -> Self {
        // An ordinary atomic, not loom's: it orders nothing.
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Self {
            number: LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            shards: (0..=workers)
                .map(|_| CachePadded::new(Shard::default()))
                .collect(),
            others: Mutex::new(()),
            wake,
            crossing: Mutex::new(None),
        }
    }

    /// A number that identifies this ledger within the process.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Counts a request in at `now`. The guard counts it out when it is dropped.
    ///
    /// `ledger` is a cheap reference to the ledger: `&Ledger`, `Arc<Ledger>`, or an `Rc` of the
    /// worker's state of the model.
    ///
    /// ```
    /// use tailback_scaler::{clock::Nanos, ledger::{Ledger, Wake}};
    ///
    /// let ledger = Ledger::new(2, Wake::default());
    /// let request = Ledger::arrive(&ledger, Nanos::now());
    /// assert_eq!(ledger.read().in_flight(), 1); // the lag
    ///
    /// drop(request); // its last byte has been sent, or its caller has gone
    /// assert_eq!(ledger.read().in_flight(), 0);
    /// assert_eq!(ledger.read().completed, 1);
    /// ```
    #[inline]
    pub fn arrive<L: AsRef<Self>>(ledger: L, now: Nanos) -> InFlight<L> {
        Self::arrive_traced(ledger, now, || None)
    }

    /// As [`arrive`](Self::arrive), with the request's span. `span` is called only if this request
    /// reaches the level.
    #[inline]
    pub fn arrive_traced<L: AsRef<Self>>(
        ledger: L,
        now: Nanos,
        span: impl FnOnce() -> Option<SpanRef>,
    ) -> InFlight<L> {
        ledger.as_ref().count_in_traced(now, span);
        InFlight::new(ledger)
    }

    /// Counts a request in at `now`. Each call needs one [`count_out`](Self::count_out); prefer
    /// [`arrive`](Self::arrive).
    #[inline]
    pub fn count_in(&self, now: Nanos) {
        self.count_in_traced(now, || None);
    }

    #[inline]
    fn count_in_traced(&self, now: Nanos, span: impl FnOnce() -> Option<SpanRef>) {
        let crossed = self.write(|shard| shard.arrive(now));
        if crossed {
            self.ring(now, span());
        }
    }

    /// As [`arrive`](Self::arrive), for a request whose body has not come yet. It counts as in
    /// flight, but not as [demand](Reading::demand) until [`InFlight::ready`] is called. If it
    /// ends before that, call [`InFlight::leave_unready_at`] on the thread on which it arrived.
    #[inline]
    pub fn arrive_unready<L: AsRef<Self>>(ledger: L, now: Nanos) -> InFlight<L> {
        ledger.as_ref().write(|shard| shard.arrive_unready(now));
        InFlight::new(ledger)
    }

    /// Counts a request that [arrived unready](Self::arrive_unready) as demand from `now` on. Call
    /// it on the thread on which the request arrived.
    #[inline]
    pub(crate) fn ready(&self, now: Nanos, span: impl FnOnce() -> Option<SpanRef>) {
        if self.write(|shard| shard.ready(now)) {
            self.ring(now, span());
        }
    }

    /// Counts a request out at `now` that [arrived unready](Self::arrive_unready) and never became
    /// [`ready`](Self::ready). Call it on the thread on which the request arrived.
    pub(crate) fn leave_unready(&self, now: Nanos) {
        self.write(|shard| shard.leave_unready(now));
    }

    /// Counts a request out at `now`, on any thread.
    #[inline]
    pub fn count_out(&self, now: Nanos) {
        self.write(|shard| shard.complete(now));
    }

    /// Counts a request as held, from now until the guard is dropped.
    pub fn hold<L: AsRef<Self>>(ledger: L) -> Held<L> {
        ledger.as_ref().hold_at(Nanos::now());
        Held::new(ledger)
    }

    /// Counts a request as held from `now` on. Each call needs one
    /// [`release_at`](Self::release_at); prefer [`hold`](Self::hold).
    pub fn hold_at(&self, now: Nanos) {
        self.write(|shard| shard.hold(now));
    }

    /// Ends the hold of a request at `now`, on any thread.
    pub fn release_at(&self, now: Nanos) {
        self.write(|shard| shard.release(now));
    }

    /// Runs `f` on the shard of the calling thread.
    #[inline]
    fn write<T>(&self, f: impl FnOnce(&Shard) -> T) -> T {
        let last = self.shards.len() - 1;
        match thread_number::of_this_thread() {
            Some(own) if own < last => f(&self.shards[own]),
            _ => {
                // Poisoning does not matter: the shard consists of atomics.
                let _alone = self.others.lock().unwrap_or_else(|e| e.into_inner());
                f(&self.shards[last])
            }
        }
    }

    #[cold]
    fn ring(&self, now: Nanos, span: Option<SpanRef>) {
        // Keeps the first crossing, from which the reaction time is measured. Time and span are
        // stored together, so that they belong to the same arrival.
        self.crossing().get_or_insert(Crossing { at: now, span });
        self.wake.ring(self.number);
    }

    fn crossing(&self) -> MutexGuard<'_, Option<Crossing>> {
        self.crossing.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Requests in flight: arrived minus completed.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.read().in_flight()
    }

    /// A consistent cut of all counts, with the current time.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.read_with(Nanos::now)
    }

    /// As [`read`](Self::read), on the caller's clock. The clock is read after the counts, so
    /// that no counted arrival is later than the reading.
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
                    receiving: cut.receiving.inside(),
                    receiving_integral: cut.receiving.integral,
                };
            }
            spin();
        }
    }

    /// Double collect (Afek et al., "Atomic snapshots of shared memory", 1993): if no shard has
    /// changed between two passes, all values of the first pass were true at the instant between
    /// the passes.
    fn try_cut(&self) -> Option<ShardCut> {
        let mut sum = ShardCut::default();
        // Each shard's version only grows, so an unchanged sum means that none has changed.
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

    /// Requests that are held.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.read().held
    }

    /// Asks for a wake-up when the [demand](Reading::demand) reaches `level`. Returns `true` if it
    /// has been reached already; no wake-up will follow then.
    ///
    /// The room below the level is divided among the shards. The demand cannot reach the level
    /// before some shard has used up its share. That shard wakes the scaler once, which reads the
    /// exact lag and arms again with the remaining room. The wake-up may come early, and is never
    /// missed.
    pub fn arm(&self, level: u64) -> bool {
        loop {
            if self.read().demand().in_flight() >= level {
                return true;
            }
            if arm(&self.shards, level) {
                return false;
            }
            spin();
        }
    }

    /// Takes the arrival that crossed the level. `None` if there was none since the last call.
    pub fn take_crossing(&self) -> Option<Crossing> {
        self.crossing().take()
    }

    /// As [`take_crossing`](Self::take_crossing), but leaves an arrival after `reading`, because
    /// the reading does not count it.
    pub fn take_crossing_of(&self, reading: &Reading) -> Option<Crossing> {
        self.crossing()
            .take_if(|crossing| crossing.at <= reading.at)
    }
}

impl AsRef<Ledger> for Ledger {
    fn as_ref(&self) -> &Ledger {
        self
    }
}

/// Sets the marks of all shards so that one of them is reached before the demand reaches `level`.
/// Returns `false` if a mark was reached meanwhile, perhaps without a wake-up.
///
/// Each shard's mark is `share` above a demand that was read from it once, so that the sum of
/// (mark − 1) over all shards is below the level. This holds whatever arrives and completes while
/// the marks are being set: as long as no mark is reached, the level is not.
fn arm<S: Deref<Target = Shard>>(shards: &[S], level: u64) -> bool {
    let demands: Vec<_> = shards.iter().map(|shard| shard.demand()).collect();
    // The demands were read at different instants, so their sum may never have been true.
    let present: i64 = demands.iter().sum();
    let room = i64::try_from(level)
        .unwrap_or(i64::MAX)
        .saturating_sub(present);
    let Some(room) = u64::try_from(room).ok().filter(|room| *room > 0) else {
        return false;
    };
    let share = room.div_ceil(shards.len() as u64);
    let marks = || {
        demands
            .iter()
            .map(|demand| demand.saturating_add_unsigned(share))
    };
    for (shard, mark) in shards.iter().zip(marks()) {
        shard.arm(mark);
    }
    // An arrival that did not see its shard's mark is seen here: see `Account::synchronise`.
    (shards.iter().zip(marks())).all(|(shard, mark)| shard.demand() < mark)
}

#[cfg(all(test, not(tailback_loom)))]
mod tests;
