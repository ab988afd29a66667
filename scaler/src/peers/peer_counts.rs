//! Adds up the counts of all other proxies like those of one ledger. Pure: the caller passes
//! updates and the time.
//!
//! A proxy is like a shard of one large ledger, seen a moment ago. Its totals, with the integrals
//! converted to our clock, are its *part*. Parts are added like shards. Between two updates of a
//! part, its in-flight is constant, so the integral of the sum is known at any time.
//!
//! # Rules
//!
//! 1. A proxy's last update is valid until its next one, even while the proxy is *lost*, that is,
//!    not connected.
//! 2. A lost proxy's requests count as completed once its address answers as another instance, or
//!    has left the EndpointSlices, or after [`KEPT`]. A proxy that left the EndpointSlices still
//!    counts while it is connected.
//! 3. `arrived` and `completed` of the sum never decrease: the counts of a proxy that has gone
//!    stay in them.
//! 4. A change that is not progress on an unbroken connection is a *correction*: a proxy joins,
//!    comes back, restarts, or is given up. It makes the sum right, and must not look as if it
//!    had just happened. So histories are corrected too ([`Signals::correct`]).
//!
//! So the sum's in-flight is never below the requests that proxies have reported, and no join,
//! loss or return looks like a burst.
//!
//! [`Signals::correct`]: crate::signals::Signals::correct

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::counts_update::{Counts, CountsUpdate, LeftToOthers};
use crate::{clock::Nanos, ledger::Reading, standing_orders::StandingOrders};

/// How long the requests of a lost proxy count: the default stability time of replicas.
pub const KEPT: Duration = Duration::from_secs(60);

/// The counts of all other proxies.
#[derive(Debug)]
pub struct PeerCounts {
    /// Our own instance, whose updates are ignored.
    own: String,
    /// By instance.
    peers: BTreeMap<String, Peer>,
    /// By model: the counts of proxies that have gone, all of them completed.
    retired: BTreeMap<String, Reading>,
    changes: BTreeMap<String, CountsChange>,
}

/// A change of a model's sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountsChange {
    /// The part of the change that is a correction (rule 4).
    pub correction: Reading,
    /// The count that the leader asks for, if it has reported it.
    pub desired: Option<u32>,
    /// Whether the leader has reported that it does not scale the model for a while.
    pub left_to_others: Option<LeftToOthers>,
    /// Operators' orders that the leader has reported.
    pub orders: Option<StandingOrders>,
}

/// The result of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateResult {
    /// It was added.
    Counted,
    /// It was added, and its sender has stopped leading.
    StepsDown,
    /// It is our own.
    Own,
    /// The instance is connected at another address already.
    Duplicate,
    /// A later update has arrived before it.
    Stale,
}

/// A peer, as the admin address lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its instance.
    pub instance: String,
    /// Its admin address.
    pub address: SocketAddr,
    /// Since when it is lost; `None`: it is connected.
    pub lost: Option<Nanos>,
    /// Whether it leads.
    pub leads: bool,
}

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    /// The time of its last update, on its own clock.
    at: u64,
    lost: Option<Nanos>,
    leads: bool,
    /// By model.
    accounts: BTreeMap<String, PeerAccount>,
}

/// A proxy's last counts of a model.
#[derive(Clone, Copy, Debug)]
struct PeerAccount {
    ledger: u64,
    part: Reading,
    /// The integral at the time of the update. `held_ns` likewise.
    request_ns: u64,
    held_ns: u64,
    receiving_ns: u64,
}

