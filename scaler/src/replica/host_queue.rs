//! The queue for slots of a multi-model server's replica that has a limit over all its models. In
//! it are the pools of models with held requests. A free slot is offered to them in turn.

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
    /// In the order in which slots are offered. Only held requests and threads that find some lock
    /// it.
    pools: Mutex<VecDeque<Weak<dyn Traffic>>>,
}

/// Compares the address alone, because one object may have several vtables.
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

    /// Whether any pool waits.
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

    /// Puts pools back that were taken out, before those that joined since. A pool that has joined
    /// again meanwhile is in the queue only once.
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
    /// Whether its host has a limit for all its models together.
    #[must_use]
    pub fn is_bounded_by_host(&self) -> bool {
        let host = self.host.as_ref();
        host.is_some_and(|host| host.limit() < UNLIMITED)
    }

    /// Puts `pool`, which has held requests, into its host's queue, if only the host lacks a free
    /// slot. Returns whether it did.
    ///
    /// A slot may have become free before: call [`try_take_announced`](Self::try_take_announced)
    /// again after this. Either that call sees a concurrent release, or the releasing thread sees
    /// the pool in the queue. If this replica itself is full, the thread that releases one of its
    /// slots serves the pool, which calls this again.
    pub fn await_host(&self, pool: &Weak<dyn Traffic>) -> bool {
        let Some(host) = self.host.as_ref().filter(|_| self.is_bounded_by_host()) else {
            return false;
        };
        // The addition of 0 puts this read in one order with all releases.
        let load = self.load.fetch_add(0, Ordering::AcqRel);
        let lacks_host = super::has_room(load, self.limit());
        if lacks_host {
            host.queue.join(pool);
        }
        lacks_host
    }

    /// Offers free slots of this host to the waiting pools in turn. Call it without a pool's lock.
    pub fn offer_slots(&self) {
        while self.queue.is_awaited() {
            let mut waiting = self.queue.take_all();
            while !waiting.is_empty() && self.has_room() {
                // The pool joins again if it needs more.
                if let Some(pool) = waiting.pop_front().and_then(|pool| pool.upgrade()) {
                    pool.serve_held();
                }
            }
            if waiting.is_empty() {
                return; // pools that joined since have tried themselves
            }
            self.queue.put_back(waiting);
            // A slot that became free while the queue was taken has been offered to no pool. The
            // addition of 0 puts this read in one order with all releases.
            let load = self.load.fetch_add(0, Ordering::AcqRel);
            if !super::has_room(load, self.limit()) {
                return;
            }
        }
    }
}
