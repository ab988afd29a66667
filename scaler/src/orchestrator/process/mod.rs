//! Local processes: the embedded orchestrator.
//!
//! Per model one [`set`] task, which holds as many processes as are wanted;
//! per process one [`instance`] task, which leads it from start to end. A
//! [`supervisor`] stands between the proxy and each command, so that the command and
//! all it started end even if the proxy is killed; see [`leftovers`] for what happens
//! if that is killed as well.

mod backoff;
mod cgroup;
mod command;
mod environment;
mod host;
mod instance;
mod leftovers;
mod listener;
mod logs;
mod plan;
mod port;
mod probe;
mod process_tree;
mod set;
pub mod supervisor;
mod user;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use tailback_config::Model;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

use self::{host::Host, set::Wanted};
use super::{Events, Orchestrator, ScaleError};

/// Runs replicas as child processes. Needs a tokio runtime around it.
#[derive(Debug)]
pub struct Processes {
    host: Arc<Host>,
    events: Events,
    sets: Mutex<HashMap<String, Running>>,
    /// Of models that are no longer served: their replicas may still drain.
    leaving: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Running {
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

impl Processes {
    /// `supervisor` is the program that runs [`supervisor::main`] when its first
    /// argument is [`supervisor::ARGUMENT`]: the proxy itself.
    #[must_use]
    pub fn new(supervisor: PathBuf, events: Events) -> Self {
        Self {
            host: Arc::new(Host::new(supervisor)),
            events,
            sets: Mutex::default(),
            leaving: Mutex::default(),
        }
    }
}

#[async_trait]
impl Orchestrator for Processes {
    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError> {
        if model.server.process().is_none() {
            return Err(ScaleError::Refused(format!(
                "server {} runs no process",
                model.server.name
            )));
        }
        let wanted = Wanted {
            model: model.clone(),
            replicas,
        };
        let mut sets = self.sets.lock().await;
        if let Some(set) = sets.get(&model.name).filter(|set| !set.task.is_finished()) {
            set.wanted.send_replace(wanted);
            return Ok(());
        }
        let (sender, receiver) = watch::channel(wanted);
        let task = tokio::spawn(set::run(receiver, self.host.clone(), self.events.clone()));
        sets.insert(
            model.name.clone(),
            Running {
                wanted: sender,
                task,
            },
        );
        Ok(())
    }

    async fn forget(&self, model: &str) {
        // Dropping the sender tells the set to end; its task goes on until it has.
        if let Some(set) = self.sets.lock().await.remove(model) {
            let mut leaving = self.leaving.lock().await;
            leaving.retain(|task| !task.is_finished());
            leaving.push(set.task);
        }
    }

    async fn shutdown(&self) {
        // Whoever shuts down has waited for requests as long as it would.
        self.host.shut_down();
        let sets: Vec<_> = self.sets.lock().await.drain().collect();
        let leaving: Vec<_> = self.leaving.lock().await.drain(..).collect();
        let tasks: Vec<_> = sets.into_iter().map(|(_, set)| set.task).collect();
        for task in tasks.into_iter().chain(leaving) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a replica set's task failed");
            }
        }
    }
}
