//! The order of held requests, as a pure data structure: classes by rank, within a class deficit
//! round robin between tenants, and first come, first served within a tenant.
//!
//! Deficit round robin is that of Shreedhar and Varghese (SIGCOMM 1995). A request's cost is the time
//! that a replica will be busy with it, which is known only when it has ended. So a tenant is
//! charged what its requests took of late, and the rest is settled at the end, by which it may come
//! into debt ("surplus round robin"). While nobody of a tenant waits, its debt is paid off by what
//! waiting tenants get meanwhile: who asks now and then does not pay for having been served. Where
//! nothing is set, all requests are of one class and one tenant: then this is a plain queue.

mod class_queue;

use std::time::Duration;

use self::class_queue::ClassQueue;

/// A waiting class that has been passed over this often is the next, whatever waits in higher ones.
/// And no tenant is in debt for more than so many requests of the mean cost, whatever its own took.
pub const MOST_PASSED: u32 = 16;

/// Where a request belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The rank of its class; 0: the first to go.
    pub class: u8,
    /// A hash that stands for its tenant; 0: it has none.
    pub tenant: u64,
}

/// Where a waiter waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaiterId {
    class: u8,
    slot: usize,
    number: u64,
}

/// What a granted request has been charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    flow: Flow,
    /// In nanoseconds.
    cost: i64,
}

/// Whether a waiter can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer<R> {
    /// It can, with this.
    Taken(R),
    /// It cannot, but others may.
    Blocked,
    /// Nobody can.
    Exhausted,
}

/// The queue of waiters of the type `T`.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    /// By rank.
    classes: Vec<ClassQueue<T>>,
    len: usize,
    next_number: u64,
    /// What a request costs, on average.
    mean: MeanCost,
}

/// The mean of costs, of late, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct MeanCost(Option<i64>);

impl MeanCost {
    /// Of requests of which nothing is known yet: all cost the same.
    const UNKNOWN: i64 = 1_000_000;

    fn get(self) -> i64 {
        self.0.unwrap_or(Self::UNKNOWN).max(1)
    }

    /// The last ones count for most: each newer one for an eighth.
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
    /// How many wait.
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

    /// Removes a waiter, if it still waits.
    pub(super) fn remove(&mut self, id: WaiterId) -> Option<T> {
        let class = self.classes.get_mut(usize::from(id.class))?;
        let waiter = class.remove(id.slot, id.number)?;
        self.len -= 1;
        Some(waiter)
    }

    /// Takes out the waiter whose turn it is, and what it gets. `offer` is asked for one after the
    /// other, in the order of their turns.
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
                    // There are no more classes than a byte counts.
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

    /// The request that was charged `charge` has kept a replica busy for `took`.
    pub(super) fn settle(&mut self, charge: Charge, took: Duration) {
        let cost = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX / 4);
        self.mean.note(cost);
        if let Some(class) = self.classes.get_mut(usize::from(charge.flow.class)) {
            let mean = self.mean.get();
            class.settle(charge.flow.tenant, charge.cost, cost, mean);
        }
    }

    /// Takes out the waiter that has to go so that one of `flow` can wait: the last one of the lowest
    /// class below; or, of the same class, of the tenant that has most waiters, if that has more
    /// than `flow`'s would have. `None`: nobody has to go for it. Only those that `may_go` do.
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

    /// The class that has been passed over for too long.
    fn starved(&self) -> Option<usize> {
        let waiting = self.classes.iter().enumerate();
        let starved = waiting.filter(|(_, class)| class.passed >= MOST_PASSED);
        let most = starved.max_by_key(|(_, class)| class.passed);
        most.map(|(rank, _)| rank)
    }

    /// One of `class` goes: lower ones have been passed over.
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
