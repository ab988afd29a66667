//! Admission: a request gets a replica, or is held until one has room.
//!
//! A [`Pool`] holds the replicas of a model that take requests, and its queue of held requests. A
//! request takes a permit of the replica that its server's strategy chooses ([`balance`]). If none
//! has room, or others are held already, it is held (`hold_queue`), bounded in number and time:
//! first come, first served, or by classes and tenants ([`fair_queue`]).

pub mod balance;
pub mod fair_queue;
mod health;
mod hold_queue;
mod retry_budget;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tailback_config::{OutlierDetection, SlowStart};
use tailback_scaler::{
    clock::Nanos,
    replica::{
        Replica, Traffic,
        health::{Failure, HealthReport},
    },
};

use self::{fair_queue::WaiterId, health::PoolHealth, hold_queue::HoldQueue};
pub use self::{
    hold_queue::{Granted, Held, InService, Ticket},
    retry_budget::RetryBudget,
};

/// Why a request cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// The queue is full.
    Full,
    /// The pool is closed: its models have new pools, or have been removed.
    Closed,
}

/// Replicas that take requests, and requests held for them.
#[derive(Debug, Default)]
pub struct Pool {
    /// Replicas that get requests, by their health.
    replicas: ArcSwap<Vec<Arc<Replica>>>,
    /// Incremented after each change of `replicas`.
    version: AtomicU64,
    /// Length of `queue`, readable without its lock.
    waiting: AtomicU32,
    /// Locked only for held requests, and by those that find some.
    queue: Mutex<HoldQueue>,
    /// A reference to itself, set when a request is first held: for hosts that are full.
    own: OnceLock<Weak<Self>>,
    /// The health of all replicas. Only failing requests lock it.
    health: Mutex<PoolHealth>,
    /// After this number of failures in a row, and its multiples, `health` is told; 0: never.
    threshold: AtomicU32,
    /// When `health` must be reviewed next, in ns of the process's clock.
    review_at: AtomicU64,
}

impl Pool {
    /// Sets the rules for ejecting failing replicas (`None`: never), and for the growing share of
    /// replicas that are new or back (`None`: a full share at once).
    pub fn configure(
        &self,
        outlier_detection: Option<OutlierDetection>,
        slow_start: Option<SlowStart>,
    ) {
        let now = Nanos::now();
        self.with_health(now, |health| {
            health.configure(outlier_detection, slow_start, now);
        });
    }

    /// The number of replicas, healthy or not.
    #[must_use]
    pub fn size(&self) -> usize {
        self.health().replicas().len()
    }

    /// The number of ejections, by the label of their reason.
    #[must_use]
    pub fn ejections(&self) -> [(&'static str, u64); 6] {
        self.health().ejections()
    }

    /// A request has failed because of `replica`, which is ejected if it fails more than others.
    pub fn failed(&self, replica: &Replica, failure: Failure) {
        let now = Nanos::now();
        let in_a_row = replica.health().failed(failure, now);
        let threshold = self.threshold.load(Ordering::Relaxed);
        if failure == Failure::Connect || (threshold > 0 && in_a_row.is_multiple_of(threshold)) {
            self.with_health(now, |health| health.failed(replica, failure, now));
        }
    }

    /// `replica` asks for no requests for this time. Other replicas, if there are any, get its
    /// requests.
    pub fn back_off(&self, replica: &Replica, time: Duration) {
        let now = Nanos::now();
        self.with_health(now, |health| health.back_off(replica, now + time, now));
    }

    /// The replicas that get requests.
    #[must_use]
    pub fn replicas(&self) -> Arc<Vec<Arc<Replica>>> {
        self.replicas.load_full()
    }

    /// A number that changes after the replicas have changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether requests are held, so that a new one must be held as well.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Releases a permit of `replica`, which a held request gets if there is one. `in_service` is
    /// what came with the permit of a held request.
    pub fn release(&self, replica: &Replica, in_service: Option<InService>) {
        if let Some(in_service) = in_service {
            self.lock().settle(in_service, Nanos::now());
        }
        // A read-modify-write before `waiting` is read: see `join`.
        if let Some(host) = replica.release() {
            // Before the pool's own held requests, so that shared slots go round.
            host.offer_slots();
        }
        if self.has_waiters() {
            self.serve_queue();
        }
    }

    /// Serves held requests that missed a free slot because of a request outside the queue. Such a
    /// request must call this after its attempts to take a permit, whatever their result.
    ///
    /// An attempt may take a slot of a replica for a moment, and give it back because the
    /// replica's host is full. A held request that read the replica's load in that moment found no
    /// room there, and does not wait for the host. But it was counted in `waiting` before, so it
    /// is noticed here.
    pub fn serve_overlooked(&self) {
        if self.has_waiters() {
            let replicas = self.replicas.load();
            if replicas.iter().any(|replica| replica.is_bounded_by_host()) {
                self.serve_queue();
            }
        }
    }

    /// Joins the queue, for any replica, or only for one while that gets requests. `is_full` is
    /// called under the lock and returns whether the queue is full; then another request may be
    /// removed to make room. `joined` is called under the lock as well.
    ///
    /// The request is first counted in `waiting`; then permits are taken with
    /// [`Replica::try_take_announced`]. So either that attempt finds a permit that was released
    /// meanwhile, or the release finds the queue.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn join(
        self: &Arc<Self>,
        held: Held,
        is_full: impl FnOnce() -> bool,
        joined: impl FnOnce(),
    ) -> Result<Ticket, NotQueued> {
        let place = {
            let mut queue = self.lock();
            if queue.is_closed() {
                return Err(NotQueued::Closed);
            }
            if is_full() && !queue.shed_for(&held) {
                return Err(NotQueued::Full);
            }
            self.own.get_or_init(|| Arc::downgrade(self));
            joined();
            let (id, granted) = queue.join(held);
            self.waiting.store(queue.len(), Ordering::Relaxed);
            Ticket::new(self.clone(), id, granted)
        };
        self.serve_queue();
        Ok(place)
    }

