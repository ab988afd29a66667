//! Models of process servers that share the devices and the memory of one machine.
//!
//! [`process`](super::process) runs their replicas. [`placement`](crate::placement) decides which
//! model has a replica on which device, and which model gives way if there is not room for all.
//! One task, the [`reconciler`], owns all state.

mod bins;
#[cfg(test)]
mod fixtures;
mod models;
mod reconciler;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tailback_config::{Model, Placement};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::bins::{is_kept, pool_of, pools};
use self::reconciler::{Command, Reconciler};
use super::{Demand, Events, Orchestrator, ReplicaSet, ScaleError, process::Processes};
use crate::{
    placement::LoadTries,
    replica::{Devices, Replica},
    server_status::ServerStatusStore,
};

/// The orchestrator of models that share the machine's room.
pub struct HostPlacement {
    commands: mpsc::UnboundedSender<Command>,
    processes: Arc<Processes>,
}

impl HostPlacement {
    /// An orchestrator without models. `processes` runs the replicas. Replica sets are sent to
    /// `events`, and the state of the machine is kept in `status`. Failed starts are retried as
    /// `placement` says for loads. Needs a tokio runtime around it.
    #[must_use]
    pub fn new(
        processes: Arc<Processes>,
        events: Events,
        status: ServerStatusStore,
        placement: &Placement,
    ) -> Self {
        let (commands, inbox) = mpsc::unbounded_channel();
        let tries = LoadTries::of(placement);
        let reconciler = Reconciler::new(processes.clone(), events, status, tries);
        tokio::spawn(reconciler.run(inbox));
        Self {
            commands,
            processes,
        }
    }

    /// Takes the replica set of a model from the process orchestrator. Sets of models that do not
    /// share the machine are ignored.
    pub fn changed(&self, set: ReplicaSet) {
        self.send(Command::Changed(Box::new(set)));
    }

    /// Takes over replicas that the previous process has started: the devices of each, by model.
    pub fn inherit(&self, devices: BTreeMap<String, Vec<Devices>>) {
        self.send(Command::Inherit(devices));
    }

    /// While retired, it starts and stops no replicas, because another process does.
    pub fn set_retired(&self, retired: bool) {
        self.send(Command::Retire(retired));
    }

    fn send(&self, command: Command) {
        // Fails only when the scaler has stopped.
        let _ = self.commands.send(command);
    }
}

#[async_trait]
impl Orchestrator for HostPlacement {
    fn follow(&self, model: &Arc<Model>) {
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
        self.processes.replace(model, replica).await;
    }

    async fn restart(&self, model: &str, replica: &Arc<Replica>) -> Result<(), ScaleError> {
        self.processes.restart(model, replica).await
    }

    async fn forget(&self, model: &str) {
        let (done, answered) = oneshot::channel();
        self.send(Command::Forget(model.to_owned(), done));
        let _ = answered.await;
        self.processes.forget(model).await;
    }

    /// Nothing to do: the process orchestrator stops the replicas.
    async fn shutdown(&self) {}
}
