//! Servers whose replicas host many models each.
//!
//! The replicas of such a server are run by the orchestrator of its kind, to which the server
//! looks like a model of its own. Models are loaded into these replicas and unloaded through their
//! repository API, as [`placement`](crate::placement) decides. One task, the [`reconciler`], owns
//! all state. It receives the scaler's counts, the reports of the servers' orchestrators and the
//! results of calls, makes a plan, and carries it out.

mod bins;
mod calls;
mod carry_out;
mod depart;
mod fetches;
mod hosted;
mod index;
mod loads;
pub(super) mod models;
mod outcome;
mod reconciler;
mod report;
mod repository;
mod scale;
mod servers;
mod storage;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use tailback_config::{Kind, Model, Placement};
use tokio::sync::{mpsc, oneshot};

use self::reconciler::{Command, Reconciler};
use super::{Demand, Events, Orchestrator, ReplicaSet, ScaleError, handover::InheritedModel};
use crate::{replica::Replica, server_status::ServerStatusStore};

/// The orchestrators that run the replicas of servers, by kind.
#[derive(Clone)]
pub struct ServerOrchestrators {
    /// Of process servers.
    pub processes: Arc<dyn Orchestrator>,
    /// Of static servers.
    pub static_endpoints: Arc<dyn Orchestrator>,
    /// Of Kubernetes servers.
    pub kubernetes: Arc<dyn Orchestrator>,
}

/// The orchestrator of models on multi-model servers.
pub struct MultiModelServers {
    commands: mpsc::UnboundedSender<Command>,
    /// The counts that the servers' orchestrators were asked for, by server. Written by the
    /// reconciler.
    asked: Asked,
}

/// How many replicas each server was asked for. Clones share the map.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<Mutex<BTreeMap<String, u32>>>);

impl Asked {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        // A poisoned lock is fine: each change is one insertion or removal.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl ServerOrchestrators {
    /// The orchestrator of this kind of server, if it reports each replica by itself.
    fn of(&self, kind: &Kind) -> Option<&Arc<dyn Orchestrator>> {
        match kind {
            Kind::Process(_) => Some(&self.processes),
            Kind::Static(_) => Some(&self.static_endpoints),
            Kind::Kubernetes(_) => Some(&self.kubernetes),
            // The configuration refuses multi-model servers of these kinds.
            Kind::Webhook(_) | Kind::Seldon(_) => None,
        }
    }
}

impl MultiModelServers {
    /// An orchestrator without models, whose servers are run by `servers`. Replica sets of models
    /// are sent to `events`, and the state of servers to `status`. Needs a tokio runtime around
    /// it.
    #[must_use]
    pub fn new(
        servers: ServerOrchestrators,
        events: Events,
        placement: Placement,
        status: ServerStatusStore,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let asked = Asked::default();
        let reconciler = Reconciler::new(servers, events, placement, status, asked.clone());
        tokio::spawn(reconciler.run(inbox));
        Self { commands, asked }
    }

    /// Takes a report of a server's orchestrator. Reports of other models are ignored.
    pub fn server_changed(&self, set: ReplicaSet) {
        self.send(Command::ServerChanged(Box::new(set)));
    }

    /// The count that each server was asked for, to hand over to the next process.
    #[must_use]
    pub fn bequest(&self) -> BTreeMap<String, InheritedModel> {
        let desired = |(name, desired): (&String, &u32)| {
            let own = InheritedModel {
                desired: *desired,
                ..InheritedModel::default()
            };
            (name.clone(), own)
        };
        self.asked.lock().iter().map(desired).collect()
    }

    /// Takes over the counts that the process before this one asked for.
    pub fn inherit(&self, inherited: BTreeMap<String, InheritedModel>) {
        self.send(Command::Inherit(inherited));
    }

    /// The servers that have models now.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<String> {
        self.asked.lock().keys().cloned().collect()
    }

    /// Stops to load, unload and scale because another process does, or begins again.
    pub fn set_retired(&self, retired: bool) {
        self.send(Command::Retire(retired));
    }

    fn send(&self, command: Command) {
        // Fails only when the scaler has stopped.
        let _ = self.commands.send(command);
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, answered) = oneshot::channel();
        self.send(command(done));
        let _ = answered.await;
    }
}

#[async_trait]
impl Orchestrator for MultiModelServers {
    fn follow(&self, model: &Arc<Model>) {
        // Set here already, so that the next report of this server is passed on.
        self.asked
            .lock()
            .entry(model.server.name.clone())
            .or_default();
        self.send(Command::Follow(model.clone()));
    }

    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError> {
        self.send(Command::Scale(model.name.clone(), replicas));
        Ok(())
    }

    fn demand(&self, model: &str, demand: Demand) {
        self.send(Command::Demand(model.to_owned(), demand));
    }

    async fn replace(&self, model: &str, replica: &Arc<Replica>) {
        self.send(Command::Replace(model.to_owned(), replica.clone()));
    }

    /// Restarts the server's replica, with all models in it.
    async fn restart(&self, model: &str, replica: &Arc<Replica>) -> Result<(), ScaleError> {
        let (answer, answered) = oneshot::channel();
        let (model, replica) = (model.to_owned(), replica.clone());
        self.send(Command::Restart(model, replica, answer));
        let stopped = |_| ScaleError::Failed("the scaler has stopped".to_owned());
        answered.await.map_err(stopped)?
    }

    async fn forget(&self, model: &str) {
        self.ask(|done| Command::Forget(model.to_owned(), done))
            .await;
    }

    /// Returns at once: the orchestrators of the servers stop their replicas, with all models.
    async fn shutdown(&self) {
        self.ask(Command::Stop).await;
    }
}
