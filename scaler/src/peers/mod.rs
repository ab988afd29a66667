//! Several proxies as one.
//!
//! Every proxy publishes its ledgers' counts ([`counts_update`], [`publisher`]) and adds up
//! those of the others ([`subscription`], [`peer_counts`]), so that all decide from the
//! same counts. The leader, by [`election`], asks for replicas. The followers decide as
//! well, but ask for nothing: when a leader is lost, the next one knows all that it knew.
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

/// What a proxy does about replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It asks for them. So does one that is alone.
    Leads,
    /// It knows what it would ask for.
    #[default]
    Follows,
}

/// What happens among proxies.
#[derive(Debug)]
pub(crate) enum MembershipEvent {
    /// These are listed now, ourselves probably among them.
    Listed(BTreeSet<SocketAddr>),
    /// One said something.
    Update {
        address: SocketAddr,
        update: CountsUpdate,
        at: Nanos,
    },
    /// One is not connected of any more.
    Lost { address: SocketAddr },
    /// We lead, or somebody else does.
    Elected { role: Role, leader: Option<String> },
    /// We lead no more, and the Lease is still to be released: until then nobody
    /// else can be elected, and there is no use in saying so.
    Releasing,
    /// The Lease is free for others, or stays ours until it expires.
    Released,
    /// What keeps us from the others, or from leading; `None`: no more.
    Trouble {
        of: TroubleSource,
        why: Option<String>,
    },
}

/// Where trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TroubleSource {
    /// With the list of proxies.
    List,
    /// With the election.
    Election,
}

/// Those who are listened to: all that are listed, and who is not listed any
/// more as long as it is connected.
pub(crate) struct Subscriptions {
    events: mpsc::UnboundedSender<MembershipEvent>,
    listed: BTreeSet<SocketAddr>,
    /// Our own addresses.
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

    /// Those that are listed.
    pub(crate) fn listed(&self) -> &BTreeSet<SocketAddr> {
        &self.listed
    }

    /// From now on exactly these are listed.
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

    /// Those that are listed and not connected.
    pub(crate) fn unreachable(&self) -> Vec<SocketAddr> {
        let silent = self
            .others
            .iter()
            .filter(|(_, listener)| !listener.connected);
        silent.map(|(&address, _)| address).collect()
    }

    /// A line came from there.
    pub(crate) fn connected(&mut self, address: SocketAddr) {
        if let Some(listener) = self.others.get_mut(&address) {
            listener.connected = true;
        }
    }

    /// No more lines come from there.
    pub(crate) fn lost(&mut self, address: SocketAddr) {
        if let Some(listener) = self.others.get_mut(&address) {
            listener.connected = false;
        }
        if !self.listed.contains(&address) {
            self.others.remove(&address);
        }
    }

    /// That is ourselves.
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
