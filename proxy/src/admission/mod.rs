//! Admission: a request gets a replica, or waits in line for one.
//!
//! A [`Pool`] has a model's ready replicas and the line of held requests. A
//! request takes one that its server's strategy chooses ([`balance`]). If none
//! has room, or others wait already, it is held (`hold_queue`): first come, first
//! served, bounded in number and time.

pub mod balance;
mod hold_queue;
mod retry_budget;

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use tailback_scaler::replica::{Replica, Traffic};

use self::hold_queue::HoldQueue;
pub use self::{hold_queue::Ticket, retry_budget::RetryBudget};

/// Why nobody can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// As many as may wait do.
    Full,
    /// Its models have other pools, or none.
    Closed,
}

/// Replicas that take requests, and requests that wait for them.
#[derive(Debug, Default)]
pub struct Pool {
    replicas: ArcSwap<Vec<Arc<Replica>>>,
    /// Grows with each change of `replicas`, after it.
    version: AtomicU64,
    /// Length of `line`, to be looked at without the lock.
    waiting: AtomicU32,
    /// Only held requests, and those that find some, take the lock.
    queue: Mutex<HoldQueue>,
}

impl Pool {
    /// The replicas that take requests.
    #[must_use]
    pub fn replicas(&self) -> Arc<Vec<Arc<Replica>>> {
        self.replicas.load_full()
    }

    /// Changes when the replicas have.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether requests wait, so that a new one has to as well.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Gives back a permit taken of `replica`. If requests wait, the first one
    /// gets a permit.
    pub fn release(&self, replica: &Replica) {
        // A read-modify-write, before the look at `waiting`: see `join`.
        replica.release();
        if self.has_waiters() {
            self.serve_queue();
        }
    }

    /// Takes a place at the end of the line. `full` is asked under the lock
    /// whether there is none left.
    ///
    /// The place is announced in `waiting` first; then permits are looked for
    /// with [`Replica::try_take_announced`]. So either that look finds a permit
    /// freed meanwhile, or whoever freed it finds the line.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn join(self: &Arc<Self>, full: impl FnOnce() -> bool) -> Result<Ticket, NotQueued> {
        let place = {
            let mut queue = self.lock();
            if queue.is_closed() {
                return Err(NotQueued::Closed);
            }
            if full() {
                return Err(NotQueued::Full);
            }
            let (id, granted) = queue.join();
            self.waiting.store(queue.len(), Ordering::Relaxed);
            Ticket::new(self.clone(), id, granted)
        };
        self.serve_queue();
        Ok(place)
    }

    /// Nothing waits here any more: who does finds another pool, or an end.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.close();
        self.waiting.store(0, Ordering::Relaxed);
    }

    /// Gives free permits to held requests, first come, first served.
    fn serve_queue(&self) {
        let replicas = self.replicas.load();
        let mut queue = self.lock();
        while !queue.is_empty() {
            let Some(replica) = balance::take_announced(&replicas) else {
                break;
            };
            if let Err(unwanted) = queue.grant(replica) {
                unwanted.release();
            }
        }
        self.waiting.store(queue.len(), Ordering::Relaxed);
    }

    /// A held request leaves without a permit.
    fn leave(&self, id: u64) {
        let mut queue = self.lock();
        queue.leave(id);
        self.waiting.store(queue.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HoldQueue> {
        // Whole at any time: each change of the line is one call.
        self.queue.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Traffic for Pool {
    fn set_replicas(&self, ready: &[Arc<Replica>]) {
        self.replicas.store(Arc::new(ready.to_vec()));
        self.version.fetch_add(1, Ordering::Release);
        self.serve_queue();
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

    #[tokio::test]
    async fn line_is_served_in_order_as_slots_come_free() {
        let (pool, replica) = pool(1);
        assert!(replica.try_take());
        let first = pool.join(|| false).unwrap();
        let second = pool.join(|| false).unwrap();
        assert!(pool.has_waiters());
        pool.release(&replica);
        let granted = first.granted().await.unwrap();
        assert_eq!((granted.name(), replica.in_flight()), ("m-0", 1));
        pool.release(&granted);
        second.granted().await.unwrap();
        assert!(!pool.has_waiters());
    }

    #[tokio::test]
    async fn who_leaves_the_line_gives_back_place_and_slot() {
        let (pool, replica) = pool(1);
        assert!(replica.try_take());
        let gone = pool.join(|| false).unwrap();
        drop(gone);
        assert!(!pool.has_waiters());
        // Granted, and gone before it could take the grant.
        let granted = pool.join(|| false).unwrap();
        let next = pool.join(|| false).unwrap();
        pool.release(&replica);
        drop(granted);
        let replica = tokio::time::timeout(Duration::from_secs(5), next.granted())
            .await
            .unwrap()
            .unwrap();
        pool.release(&replica);
        assert_eq!(replica.in_flight(), 0);
    }

    #[tokio::test]
    async fn newly_ready_replica_gets_no_more_than_its_concurrency() {
        let pool = Arc::new(Pool::default());
        let places: Vec<_> = (0..5).map(|_| pool.join(|| false).unwrap()).collect();
        let replica = Arc::new(Replica::new("m-0", "127.0.0.1:1", Some(2)));
        pool.set_replicas(std::slice::from_ref(&replica));
        assert_eq!(replica.in_flight(), 2);
        assert!(pool.has_waiters());
        drop(places);
        assert_eq!(replica.in_flight(), 0, "the granted slots came back");
    }

    #[test]
    fn full_line_takes_nobody() {
        let (pool, _) = pool(1);
        assert_eq!(pool.join(|| true).unwrap_err(), NotQueued::Full);
    }

    #[tokio::test]
    async fn closed_pool_sends_away_who_waits_and_who_comes() {
        let pool = Arc::new(Pool::default());
        let waiting = pool.join(|| false).unwrap();
        pool.close();
        assert!(waiting.granted().await.is_none());
        assert!(!pool.has_waiters());
        assert_eq!(pool.join(|| false).unwrap_err(), NotQueued::Closed);
    }
}
