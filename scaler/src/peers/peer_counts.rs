//! The counts of all other proxies, added up as one ledger's. Pure: updates and the time
//! come from the caller.
//!
//! A proxy is a shard of one large ledger, seen a moment ago. Its totals, with
//! the in_flight_integral put on our clock, are its *part*; parts are added as shards are. As
//! a part has its in-flight, the integral of the sum goes on between two lines
//! as it does between two events of a ledger.
//!
//! # Rules
//!
//! 1. A proxy's last update holds until its next one, also while it is *lost*, that is,
//!    not connected.
//! 2. A lost proxy's requests count as ended once its address answers as another
//!    instance, or has left the EndpointSlices, or after [`KEPT`]. A proxy that left
//!    the EndpointSlices still counts while it is connected.
//! 3. `arrived` and `completed` of the sum never go back: what a proxy has
//!    counted stays in them when it has gone.
//! 4. A change that is not progress on a line that was heard without a break (a
//!    proxy joins, comes back, starts anew, is given up) is *correction*: it makes
//!    the sum right, and nothing of it is taken to have happened just then. Who
//!    keeps a history enters it there too ([`Signals::correct`]).
//!
//! So the sum's in-flight is never below what is inside, as far as it was said;
//! and no join, loss or return looks like a burst.
//!
//! [`Signals::correct`]: crate::signals::Signals::correct

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use super::counts_update::{Counts, CountsUpdate, LeftToOthers};
use crate::{clock::Nanos, ledger::Reading};

/// How long the requests of a lost proxy count: as long as replicas are kept steady by
/// default.
pub const KEPT: Duration = Duration::from_secs(60);

/// The counts of all other proxies.
#[derive(Debug)]
pub struct PeerCounts {
    /// Our own instance, which is no peer.
    own: String,
    /// By instance.
    peers: BTreeMap<String, Peer>,
    /// By model: what those have counted that are gone. All of it completed.
    retired: BTreeMap<String, Reading>,
    changes: BTreeMap<String, CountsChange>,
}

/// How the sum of a model has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountsChange {
    /// What of it is not progress.
    pub correction: Reading,
    /// What the proxy that leads asks for, where it said so.
    pub desired: Option<u32>,
    /// That it leaves the count to somebody else, where it said so.
    pub left_to_others: Option<LeftToOthers>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateResult {
    /// It counts.
    Counted,
    /// It counts; and who said it led before, and leads no more.
    StepsDown,
    /// That is ourselves.
    Own,
    /// The instance is heard at another address already.
    Duplicate,
    /// Its address or a later line has overtaken it.
    Stale,
}

/// A peer, to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its instance.
    pub instance: String,
    /// Where it is heard.
    pub address: SocketAddr,
    /// Since when nothing is heard of it.
    pub lost: Option<Nanos>,
    /// Whether it leads.
    pub leads: bool,
}

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    /// On its own clock.
    at: u64,
    lost: Option<Nanos>,
    leads: bool,
    /// By model.
    accounts: BTreeMap<String, Account>,
}

/// What a proxy said of a model.
#[derive(Clone, Copy, Debug)]
struct Account {
    ledger: u64,
    part: Reading,
    /// The integrals when it was said.
    request_ns: u64,
    held_ns: u64,
}

impl PeerCounts {
    /// None yet.
    #[must_use]
    pub fn new(own: String) -> Self {
        Self {
            own,
            peers: BTreeMap::new(),
            retired: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }

    /// `line` came from `address` at `now`.
    pub fn heard(&mut self, address: SocketAddr, update: CountsUpdate, now: Nanos) -> UpdateResult {
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
            // Nothing was heard of it before.
            lost: Some(now),
            leads: false,
            accounts: BTreeMap::new(),
        });
        let steps_down = peer.leads && !update.leads;
        let unbroken = peer.lost.take().is_none();
        (peer.address, peer.at, peer.leads) = (address, update.at, update.leads);
        let mut models = update.models;
        if !unbroken {
            // A first line has all there is.
            for model in peer.accounts.keys() {
                models.entry(model.clone()).or_default();
            }
        }
        for (model, counts) in models {
            let account = counts
                .as_ref()
                .map(|counts| Account::new(counts, peer.accounts.get(&model), now));
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
            }
        }
        if steps_down {
            UpdateResult::StepsDown
        } else {
            UpdateResult::Counted
        }
    }

    /// Nobody hears from `address` any more.
    pub fn lost(&mut self, address: SocketAddr, now: Nanos) {
        let at_it = |peer: &&mut Peer| peer.address == address;
        for peer in self.peers.values_mut().filter(at_it) {
            peer.lost.get_or_insert(now);
            peer.leads = false;
        }
    }

    /// Exactly these addresses are listed.
    pub fn listed(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.retire_where(|_, peer| peer.lost.is_some() && !addresses.contains(&peer.address));
    }

    /// Time passes. Call it every second or so.
    pub fn pass(&mut self, now: Nanos) {
        self.retire_where(|_, peer| peer.lost.is_some_and(|lost| now.since(lost) >= KEPT));
    }

    /// The models whose sums have changed since the last call.
    pub fn take_changes(&mut self) -> BTreeMap<String, CountsChange> {
        std::mem::take(&mut self.changes)
    }

    /// All others' counts of a model, to be added to a reading of our own ledger.
    #[must_use]
    pub fn total(&self, model: &str) -> Reading {
        let retired = self.retired.get(model).copied().unwrap_or_default();
        self.peers
            .values()
            .filter_map(|peer| peer.accounts.get(model))
            .fold(retired, |sum, account| sum.plus(&account.part))
    }

    /// How many peers there are, the lost ones among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Every peer.
    pub fn views(&self) -> impl Iterator<Item = PeerStatus> {
        self.peers.iter().map(|(instance, peer)| PeerStatus {
            instance: instance.clone(),
            address: peer.address,
            lost: peer.lost,
            leads: peer.leads,
        })
    }

    /// Rules 2 and 3.
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

/// Moves what `account` counted to those that are gone; returns by how much that
/// changes the sum.
fn retire(retired: &mut BTreeMap<String, Reading>, model: &str, account: &Account) -> Reading {
    let rest = account.retired();
    let sum = retired.entry(model.to_owned()).or_default();
    *sum = sum.plus(&rest);
    rest.minus(&account.part)
}

// === impl Account ===

impl Account {
    /// `before`: what the same proxy said last.
    fn new(counts: &Counts, before: Option<&Self>, now: Nanos) -> Self {
        // What a proxy does not say goes on as it was.
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
                // So that `Reading::integral` is `request_ns` at `now`.
                in_flight_integral: counts
                    .request_ns
                    .wrapping_sub(in_flight.wrapping_mul(now.0)),
                held: counts.held,
                held_integral: held_ns.wrapping_sub(counts.held.wrapping_mul(now.0)),
            },
            request_ns: counts.request_ns,
            held_ns,
        }
    }

    /// What stays of it: all that came has gone, and the integral stands still.
    fn retired(&self) -> Reading {
        Reading {
            completed: self.part.arrived,
            in_flight_integral: self.request_ns,
            held: 0,
            held_integral: self.held_ns,
            ..self.part
        }
    }
}

#[cfg(test)]
mod tests;
