//! Lets several proxies act as one.
//!
//! Every proxy publishes its ledgers' counts ([`counts_update`], [`publisher`]) and adds up those
//! of the others ([`subscription`], [`peer_counts`]), so that all decide from the same counts.
//! The elected leader ([`election`]) asks for replicas. The followers also evaluate, but send no
//! scale requests: if the leader is lost, the next one has the same history.
//!
//! The EndpointSlices of a Service list the proxies. A proxy recognises itself among them
//! by its instance.

pub mod counts_update;
mod discover;
pub mod election;
mod leader_elector;
pub mod peer_counts;
pub mod publisher;
mod subscription;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use tokio::{sync::mpsc, task::JoinHandle};

pub use tailback_config::Peers as Settings;

use self::counts_update::CountsUpdate;
pub(crate) use self::leader_elector::LeaderElector;
use crate::clock::Nanos;

/// A proxy's role in the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It asks for replicas. A proxy that is alone leads.
    Leads,
    /// It evaluates, and sends no scale requests.
    #[default]
    Follows,
}

/// An event in the group of proxies.
#[derive(Debug)]
pub(crate) enum MembershipEvent {
    /// The EndpointSlices list these addresses, usually this proxy's among them.
    Listed(BTreeSet<SocketAddr>),
    /// An update has arrived from `address`, at the time `at`.
    Update {
        address: SocketAddr,
        update: CountsUpdate,
        at: Nanos,
    },
    /// The connection to a proxy is lost.
    Lost { address: SocketAddr },
    /// The role of this proxy, or the leader, has changed.
    Elected { role: Role, leader: Option<String> },
    /// This proxy has stopped leading and is about to release the Lease. Others learn of it after
    /// the release, because no other proxy can be elected before.
    Releasing,
    /// The Lease is released, or could not be released and will expire.
    Released,
    /// What prevents this proxy from finding the others or from being elected; `None`: nothing
    /// any more.
    Trouble {
        of: TroubleSource,
        why: Option<String>,
    },
}

/// The part that has trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TroubleSource {
    /// The list of proxies.
    List,
    /// The election.
    Election,
}

/// The subscriptions to other proxies: to all that are listed, and to those no longer listed
/// while they are connected.
pub(crate) struct Subscriptions {
    events: mpsc::UnboundedSender<MembershipEvent>,
    listed: BTreeSet<SocketAddr>,
    /// This proxy's own addresses.
    own: BTreeSet<SocketAddr>,
    others: BTreeMap<SocketAddr, Subscription>,
}

struct Subscription {
    task: JoinHandle<()>,
    connected: bool,
}

// === impl Subscriptions ===

impl Subscriptions {
    pub(crate) fn new(events: mpsc::UnboundedSender<MembershipEvent>) -> Self {
        Self {
            events,
            listed: BTreeSet::new(),
            own: BTreeSet::new(),
            others: BTreeMap::new(),
        }
    }

    /// The addresses that are listed.
    pub(crate) fn listed(&self) -> &BTreeSet<SocketAddr> {
        &self.listed
    }

    /// Takes the new list of addresses.
    pub(crate) fn list(&mut self, addresses: BTreeSet<SocketAddr>) {
        self.own.retain(|address| addresses.contains(address));
        self.others
            .retain(|address, listener| listener.connected || addresses.contains(address));
        for &address in addresses.difference(&self.own) {
            self.others.entry(address).or_insert_with(|| Subscription {
                task: tokio::spawn(subscription::subscribe(address, self.events.clone())),
                connected: false,
            });
        }
        self.listed = addresses;
    }

    /// The addresses that are listed and not connected.
    pub(crate) fn unreachable(&self) -> Vec<SocketAddr> {
        let silent = self
            .others
            .iter()
            .filter(|(_, listener)| !listener.connected);
        silent.map(|(&address, _)| address).collect()
    }

    /// Notes that an update has come from `address`.
    pub(crate) fn connected(&mut self, address: SocketAddr) {
        if let Some(listener) = self.others.get_mut(&address) {
            listener.connected = true;
        }
    }

    /// Notes that the connection to `address` is lost.
    pub(crate) fn lost(&mut self, address: SocketAddr) {
        if let Some(listener) = self.others.get_mut(&address) {
            listener.connected = false;
        }
        if !self.listed.contains(&address) {
            self.others.remove(&address);
        }
    }

    /// Unsubscribes from `address`: it is this proxy's own.
    pub(crate) fn leave(&mut self, address: SocketAddr) {
        self.others.remove(&address);
        self.own.insert(address);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}