    /// Closes the pool: held requests leave without a permit, and no more are held.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.close();
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// Grants free permits to held requests, each to the one whose turn it is.
    fn serve_queue(&self) {
        let replicas = self.replicas.load();
        let take = |awaited| balance::take_announced(&replicas, awaited);
        let mut queue = self.lock();
        let mut hosts = queue.serve(take);
        if queue.len() > 0 && self.await_hosts(&replicas) {
            // A slot may have become free before the hosts knew of the waiting pool.
            hosts.extend(queue.serve(take));
        }
        self.waiting.store(queue.len(), Ordering::Relaxed);
        drop(queue);
        for host in hosts {
            host.offer_slots();
        }
    }

    /// Registers with the hosts of replicas that are not full themselves, to be offered their free
    /// slots. Returns whether there are such hosts.
    fn await_hosts(&self, replicas: &[Arc<Replica>]) -> bool {
        let Some(own) = self.own.get() else {
            return false;
        };
        let own: Weak<dyn Traffic> = own.clone();
        let waits = |replica: &Arc<Replica>| replica.await_host(&own);
        replicas.iter().filter(|replica| waits(replica)).count() > 0
    }

    /// Removes a held request that has no permit.
    fn leave(&self, id: WaiterId) {
        let mut queue = self.lock();
        queue.leave(id);
        self.waiting.store(queue.len(), Ordering::Relaxed);
    }

    /// Changes the replicas' health, and then grants held requests permits of replicas that may
    /// get requests now.
    fn with_health(&self, now: Nanos, change: impl FnOnce(&mut PoolHealth)) {
        let same = {
            let mut health = self.health();
            change(&mut health);
            health.weigh(now);
            let threshold = health.threshold().unwrap_or(0);
            self.threshold.store(threshold, Ordering::Relaxed);
            let due = health.review_at(now);
            self.review_at.store(due.0, Ordering::Relaxed);
            let available = health.available(now);
            let before = self.replicas.load();
            let same = available.len() == before.len()
                && available
                    .iter()
                    .zip(&**before)
                    .all(|(a, b)| Arc::ptr_eq(a, b));
            if !same {
                self.replicas.store(Arc::new(available));
                self.version.fetch_add(1, Ordering::Release);
            }
            same
        };
        // Nothing orders a change of the replicas against the count of waiters but the queue's lock:
        // a request that joins at this moment might not see the one, nor this thread the other.
        if !same || self.has_waiters() {
            self.serve_queue();
        }
    }

    fn health(&self) -> MutexGuard<'_, PoolHealth> {
        // A poisoned lock is fine: at worst, a replica gets requests too early.
        self.health.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn lock(&self) -> MutexGuard<'_, HoldQueue> {
        // A poisoned lock is fine: each change of the queue is one call, so it is always
        // consistent.
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Traffic for Pool {
    fn set_replicas(&self, ready: &[Arc<Replica>]) {
        let now = Nanos::now();
        self.with_health(now, |health| health.set_replicas(ready, now));
        self.serve_queue();
    }

    fn serve_held(&self) {
        self.serve_queue();
    }

    fn refuse_held(&self, why: &Arc<str>) {
        let mut queue = self.lock();
        queue.fail_all(why);
        self.waiting.store(queue.len(), Ordering::Relaxed);
    }

    fn report_health(&self, replica: &Replica, report: HealthReport, now: Nanos) {
        self.with_health(now, |health| health.reported(replica, report, now));
    }

    fn review_health(&self, now: Nanos) {
        if now.0 >= self.review_at.load(Ordering::Relaxed) {
            self.with_health(now, |health| health.review(now));
        }
    }
}

#[cfg(test)]
mod tests;
