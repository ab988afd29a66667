//! The waiters of one class: deficit round robin between its tenants.

use std::collections::{HashMap, VecDeque};

use super::{MOST_PASSED, MeanCost, Offer};

/// Most tenants of a class that are remembered. Further ones share the entry of requests without a
/// tenant, until another entry has no waiters.
pub(super) const MOST_TENANTS: usize = 1024;

/// What a tenant gets in its turn, in nanoseconds. It is less than most requests cost, so that
/// shares are even to the millisecond. Paying a debt then takes several rounds, which are computed
/// in one step.
const SHARE: i64 = 1_000_000;

/// The tenant of requests without one, always in the first slot.
const NONE: u64 = 0;

/// The waiters of one class.
#[derive(Debug)]
pub(super) struct ClassQueue<T> {
    tenants: Vec<Tenant<T>>,
    /// The slot of each tenant except the first.
    slots: HashMap<u64, usize>,
    /// The slots of tenants with waiters, in the order of their turns.
    turns: VecDeque<usize>,
    /// Whether the first one in `turns` has got its share for this turn.
    has_share: bool,
    /// The total that each waiting tenant has got, in nanoseconds: the virtual time of the class.
    given: i64,
    /// How often it was passed over for higher classes.
    pub passed: u32,
    /// The number of pushes, to tell which tenant was idle for longest.
    pushes: u64,
}

#[derive(Debug)]
struct Tenant<T> {
    id: u64,
    /// With ascending numbers.
    waiters: VecDeque<(u64, T)>,
    /// The time that it may still use in its turn, in nanoseconds; negative: its debt.
    credit: i64,
    cost: MeanCost,
    /// The value of `given` when its last waiter left.
    left_at: i64,
    last_push: u64,
}

impl<T> Tenant<T> {
    fn new(id: u64) -> Self {
        Self {
            id,
            waiters: VecDeque::new(),
            credit: 0,
            cost: MeanCost::default(),
            left_at: 0,
            last_push: 0,
        }
    }
}

impl<T> Default for ClassQueue<T> {
    fn default() -> Self {
        Self {
            tenants: vec![Tenant::new(NONE)],
            slots: HashMap::new(),
            turns: VecDeque::new(),
            has_share: false,
            given: 0,
            passed: 0,
            pushes: 0,
        }
    }
}

