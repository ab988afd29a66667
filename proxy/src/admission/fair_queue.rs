//! The order of held requests, as a pure data structure: classes by rank, within a class deficit
//! round robin between tenants, and first come, first served within a tenant.
//!
//! Deficit round robin is that of Shreedhar and Varghese (SIGCOMM 1995). The cost of a request is
//! the time for which it occupies a replica, which is known only at its end. So a tenant is
//! charged the cost of its recent requests, and the difference is settled at the end, which may
//! bring the tenant into debt ("surplus round robin"). While no request of a tenant waits, its
//! debt is paid off by what waiting tenants get meanwhile, so that occasional requests do not pay
//! for earlier service. Without any settings, all requests have one class and one tenant: then
//! this is a plain queue.

mod class_queue;

use std::time::Duration;

use self::class_queue::ClassQueue;

/// A waiting class that has been passed over this often is next, whatever waits in higher classes.
/// A tenant's debt is also limited to this many requests of mean cost, whatever its own cost.
pub const MOST_PASSED: u32 = 16;

/// The class and tenant of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The rank of its class; 0 is served first.
    pub class: u8,
    /// A hash of its tenant; 0: none.
    pub tenant: u64,
}

/// The position of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaiterId {
    class: u8,
    slot: usize,
    number: u64,
}

/// The cost that a granted request was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    flow: Flow,
    /// In nanoseconds.
    cost: i64,
}

/// The result of offering a permit to a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer<R> {
    /// The waiter takes it.
    Taken(R),
    /// The waiter cannot take it, but others may.
    Blocked,
    /// No waiter can take it.
    Exhausted,
}

/// The queue of waiters of type `T`.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    /// By rank.
    classes: Vec<ClassQueue<T>>,
    len: usize,
    next_number: u64,
    /// The mean cost of a request.
    mean: MeanCost,
}

/// A moving average of costs, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct MeanCost(Option<i64>);

impl MeanCost {
    /// The assumed cost while nothing is known: the same for all requests.
    const UNKNOWN: i64 = 1_000_000;

    fn get(self) -> i64 {
        self.0.unwrap_or(Self::UNKNOWN).max(1)
    }

    /// Adds a cost with a weight of one eighth.
    fn note(&mut self, cost: i64) {
        self.0 = Some(self.0.map_or(cost, |mean| mean + (cost - mean) / 8));
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            classes: Vec::new(),
            len: 0,
            next_number: 0,
            mean: MeanCost::default(),
        }
    }
}

impl<T> FairQueue<T> {
    /// The number of waiters.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a waiter.
    pub(super) fn push(&mut self, flow: Flow, waiter: T) -> WaiterId {
        let class = usize::from(flow.class);
        while self.classes.len() <= class {
            self.classes.push(ClassQueue::default());
        }
        let number = self.next_number;
        self.next_number += 1;
        self.len += 1;
        WaiterId {
            class: flow.class,
            slot: self.classes[class].push(flow.tenant, number, waiter),
            number,
        }
    }

    /// Removes a waiter, if it is still in the queue.
    pub(super) fn remove(&mut self, id: WaiterId) -> Option<T> {
        let class = self.classes.get_mut(usize::from(id.class))?;
        let waiter = class.remove(id.slot, id.number)?;
        self.len -= 1;
        Some(waiter)
    }

    /// Removes the waiter whose turn it is, and returns it with what it got. `offer` is called for
    /// one waiter after the other, in the order of their turns.
    pub(super) fn next<R>(
        &mut self,
        mut offer: impl FnMut(&T) -> Offer<R>,
    ) -> Option<(T, R, Charge)> {
        let mut starved = self.starved();
        let mut rank = 0;
        while rank < self.classes.len() {
            let class = match starved {
                Some(class) => class,
                None => rank,
            };
            match self.classes[class].next(self.mean.get(), &mut offer) {
                Offer::Taken((waiter, taken, tenant, cost)) => {
                    self.len -= 1;
                    self.passed_for(class);
                    // There are at most 256 classes.
                    let class = class as u8;
                    let flow = Flow { class, tenant };
                    return Some((waiter, taken, Charge { flow, cost }));
                }
                Offer::Exhausted => return None,
                Offer::Blocked if starved.is_some() => starved = None,
                Offer::Blocked => rank += 1,
            }
        }
        None
    }

    /// Notes that the request that was charged `charge` has occupied a replica for `took`.
    pub(super) fn settle(&mut self, charge: Charge, took: Duration) {
        let cost = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX / 4);
        self.mean.note(cost);
        if let Some(class) = self.classes.get_mut(usize::from(charge.flow.class)) {
            let mean = self.mean.get();
            class.settle(charge.flow.tenant, charge.cost, cost, mean);
        }
    }

    /// Removes the waiter that must make room for one of `flow`: the last one of the lowest class
    /// below `flow`'s; or, in the same class, of the tenant with the most waiters, if it has more
    /// than `flow`'s tenant would have. `None`: no waiter must go. Only waiters for which `may_go`
    /// holds are considered.
    pub(super) fn shed(&mut self, flow: Flow, may_go: impl Fn(&T) -> bool) -> Option<T> {
        let own = usize::from(flow.class);
        let lowest = (own..self.classes.len()).rev();
        let waiter = lowest.into_iter().find_map(|rank| {
            let class = &mut self.classes[rank];
            let least = match rank > own {
                true => 1,
                false => class.waiting(flow.tenant) + 2,
            };
            class.shed(least, &may_go)
        })?;
        self.len -= 1;
        Some(waiter)
    }

    /// Removes all.
    pub(super) fn clear(&mut self) {
        self.classes.clear();
        self.len = 0;
    }

    /// A class that has been passed over for too long.
    fn starved(&self) -> Option<usize> {
        let waiting = self.classes.iter().enumerate();
        let starved = waiting.filter(|(_, class)| class.passed >= MOST_PASSED);
        let most = starved.max_by_key(|(_, class)| class.passed);
        most.map(|(rank, _)| rank)
    }

    /// Notes that a waiter of `class` was served, so that lower classes were passed over.
    fn passed_for(&mut self, class: usize) {
        self.classes[class].passed = 0;
        for lower in &mut self.classes[class + 1..] {
            lower.passed = match lower.is_empty() {
                true => 0,
                false => lower.passed + 1,
            };
        }
    }
}

#[cfg(test)]
mod tests;
