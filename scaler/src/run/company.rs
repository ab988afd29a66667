//! The other proxies, as the loop sees them: what it hears of them becomes part
//! of its models' readings, and whether it leads becomes theirs.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::Loop;
use crate::{
    board::Board,
    clock::Nanos,
    ledger::Reading,
    peers::{
        Candidate, Event, Listeners, Role, Settings, Source,
        sum::{Heard, Peers},
    },
};

/// See the [module](self).
pub(super) struct Company {
    instance: String,
    peers: Peers,
    listeners: Listeners,
    role: Role,
    /// `None`: we are alone.
    candidate: Option<Candidate>,
    leader: Option<String>,
    trouble: BTreeMap<Source, String>,
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

/// What the board shows.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The name of this start of this proxy.
    pub instance: String,
    /// What it does about replicas.
    pub role: Role,
    /// Who leads, by what the Lease says.
    pub leader: Option<String>,
    /// The others.
    pub peers: Vec<crate::peers::sum::View>,
    /// Where others are listed that it does not hear: what they count now is not known.
    pub unheard: Vec<std::net::SocketAddr>,
    /// What keeps it from the others, or from leading.
    pub trouble: Vec<String>,
}

impl Company {
    /// Begins to look for others, if there may be any. Needs a runtime around it.
    pub(super) fn new(
        instance: &str,
        settings: Option<&Settings>,
    ) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, events) = mpsc::unbounded_channel();
        let candidate =
            settings.map(|settings| Candidate::start(instance, settings, sender.clone()));
        let company = Self {
            instance: instance.to_owned(),
            peers: Peers::new(instance.to_owned()),
            listeners: Listeners::new(sender),
            role: if candidate.is_some() {
                Role::Follows
            } else {
                Role::Leads
            },
            candidate,
            leader: None,
            trouble: BTreeMap::new(),
        };
        (company, events)
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
        self.candidate.is_none()
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
        if let Some(candidate) = &self.candidate {
            candidate.resign();
        }
    }

    /// As [`hand_over`](Self::hand_over); returns when that is done, or would not be.
    pub(super) async fn leave(&mut self) {
        if let Some(candidate) = self.candidate.take() {
            candidate.leave().await;
        }
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Listed(addresses) => {
                self.peers.listed(&addresses);
                self.listeners.list(addresses);
            }
            Event::Heard { address, line, at } => match self.peers.heard(address, line, at) {
                Heard::Own => self.listeners.leave(address),
                Heard::Counted | Heard::Twice | Heard::Late => self.listeners.heard(address),
                Heard::StepsDown => {
                    self.listeners.heard(address);
                    self.candidate.iter().for_each(Candidate::try_now);
                }
            },
            Event::Lost { address } => {
                self.peers.lost(address, Nanos::now());
                self.listeners.lost(address);
                self.peers.listed(self.listeners.listed());
            }
            Event::Elected { role, leader } => (self.role, self.leader) = (role, leader),
            Event::Trouble { of, why: Some(why) } => {
                self.trouble.insert(of, why);
            }
            Event::Trouble { of, why: None } => {
                self.trouble.remove(&of);
            }
        }
    }

    /// Shows who there is, if there may be anybody.
    pub(super) fn show(&self, board: &Board) {
        if self.is_alone() {
            return;
        }
        board.show_proxies(Proxies {
            instance: self.instance.clone(),
            role: self.role,
            leader: self.leader.clone(),
            peers: self.peers.views().collect(),
            unheard: self.listeners.unheard(),
            trouble: self.trouble.values().cloned().collect(),
        });
    }
}

impl Loop {
    pub(super) fn company_changed(&mut self, event: Event) {
        let role = self.company.role;
        self.company.take_in(event);
        self.pass_on_counts();
        if role != self.company.role {
            for tracked in self.models.values_mut() {
                tracked.set_role(self.company.role);
            }
            self.company.show(&self.options.board);
        }
    }

    /// What has changed of the others' counts becomes part of the readings.
    pub(super) fn pass_on_counts(&mut self) {
        for (model, change) in self.company.peers.take_changes() {
            if let Some(tracked) = self.models.get_mut(&model) {
                tracked.hear(self.company.others(&model), &change);
            }
        }
    }

    /// The others are told what was last read here.
    pub(super) fn tell(&self) {
        let told =
            |(name, tracked): (&String, &super::tracked::Tracked)| (name.clone(), tracked.told());
        self.options
            .herald
            .tell(self.company.role, self.models.iter().map(told).collect());
    }
}
