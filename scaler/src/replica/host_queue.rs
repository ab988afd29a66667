//! Who waits for a slot of a replica that hosts many models, where that has a limit of its own: the
//! pools of its models in which requests are held. A slot that comes free is offered to them in turn.

use std::{
    collections::VecDeque,
    sync::{PoisonError, Weak},
};

use super::{Replica, Traffic, UNLIMITED};
use crate::sync::{AtomicU32, Mutex, Ordering};

/// Pools that wait for a slot of one replica.
#[derive(Debug)]
pub(super) struct HostQueue {
    /// Length of `pools`, readable without its lock.
    len: AtomicU32,
    /// In the order in which they are offered slots. Locked only for held requests, and by those
    /// that find some.
    pools: Mutex<VecDeque<Weak<dyn Traffic>>>,
}

/// By address alone: it is the same pool, whatever its table of functions is.
fn is_same(one: &Weak<dyn Traffic>, other: &Weak<dyn Traffic>) -> bool {
    std::ptr::addr_eq(one.as_ptr(), other.as_ptr())
}

impl HostQueue {
    pub(super) fn new() -> Self {
        Self {
            len: AtomicU32::new(0),
            pools: Mutex::new(VecDeque::new()),
        }
    }

    /// Whether anybody waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    fn join(&self, pool: &Weak<dyn Traffic>) {
        self.change(|pools| {
            if !pools.iter().any(|known| is_same(known, pool)) {
                pools.push_back(pool.clone());
            }
        });
    }

    fn take_all(&self) -> VecDeque<Weak<dyn Traffic>> {
        let mut all = VecDeque::new();
        self.change(|pools| std::mem::swap(pools, &mut all));
        all
    }

    /// Puts pools back that were taken, before those that have come since. A pool that has come again
    /// meanwhile is there once.
    fn put_back(&self, mut first: VecDeque<Weak<dyn Traffic>>) {
        self.change(|pools| {
            pools.retain(|pool| !first.iter().any(|known| is_same(known, pool)));
            first.append(pools);
            std::mem::swap(pools, &mut first);
        });
    }

    fn change(&self, change: impl FnOnce(&mut VecDeque<Weak<dyn Traffic>>)) {
        // A poisoned lock is fine: each change is one call.
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut pools);
        let len = u32::try_from(pools.len()).unwrap_or(u32::MAX);
        self.len.store(len, Ordering::Relaxed);
    }
}

impl Replica {
    /// Whether the replica that hosts it has a limit for all its models together.
    #[must_use]
    pub fn is_bounded_by_host(&self) -> bool {
        let host = self.host.as_ref();
        host.is_some_and(|host| host.limit() < UNLIMITED)
    }

    /// Puts `pool`, which has requests that are held, into the queue for slots of the replica that
    /// hosts this one, if it is only there that a slot is missing. Returns whether it has.
    ///
    /// A slot may have come free before: try [`try_take_announced`](Self::try_take_announced) again
    /// after this. Either that call sees a concurrent release, or the releasing thread sees the pool
    /// in the queue. Where this replica is full itself, who releases it serves the pool, which
    /// comes here again.
    pub fn await_host(&self, pool: &Weak<dyn Traffic>) -> bool {
        let Some(host) = self.host.as_ref().filter(|_| self.is_bounded_by_host()) else {
            return false;
        };
        // The addition of 0 puts this look in one order with all releases.
        let load = self.load.fetch_add(0, Ordering::AcqRel);
        let lacks_host = super::has_room(load, self.limit());
        if lacks_host {
            host.queue.join(pool);
        }
        lacks_host
    }

    /// Offers free slots of this host to the pools that wait for them, one after the other. To be
    /// called without the lock of a pool.
    pub fn offer_slots(&self) {
        while self.queue.is_awaited() {
            let mut waiting = self.queue.take_all();
            while !waiting.is_empty() && self.has_room() {
                // It joins again if it needs more.
                if let Some(pool) = waiting.pop_front().and_then(|pool| pool.upgrade()) {
                    pool.serve_held();
                }
            }
            if waiting.is_empty() {
                return; // those that have come since have tried for themselves
            }
            self.queue.put_back(waiting);
            // A slot that came free while the queue was taken has been offered to nobody. The
            // addition of 0 puts this look in one order with all releases.
            let load = self.load.fetch_add(0, Ordering::AcqRel);
            if !super::has_room(load, self.limit()) {
                return;
            }
        }
    }
}
