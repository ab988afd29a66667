//! Admission: a request gets a replica, or is held until one has room.
//!
//! A [`Pool`] holds the replicas of a model that take requests, and its queue of held requests. A
//! request takes a permit of the replica that its server's strategy chooses ([`balance`]). If none
//! has room, or others are held already, it is held (`hold_queue`): first come, first served,
//! bounded in number and time.

pub mod balance;
mod health;
mod hold_queue;
mod retry_budget;

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tailback_config::OutlierDetection;
use tailback_scaler::{
    clock::Nanos,
    replica::{
        Replica, ReplicaId, Traffic,
        health::{Failure, HealthReport},
    },
};

use self::{health::PoolHealth, hold_queue::HoldQueue};
pub use self::{
    hold_queue::{Granted, Ticket},
    retry_budget::RetryBudget,
};

/// Why a request cannot be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// The queue is full.
    Full,
    /// The pool is closed: its models have other pools, or are gone.
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
    /// The health of all replicas. Only failing requests take the lock.
    health: Mutex<PoolHealth>,
    /// Number of failures in a row, and its multiples, that are reported to `health`; 0: none.
    threshold: AtomicU32,
    /// When `health` must be reviewed next, in ns of the process's clock.
    review_at: AtomicU64,
}

impl Pool {
    /// Sets the rules by which failing replicas are ejected; `None`: never.
    pub fn configure(&self, outlier_detection: Option<OutlierDetection>) {
        let now = Nanos::now();
        self.with_health(now, |health| health.configure(outlier_detection, now));
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

    /// A request has failed by a fault of `replica`, which is ejected if it fails more than others.
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

    /// Changes after the replicas have changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether requests are held, so that a new one must be held as well.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Releases a permit of `replica`. If requests are held, the first one gets it.
    pub fn release(&self, replica: &Replica) {
        // A read-modify-write before `waiting` is read: see `join`.
        replica.release();
        if self.has_waiters() {
            self.serve_queue();
        }
    }

    /// Joins the end of the queue, for any replica, or for one alone as long as that gets requests.
    /// `full` is called under the lock, and says whether the queue is full.
    ///
    /// The request is first counted in `waiting`; then permits are taken with
    /// [`Replica::try_take_announced`]. So either that attempt finds a permit that was released
    /// meanwhile, or the release finds the queue.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn join(
        self: &Arc<Self>,
        awaited: Option<ReplicaId>,
        full: impl FnOnce() -> bool,
    ) -> Result<Ticket, NotQueued> {
        let place = {
            let mut queue = self.lock();
            if queue.is_closed() {
                return Err(NotQueued::Closed);
            }
            if full() {
                return Err(NotQueued::Full);
            }
            let (id, granted) = queue.join(awaited);
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

    /// Grants free permits to held requests, first come, first served.
    fn serve_queue(&self) {
        let replicas = self.replicas.load();
        let mut queue = self.lock();
        queue.serve(|awaited| balance::take_announced(&replicas, awaited));
        self.waiting.store(queue.len(), Ordering::Relaxed);
    }

    /// Removes a held request without a permit.
    fn leave(&self, id: u64) {
        let mut queue = self.lock();
        queue.leave(id);
        self.waiting.store(queue.len(), Ordering::Relaxed);
    }

    /// Changes the replicas' health. Held requests then get permits of the replicas that get
    /// requests.
    fn with_health(&self, now: Nanos, change: impl FnOnce(&mut PoolHealth)) {
        {
            let mut health = self.health();
            change(&mut health);
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
        }
        if self.has_waiters() {
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

    fn refuse_held(&self, why: &Arc<str>) {
        let mut queue = self.lock();
        queue.refuse(why);
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
mod tests {
    use super::*;
    use std::time::Duration;

    fn pool(concurrency: u32) -> (Arc<Pool>, Arc<Replica>) {
        let pool = Arc::new(Pool::default());
        let replica = Arc::new(Replica::new("m-0", "127.0.0.1:1", Some(concurrency)));
        pool.set_replicas(std::slice::from_ref(&replica));
        (pool, replica)
    }

    async fn permit(ticket: Ticket) -> Arc<Replica> {
        match ticket.granted().await {
            Granted::Permit(replica) => replica,
            other => panic!("expected a permit, got {other:?}"),
        }
    }

    #[tokio::test]
    async fn held_requests_hear_why_they_wait_in_vain_and_later_ones_wait() {
        let pool = Arc::new(Pool::default());
        let held = [
            pool.join(None, || false).unwrap(),
            pool.join(None, || false).unwrap(),
        ];
        pool.refuse_held(&Arc::from("no such file"));
        assert!(!pool.has_waiters());
        for ticket in held {
            assert!(
                matches!(ticket.granted().await, Granted::Refused(why) if &*why == "no such file")
            );
        }
        let _later = pool.join(None, || false).unwrap();
        assert!(pool.has_waiters());
    }

    #[tokio::test]
    async fn held_requests_get_permits_in_order_as_slots_are_released() {
        let (pool, replica) = pool(1);
        assert!(replica.try_take());
        let first = pool.join(None, || false).unwrap();
        let second = pool.join(None, || false).unwrap();
        assert!(pool.has_waiters());
        pool.release(&replica);
        let granted = permit(first).await;
        assert_eq!((granted.name(), replica.in_flight()), ("m-0", 1));
        pool.release(&granted);
        permit(second).await;
        assert!(!pool.has_waiters());
    }

    #[tokio::test]
    async fn a_held_request_that_leaves_releases_its_place_and_permit() {
        let (pool, replica) = pool(1);
        assert!(replica.try_take());
        let gone = pool.join(None, || false).unwrap();
        drop(gone);
        assert!(!pool.has_waiters());
        // The permit was granted, but the request left before it took it.
        let granted = pool.join(None, || false).unwrap();
        let next = pool.join(None, || false).unwrap();
        pool.release(&replica);
        drop(granted);
        let replica = tokio::time::timeout(Duration::from_secs(5), permit(next))
            .await
            .unwrap();
        pool.release(&replica);
        assert_eq!(replica.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_request_that_waits_for_one_replica_lets_others_pass_and_gets_it_first() {
        let (pool, one) = pool(1);
        let other = Arc::new(Replica::new("m-1", "127.0.0.1:2", Some(1)));
        pool.set_replicas(&[one.clone(), other.clone()]);
        assert!(one.try_take() && other.try_take());
        let for_one = pool.join(Some(one.id()), || false).unwrap();
        let for_any = pool.join(None, || false).unwrap();
        pool.release(&other);
        assert_eq!(permit(for_any).await.name(), "m-1");
        let late = pool.join(None, || false).unwrap();
        pool.release(&one);
        assert_eq!(permit(for_one).await.name(), "m-0");
        // A replica that has gone is not waited for.
        let for_one = pool.join(Some(one.id()), || false).unwrap();
        pool.set_replicas(std::slice::from_ref(&other));
        pool.release(&other);
        assert_eq!(permit(late).await.name(), "m-1");
        pool.release(&other);
        assert_eq!(permit(for_one).await.name(), "m-1");
        assert!(!pool.has_waiters());
    }

    #[tokio::test]
    async fn newly_ready_replica_gets_no_more_than_its_concurrency() {
        let pool = Arc::new(Pool::default());
        let places: Vec<_> = (0..5).map(|_| pool.join(None, || false).unwrap()).collect();
        let replica = Arc::new(Replica::new("m-0", "127.0.0.1:1", Some(2)));
        pool.set_replicas(std::slice::from_ref(&replica));
        assert_eq!(replica.in_flight(), 2);
        assert!(pool.has_waiters());
        drop(places);
        assert_eq!(replica.in_flight(), 0, "the granted slots came back");
    }

    #[test]
    fn a_full_queue_refuses_requests() {
        let (pool, _) = pool(1);
        assert_eq!(pool.join(None, || true).unwrap_err(), NotQueued::Full);
    }

    #[tokio::test]
    async fn a_closed_pool_drops_held_requests_and_refuses_new_ones() {
        let pool = Arc::new(Pool::default());
        let waiting = pool.join(None, || false).unwrap();
        pool.close();
        assert!(matches!(waiting.granted().await, Granted::Closed));
        assert!(!pool.has_waiters());
        assert_eq!(pool.join(None, || false).unwrap_err(), NotQueued::Closed);
    }
}