impl<T> ClassQueue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The number of remembered tenants.
    #[cfg(test)]
    pub(super) fn tenants(&self) -> usize {
        self.tenants.len()
    }

    /// The number of waiters of this tenant.
    pub(super) fn waiting(&self, tenant: u64) -> usize {
        let slot = self.slot(tenant);
        slot.map_or(0, |slot| self.tenants[slot].waiters.len())
    }

    /// Adds a waiter. Returns its tenant's slot, which does not change while it waits.
    pub(super) fn push(&mut self, tenant: u64, number: u64, waiter: T) -> usize {
        let slot = match self.slot(tenant) {
            Some(slot) => slot,
            None => self.new_slot(tenant),
        };
        self.pushes += 1;
        let tenant = &mut self.tenants[slot];
        tenant.last_push = self.pushes;
        if tenant.waiters.is_empty() {
            // What others have got meanwhile pays off its debt, but does not add up to credit.
            let paid = self.given - tenant.left_at;
            tenant.credit = tenant.credit.saturating_add(paid).min(0);
            self.turns.push_back(slot);
        }
        tenant.waiters.push_back((number, waiter));
        slot
    }

    pub(super) fn remove(&mut self, slot: usize, number: u64) -> Option<T> {
        let waiters = &mut self.tenants.get_mut(slot)?.waiters;
        let place = waiters.binary_search_by_key(&number, |(number, _)| *number);
        let (_, waiter) = waiters.remove(place.ok()?)?;
        self.left(slot);
        Some(waiter)
    }

    /// Removes the waiter whose turn it is, and returns it with its tenant and the charge. `mean`
    /// is the cost that is assumed for a tenant without history.
    pub(super) fn next<R>(
        &mut self,
        mean: i64,
        offer: &mut impl FnMut(&T) -> Offer<R>,
    ) -> Offer<(T, R, u64, i64)> {
        self.give_turn();
        for turn in 0..self.turns.len() {
            let slot = self.turns[turn];
            for place in 0..self.tenants[slot].waiters.len() {
                let taken = match offer(&self.tenants[slot].waiters[place].1) {
                    Offer::Taken(taken) => taken,
                    Offer::Blocked => continue,
                    Offer::Exhausted => return Offer::Exhausted,
                };
                let waiters = &mut self.tenants[slot].waiters;
                let waiter = match place {
                    0 => waiters.pop_front(),
                    _ => waiters.remove(place),
                };
                let Some((_, waiter)) = waiter else { continue };
                let (tenant, cost) = self.charge(slot, mean);
                return Offer::Taken((waiter, taken, tenant, cost));
            }
        }
        Offer::Blocked
    }

    /// Settles a request: the tenant was charged `charged`, and the request has cost `cost`.
    pub(super) fn settle(&mut self, tenant: u64, charged: i64, cost: i64, mean: i64) {
        let Some(slot) = self.slot(tenant) else {
            return;
        };
        let tenant = &mut self.tenants[slot];
        tenant.cost.note(cost);
        let most = mean.saturating_mul(MOST_PASSED.into());
        let settled = tenant.credit.saturating_add(charged.saturating_sub(cost));
        tenant.credit = settled.max(most.saturating_neg());
    }

    /// Removes the last waiter of the tenant with the most waiters, if there are at least `least`
    /// of them.
    pub(super) fn shed(&mut self, least: usize, may_go: &impl Fn(&T) -> bool) -> Option<T> {
        let mut slots: Vec<usize> = self.turns.iter().copied().collect();
        slots.sort_by_key(|slot| std::cmp::Reverse(self.tenants[*slot].waiters.len()));
        for slot in slots {
            let waiters = &mut self.tenants[slot].waiters;
            if waiters.len() < least {
                return None;
            }
            if let Some(place) = waiters.iter().rposition(|(_, waiter)| may_go(waiter)) {
                let (_, waiter) = waiters.remove(place)?;
                self.left(slot);
                return Some(waiter);
            }
        }
        None
    }

    fn slot(&self, tenant: u64) -> Option<usize> {
        match tenant {
            NONE => Some(0),
            other => self.slots.get(&other).copied(),
        }
    }

    /// A slot for a new tenant: a free one, or else that of the tenant that has been idle for
    /// longest, or else the first one, which is then shared.
    fn new_slot(&mut self, tenant: u64) -> usize {
        let slot = if self.tenants.len() <= MOST_TENANTS {
            self.tenants.push(Tenant::new(tenant));
            self.tenants.len() - 1
        } else {
            let others = self.tenants.iter().enumerate().skip(1);
            let unused = others.filter(|(_, tenant)| tenant.waiters.is_empty());
            let Some((slot, before)) = unused.min_by_key(|(_, tenant)| tenant.last_push) else {
                return 0;
            };
            self.slots.remove(&before.id);
            self.tenants[slot] = Tenant::new(tenant);
            slot
        };
        self.slots.insert(tenant, slot);
        slot
    }

    /// Moves a tenant with credit to the front.
    fn give_turn(&mut self) {
        if self.visit() {
            return;
        }
        // All are in debt, so go at once through as many rounds as the smallest debt needs, except
        // the last.
        let debts = self.turns.iter().map(|slot| -self.tenants[*slot].credit);
        let shares = SHARE.saturating_mul(debts.min().unwrap_or(0) / SHARE);
        for slot in &self.turns {
            let tenant = &mut self.tenants[*slot];
            tenant.credit = tenant.credit.saturating_add(shares);
        }
        self.given = self.given.saturating_add(shares);
        self.visit();
    }

    /// One round: each tenant in turn gets its share, until one has credit. `false`: none has.
    fn visit(&mut self) -> bool {
        let all = self.turns.len();
        for _ in 0..all {
            let Some(first) = self.turns.front() else {
                return false;
            };
            let first = &mut self.tenants[*first];
            if !self.has_share {
                first.credit = first.credit.saturating_add(SHARE);
                self.has_share = true;
                // One tenant's part of the round. Mostly there is only one tenant.
                let part = if all == 1 { SHARE } else { SHARE / all as i64 };
                self.given = self.given.saturating_add(part);
            }
            if first.credit > 0 {
                return true;
            }
            self.end_turn();
        }
        false
    }

    /// Charges the tenant for a request that was granted. Returns the tenant and the charge.
    fn charge(&mut self, slot: usize, mean: i64) -> (u64, i64) {
        let is_first = self.turns.front() == Some(&slot);
        let tenant = &mut self.tenants[slot];
        let cost = match tenant.cost.0 {
            Some(_) => tenant.cost.get(),
            None => mean,
        };
        let id = tenant.id;
        tenant.credit = tenant.credit.saturating_sub(cost);
        let is_spent = tenant.credit <= 0;
        if tenant.waiters.is_empty() {
            self.left(slot);
        } else if is_first && is_spent {
            self.end_turn();
        }
        (id, cost)
    }

    fn end_turn(&mut self) {
        if self.turns.len() > 1 {
            self.turns.rotate_left(1);
        }
        self.has_share = false;
    }

    /// Notes that a waiter of this slot has left.
    fn left(&mut self, slot: usize) {
        let tenant = &mut self.tenants[slot];
        if !tenant.waiters.is_empty() {
            return;
        }
        tenant.left_at = self.given;
        if let Some(turn) = self.turns.iter().position(|other| *other == slot) {
            self.turns.remove(turn);
            if turn == 0 {
                self.has_share = false;
            }
        }
        if self.turns.is_empty() {
            self.passed = 0;
        }
    }
}
