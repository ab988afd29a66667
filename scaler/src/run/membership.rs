//! The other proxies: their counts become part of the models' readings, and the
//! election decides whether this proxy asks for replicas.

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

/// The other proxies, and this one's role among them.
pub(super) struct Membership {
    instance: String,
    peers: PeerCounts,
    subscriptions: Subscriptions,
    role: Role,
    /// Whether the Lease is still ours, though we lead no more.
    releasing: bool,
    /// `None`: we are alone.
    elector: Option<LeaderElector>,
    leader: Option<String>,
    trouble: BTreeMap<TroubleSource, String>,
}

/// What a model's controller needs to know of the other proxies.
#[derive(Clone, Copy, Debug)]
pub(super) struct MembershipView {
    pub role: Role,
    /// How many proxies there are, this one among them.
    pub proxies: u64,
    /// What the others count.
    pub counts: Reading,
}

impl Membership {
    /// Begins to look for others, if there may be any. Needs a runtime around it.
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

    /// What this proxy does about replicas.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// What the other proxies are told of that: who steps down says so once the
    /// Lease is free, as whoever hears it tries to get it at once.
    pub(super) fn told_role(&self) -> Role {
        match self.releasing {
            true => Role::Leads,
            false => self.role,
        }
    }

    /// The models whose counts at peers have changed since the last call.
    pub(super) fn take_changes(&mut self) -> BTreeMap<String, CountsChange> {
        self.peers.take_changes()
    }

    /// Who leads, by what the Lease says.
    pub(super) fn leader(&self) -> Option<String> {
        self.leader.clone()
    }

    pub(super) fn is_alone(&self) -> bool {
        self.elector.is_none()
    }

    pub(super) fn view(&self, model: &str) -> MembershipView {
        MembershipView {
            role: self.role,
            proxies: self.peers.len() as u64 + 1,
            counts: self.peers.total(model),
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, now: Nanos) {
        self.peers.pass(now);
    }

    /// Another one may lead at once; this one does not any more.
    pub(super) fn hand_over(&self) {
        if let Some(elector) = &self.elector {
            elector.resign();
        }
    }

    /// As [`hand_over`](Self::hand_over); returns when that is done, or would not be.
    pub(super) async fn leave(&mut self) {
        if let Some(elector) = self.elector.take() {
            elector.leave().await;
        }
    }

    /// Takes in what happened.
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
            } => match self.peers.heard(address, update, at) {
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

    /// Shows who there is, if there may be anybody.
    pub(super) fn show(&self, status: &StatusStore) {
        if self.is_alone() {
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
