//! Several proxies as one.
//!
//! Every proxy tells all others what its ledgers say ([`mod@line`], [`herald`]) and
//! adds up what it hears ([`listen`], [`sum`]), so that each decides from the
//! same counts. One of them, by [`election`], asks for replicas. The others
//! decide as well, and ask nobody: who comes after a leader that is lost knows
//! all that it knew, and goes on.
//!
//! Who they are is read from the EndpointSlices of a Service. One that finds
//! itself there knows itself by its instance.

mod candidate;
mod discover;
pub mod election;
pub mod herald;
pub mod line;
mod listen;
pub mod sum;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use tokio::{sync::mpsc, task::JoinHandle};

pub use tailback_config::Peers as Settings;

pub(crate) use self::candidate::Candidate;
use self::line::Line;
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
pub(crate) enum Event {
    /// These are listed now, ourselves probably among them.
    Listed(BTreeSet<SocketAddr>),
    /// One said something.
    Heard {
        address: SocketAddr,
        line: Line,
        at: Nanos,
    },
    /// One is not heard of any more.
    Lost { address: SocketAddr },
    /// We lead, or somebody else does.
    Elected { role: Role, leader: Option<String> },
    /// What keeps us from the others, or from leading; `None`: no more.
    Trouble { of: Source, why: Option<String> },
}

/// Where trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// With the list of proxies.
    List,
    /// With the election.
    Election,
}

/// Those who are listened to: all that are listed, and who is not listed any
/// more as long as it is heard.
pub(crate) struct Listeners {
    events: mpsc::UnboundedSender<Event>,
    listed: BTreeSet<SocketAddr>,
    /// Our own addresses.
    own: BTreeSet<SocketAddr>,
    others: BTreeMap<SocketAddr, Listener>,
}

struct Listener {
    task: JoinHandle<()>,
    heard: bool,
}

// === impl Listeners ===

impl Listeners {
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
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
            .retain(|address, listener| listener.heard || addresses.contains(address));
        for &address in addresses.difference(&self.own) {
            self.others.entry(address).or_insert_with(|| Listener {
                task: tokio::spawn(listen::listen(address, self.events.clone())),
                heard: false,
            });
        }
        self.listed = addresses;
    }

    /// Those that are listed and not heard.
    pub(crate) fn unheard(&self) -> Vec<SocketAddr> {
        let silent = self.others.iter().filter(|(_, listener)| !listener.heard);
        silent.map(|(&address, _)| address).collect()
    }

    /// A line came from there.
    pub(crate) fn heard(&mut self, address: SocketAddr) {
        if let Some(listener) = self.others.get_mut(&address) {
            listener.heard = true;
        }
    }

    /// No more lines come from there.
    pub(crate) fn lost(&mut self, address: SocketAddr) {
        if let Some(listener) = self.others.get_mut(&address) {
            listener.heard = false;
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

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