impl PeerCounts {
    /// No peers. `own` is this proxy's instance.
    #[must_use]
    pub fn new(own: String) -> Self {
        Self {
            own,
            peers: BTreeMap::new(),
            retired: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }

    /// Adds an update that came from `address` at `now`.
    pub fn apply(&mut self, address: SocketAddr, update: CountsUpdate, now: Nanos) -> UpdateResult {
        if update.instance == self.own {
            return UpdateResult::Own;
        }
        if let Some(known) = self.peers.get(&update.instance) {
            if known.address != address && known.lost.is_none() {
                return UpdateResult::Duplicate;
            }
            if update.at < known.at {
                return UpdateResult::Stale;
            }
        }
        self.retire_where(|instance, peer| peer.address == address && *instance != update.instance);
        let peer = self.peers.entry(update.instance).or_insert_with(|| Peer {
            address,
            at: update.at,
            // Its first update is a correction, as after a loss.
            lost: Some(now),
            leads: false,
            accounts: BTreeMap::new(),
        });
        let steps_down = peer.leads && !update.leads;
        let unbroken = peer.lost.take().is_none();
        (peer.address, peer.at, peer.leads) = (address, update.at, update.leads);
        let mut models = update.models;
        if !unbroken {
            // The first line of a connection has all models: others are gone.
            for model in peer.accounts.keys() {
                models.entry(model.clone()).or_default();
            }
        }
        for (model, counts) in models {
            let account = counts
                .as_ref()
                .map(|counts| PeerAccount::new(counts, peer.accounts.get(&model), now));
            let before = match account {
                Some(account) => peer.accounts.insert(model.clone(), account),
                None => peer.accounts.remove(&model),
            };
            let goes_on = before.is_some_and(|b| account.is_some_and(|a| a.ledger == b.ledger));
            let mut correction = Reading::default();
            if let Some(before) = before.filter(|_| !goes_on) {
                correction = correction.plus(&retire(&mut self.retired, &model, &before));
            }
            if let Some(account) = account.filter(|_| !goes_on || !unbroken) {
                let known = before.filter(|_| goes_on).map(|before| before.part);
                correction = correction.plus(&account.part.minus(&known.unwrap_or_default()));
            }
            let change = self.changes.entry(model).or_default();
            change.correction = change.correction.plus(&correction);
            if let Some(counts) = counts {
                change.desired = counts.desired.or(change.desired);
                change.left_to_others = counts.left_to_others.or(change.left_to_others);
                change.orders = counts.orders.or(change.orders.take());
            }
        }
        if steps_down {
            UpdateResult::StepsDown
        } else {
            UpdateResult::Counted
        }
    }

    /// Notes that the connection to `address` is lost.
    pub fn lost(&mut self, address: SocketAddr, now: Nanos) {
        let at_it = |peer: &&mut Peer| peer.address == address;
        for peer in self.peers.values_mut().filter(at_it) {
            peer.lost.get_or_insert(now);
            peer.leads = false;
        }
    }

    /// Takes the listed addresses.
    pub fn listed(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.retire_where(|_, peer| peer.lost.is_some() && !addresses.contains(&peer.address));
    }

    /// Gives up proxies that are lost for [`KEPT`]. Call it about every second.
    pub fn pass(&mut self, now: Nanos) {
        self.retire_where(|_, peer| peer.lost.is_some_and(|lost| now.since(lost) >= KEPT));
    }

    /// The models whose sums have changed since the last call.
    pub fn take_changes(&mut self) -> BTreeMap<String, CountsChange> {
        std::mem::take(&mut self.changes)
    }

    /// The sum of all other proxies' counts of a model, to be added to a reading of our own
    /// ledger.
    #[must_use]
    pub fn total(&self, model: &str) -> Reading {
        let retired = self.retired.get(model).copied().unwrap_or_default();
        self.peers
            .values()
            .filter_map(|peer| peer.accounts.get(model))
            .fold(retired, |sum, account| sum.plus(&account.part))
    }

    /// How many peers there are, lost ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are no peers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The peers, as the admin address lists them.
    pub fn views(&self) -> impl Iterator<Item = PeerStatus> {
        self.peers.iter().map(|(instance, peer)| PeerStatus {
            instance: instance.clone(),
            address: peer.address,
            lost: peer.lost,
            leads: peer.leads,
        })
    }

    /// Gives up the peers for which `gone` holds: rules 2 and 3.
    fn retire_where(&mut self, gone: impl Fn(&String, &Peer) -> bool) {
        let (retired, changes) = (&mut self.retired, &mut self.changes);
        self.peers.retain(|instance, peer| {
            let keep = !gone(instance, peer);
            for (model, account) in peer.accounts.iter().filter(|_| !keep) {
                let change = changes.entry(model.clone()).or_default();
                change.correction = change.correction.plus(&retire(retired, model, account));
            }
            keep
        });
    }
}

/// Moves the counts of `account` to `retired`, as completed. Returns the change of the sum.
fn retire(retired: &mut BTreeMap<String, Reading>, model: &str, account: &PeerAccount) -> Reading {
    let rest = account.retired();
    let sum = retired.entry(model.to_owned()).or_default();
    *sum = sum.plus(&rest);
    rest.minus(&account.part)
}

// === impl Account ===

impl PeerAccount {
    /// An account of `counts` received at `now`. `before` is the same proxy's last one.
    fn new(counts: &Counts, before: Option<&Self>, now: Nanos) -> Self {
        // Without `held_ns`, the number held is taken as constant since the last update.
        let held_ns = counts.held_ns.unwrap_or_else(|| {
            before.map_or(0, |before| {
                Reading {
                    at: now,
                    ..before.part
                }
                .held_integral_at()
            })
        });
        let in_flight = counts.arrived.wrapping_sub(counts.completed);
        Self {
            ledger: counts.ledger,
            part: Reading {
                at: Nanos::default(),
                arrived: counts.arrived,
                completed: counts.completed,
                // Chosen so that `Reading::integral` is `request_ns` at `now`.
                in_flight_integral: counts
                    .request_ns
                    .wrapping_sub(in_flight.wrapping_mul(now.0)),
                held: counts.held,
                held_integral: held_ns.wrapping_sub(counts.held.wrapping_mul(now.0)),
                receiving: counts.receiving,
                receiving_integral: counts
                    .receiving_ns
                    .wrapping_sub(counts.receiving.wrapping_mul(now.0)),
            },
            request_ns: counts.request_ns,
            held_ns,
            receiving_ns: counts.receiving_ns,
        }
    }

    /// Its counts after its end: all requests completed, and a constant integral.
    fn retired(&self) -> Reading {
        Reading {
            completed: self.part.arrived,
            in_flight_integral: self.request_ns,
            held: 0,
            held_integral: self.held_ns,
            receiving: 0,
            receiving_integral: self.receiving_ns,
            ..self.part
        }
    }
}

#[cfg(test)]
mod tests;
