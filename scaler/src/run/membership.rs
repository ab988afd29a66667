//! The other proxies, as the loop sees them: what it hears of them becomes part
//! of its models' readings, and whether it leads becomes theirs.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::{Loop, controller::ModelController};
use crate::{
    clock::Nanos,
    ledger::Reading,
    peers::{
        LeaderElector, MembershipEvent, Role, Settings, Subscriptions, TroubleSource,
        peer_counts::{PeerCounts, UpdateResult},
    },
    status::{MembershipStatus, StatusStore},
};

/// See the [module](self).
pub(super) struct Membership {
    instance: String,
    peers: PeerCounts,
    subscriptions: Subscriptions,
    role: Role,
    /// `None`: we are alone.
    elector: Option<LeaderElector>,
    leader: Option<String>,
    trouble: BTreeMap<TroubleSource, String>,
}

/// What a model's turn needs to know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
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

    /// Who leads, by what the Lease says.
    pub(super) fn leader(&self) -> Option<String> {
        self.leader.clone()
    }

    pub(super) fn is_alone(&self) -> bool {
        self.elector.is_none()
    }

    pub(super) fn others(&self, model: &str) -> Others {
        Others {
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

    fn take_in(&mut self, event: MembershipEvent) {
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

impl Loop {
    pub(super) fn membership_changed(&mut self, event: MembershipEvent) {
        let role = self.membership.role;
        self.membership.take_in(event);
        self.pass_on_counts();
        if role != self.membership.role {
            for controller in self.models.values_mut() {
                controller.set_role(self.membership.role);
            }
            self.membership.show(&self.options.status);
        }
    }

    /// What has changed of the others' counts becomes part of the readings.
    pub(super) fn pass_on_counts(&mut self) {
        for (model, change) in self.membership.peers.take_changes() {
            if let Some(controller) = self.models.get_mut(&model) {
                controller.hear(self.membership.others(&model), &change);
            }
        }
    }

    /// The others are told what was last read here.
    pub(super) fn publish(&self) {
        let counts =
            |(name, controller): (&String, &ModelController)| (name.clone(), controller.counts());
        self.options.publisher.publish(
            self.membership.role,
            self.models.iter().map(counts).collect(),
        );
    }
}
