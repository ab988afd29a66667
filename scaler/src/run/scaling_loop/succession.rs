//! Taking over from another process, and handing over to one: see
//! [`succession`](crate::run::succession).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::unix::net,
};

use tokio::{
    net::UnixStream,
    sync::{oneshot, watch},
};

use super::Loop;
use crate::{
    orchestrator::{
        ReplicaSet,
        handover::{Inherited, Parcel},
    },
    peers::Role,
    run::{
        command::HandedOut,
        succession::{Predecessor, PredecessorEvent, lost, serve},
    },
};

impl Loop {
    /// Takes over the predecessor's state and replicas, for the models that are configured next.
    pub(super) async fn inherit(
        &mut self,
        inherited: Inherited,
        parcels: Vec<Parcel>,
    ) -> io::Result<()> {
        let local = self.orchestrators.local();
        self.succession.replicas = local.take_over(inherited.next_group, parcels).await?;
        let mut devices = BTreeMap::<_, Vec<_>>::new();
        for (model, replica) in &self.succession.replicas {
            let own = devices.entry(model.clone()).or_default();
            own.push(replica.devices().clone());
        }
        self.orchestrators.host().inherit(devices);
        let multi_model = self.orchestrators.multi_model();
        multi_model.inherit(inherited.models.clone());
        self.succession.inherited = inherited.models;
        Ok(())
    }

    /// Connects to the predecessor. All models are configured by now.
    pub(super) async fn attach(&mut self, link: net::UnixStream, gone: watch::Sender<bool>) {
        let link = match UnixStream::from_std(link) {
            Ok(link) => link,
            Err(error) => {
                tracing::error!(%error, "cannot speak with the process before this one");
                return self.predecessor_gone(&gone);
            }
        };
        // A model that is added later is not the predecessor's model of that name.
        self.succession.inherited.clear();
        let servers = self.orchestrators.multi_model().servers();
        let local = |name: &String| {
            let controller = self.models.get(name);
            controller.is_some_and(|c| c.is_local()) || servers.contains(name)
        };
        let replicas = std::mem::take(&mut self.succession.replicas);
        let rest: BTreeSet<_> = replicas.iter().map(|(model, _)| model.clone()).collect();
        let rest: Vec<_> = rest.into_iter().filter(|name| !local(name)).collect();
        self.orchestrators.local().close_rest(&rest).await;
        let sender = self.succession.sender.clone();
        let predecessor = Predecessor::attach(link, replicas, sender);
        for set in self.models.values().filter_map(|c| c.local_set()) {
            predecessor.tell(set);
        }
        for model in rest {
            predecessor.tell(&ReplicaSet {
                model,
                ..ReplicaSet::default()
            });
        }
        self.succession.predecessor = Some((predecessor, gone));
    }

    pub(super) fn predecessor_said(&mut self, event: PredecessorEvent) {
        match event {
            PredecessorEvent::Counted(event) => return self.membership_changed(*event),
            PredecessorEvent::Freed => {}
            PredecessorEvent::Gone => {
                self.membership_changed(lost());
                if let Some((_, gone)) = self.succession.predecessor.take() {
                    self.predecessor_gone(&gone);
                }
            }
        }
        for controller in self.models.values() {
            controller.slots_freed();
        }
    }

    fn predecessor_gone(&self, gone: &watch::Sender<bool>) {
        self.orchestrators.local().predecessor_gone();
        gone.send_replace(true);
    }

    /// Parks all replicas and stops scaling, so that a successor can manage them.
    pub(super) async fn hand_out(&mut self, answer: oneshot::Sender<io::Result<HandedOut>>) {
        self.set_retired(true);
        let models = self
            .models
            .iter()
            .map(|(name, c)| (name.clone(), c.bequest()));
        let servers = self.orchestrators.multi_model().bequest();
        let models = models.chain(servers).collect();
        let handed_out = self.orchestrators.local().hand_out().await;
        let handed_out = handed_out.map(|(next_group, parcels)| HandedOut {
            inherited: Inherited { models, next_group },
            parcels,
        });
        let failed = handed_out.is_err();
        if answer.send(handed_out).is_err() || failed {
            self.take_back().await;
        }
    }

    /// Manages the replicas again: no successor took over.
    pub(super) async fn take_back(&mut self) {
        self.orchestrators.local().take_back().await;
        self.set_retired(false);
    }

    /// The successor manages the replicas. Follows it until it has ended.
    pub(super) async fn retire(&mut self, link: net::UnixStream, gone: watch::Sender<bool>) {
        let local = self.orchestrators.local().clone();
        local.let_go().await;
        match UnixStream::from_std(link) {
            Ok(link) => serve(link, local, self.options.publisher.subscribe(), gone),
            Err(error) => {
                tracing::error!(%error, "cannot speak with the process that took over");
                gone.send_replace(true);
            }
        }
    }

    fn set_retired(&mut self, retired: bool) {
        self.orchestrators.multi_model().set_retired(retired);
        self.orchestrators.host().set_retired(retired);
        self.membership.retire(retired);
        let role = if retired { Role::Follows } else { Role::Leads };
        for controller in self.models.values_mut() {
            controller.set_role(role);
        }
    }
}
