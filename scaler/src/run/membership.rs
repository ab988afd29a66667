//! The group of proxies: adds the others' counts to the models' readings, and follows the
//! election, which decides whether this proxy scales.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::{
    clock::Nanos,
    ledger::Reading,
    peers::{
        LeaderElector, MembershipEvent, Role, Settings, Subscriptions, TroubleSource,
        peer_counts::{CountsChange, PeerCounts, UpdateResult},
    },
    status::{MembershipStatus, StatusStore},
};

/// The other proxies, and this proxy's role.
pub(super) struct Membership {
    instance: String,
    peers: PeerCounts,
    subscriptions: Subscriptions,
    role: Role,
    /// Whether this proxy has stopped leading and still holds the Lease.
    releasing: bool,
    /// Whether a successor process has taken over from this one.
    retired: bool,
    /// `None`: this proxy is alone.
    elector: Option<LeaderElector>,
    leader: Option<String>,
    trouble: BTreeMap<TroubleSource, String>,
}

/// What a model's controller needs of the other proxies.
#[derive(Clone, Copy, Debug)]
pub(super) struct MembershipView {
    pub role: Role,
    /// How many proxies there are, this one included.
    pub proxies: u64,
    /// The sum of the others' counts.
    pub counts: Reading,
}

impl Membership {
    /// Starts to discover others if `settings` are given. Needs a tokio runtime around it.
    pub(super) fn new(
        instance: &str,
        settings: Option<&Settings>,
    ) -> (Self, mpsc::UnboundedReceiver<MembershipEvent>) {
        let (sender, events) = mpsc::unbounded_channel();
        let elector =
            settings.map(|settings| LeaderElector::start(instance, settings, sender.clone()));
        let membership = Self {
            instance: instance.to_owned(),
            peers: PeerCounts::new(instance.to_owned()),
            subscriptions: Subscriptions::new(sender),
            role: if elector.is_some() {
                Role::Follows
            } else {
                Role::Leads
            },
            releasing: false,
            retired: false,
            elector,
            leader: None,
            trouble: BTreeMap::new(),
        };
        (membership, events)
    }

    /// Whether this proxy asks for replicas.
    pub(super) fn leads(&self) -> bool {
        self.role == Role::Leads
    }

    /// This proxy's role.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The role that is published to other proxies. A leader that stops publishes this only after
    /// it has released the Lease, because the others then try to take it at once.
    pub(super) fn published_role(&self) -> Role {
        match self.releasing {
            true => Role::Leads,
            false => self.role,
        }
    }

    /// The models whose counts at peers have changed since the last call.
    pub(super) fn take_changes(&mut self) -> BTreeMap<String, CountsChange> {
        self.peers.take_changes()
    }

    /// The name of the leader, from the Lease.
    pub(super) fn leader(&self) -> Option<String> {
        self.leader.clone()
    }

    /// Whether this proxy's counts are published to no other proxy.
    pub(super) fn is_alone(&self) -> bool {
        self.elector.is_none() && !self.retired
    }

    /// Sets whether a successor process on this host leads in place of this one.
    pub(super) fn retire(&mut self, retired: bool) {
        self.retired = retired;
        self.role = match retired {
            true => Role::Follows,
            false => Role::Leads,
        };
    }

    /// Whether a successor process on this host leads, or is about to.
    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    pub(super) fn view(&self, model: &str) -> MembershipView {
        MembershipView {
            role: self.role,
            proxies: self.peers.len() as u64 + 1,
            counts: self.peers.total(model),
        }
    }

    /// Gives up proxies that have been lost for too long.
    pub(super) fn pass(&mut self, now: Nanos) {
        self.peers.pass(now);
    }

    /// Stops leading, so that another proxy can lead at once.
    pub(super) fn hand_over(&self) {
        if let Some(elector) = &self.elector {
            elector.resign();
        }
    }

    /// As [`hand_over`](Self::hand_over), and returns when the Lease is released or could not be
    /// released.
    pub(super) async fn leave(&mut self) {
        if let Some(elector) = self.elector.take() {
            elector.leave().await;
        }
    }

    /// Applies an event.
    pub(super) fn apply(&mut self, event: MembershipEvent) {
        match event {
            MembershipEvent::Listed(addresses) => {
                self.peers.listed(&addresses);
                self.subscriptions.list(addresses);
            }
            MembershipEvent::Update {
                address,
                update,
                at,
            } => match self.peers.apply(address, update, at) {
                UpdateResult::Own => self.subscriptions.leave(address),
                UpdateResult::Counted | UpdateResult::Duplicate | UpdateResult::Stale => {
                    self.subscriptions.connected(address)
                }
                UpdateResult::StepsDown => {
                    self.subscriptions.connected(address);
                    self.elector.iter().for_each(LeaderElector::try_now);
                }
            },
            MembershipEvent::Lost { address } => {
                self.peers.lost(address, Nanos::now());
                self.subscriptions.lost(address);
                self.peers.listed(self.subscriptions.listed());
            }
            MembershipEvent::Elected { role, leader } => (self.role, self.leader) = (role, leader),
            MembershipEvent::Releasing => self.releasing = true,
            MembershipEvent::Released => self.releasing = false,
            MembershipEvent::Trouble { of, why: Some(why) } => {
                self.trouble.insert(of, why);
            }
            MembershipEvent::Trouble { of, why: None } => {
                self.trouble.remove(&of);
            }
        }
    }

    /// Publishes the group to `status`, unless this proxy is alone.
    pub(super) fn show(&self, status: &StatusStore) {
        if self.elector.is_none() {
            return;
        }
        status.set_membership(MembershipStatus {
            instance: self.instance.clone(),
            role: self.role,
            leader: self.leader.clone(),
            peers: self.peers.views().collect(),
            unreachable: self.subscriptions.unreachable(),
            trouble: self.trouble.values().cloned().collect(),
        });
    }
}
