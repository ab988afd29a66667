//! Local processes: the built-in orchestrator.
//!
//! Each model has a [`set`] task, which keeps the desired number of processes. Each process has
//! an [`instance`] task for its life from start to end. A [`supervisor`] runs between the proxy
//! and each command, so that the command and its descendants end even if the proxy is killed.
//! [`leftovers`] handles the case that supervisors are killed too.

mod backoff;
mod cgroup;
mod command;
mod description;
mod environment;
mod follower;
mod handover;
mod host;
mod instance;
mod leftovers;
mod listener;
mod logs;
mod plan;
mod port;
mod process_tree;
mod readiness;
mod set;
mod supervision;
pub mod supervisor;
mod usage;
mod user;
mod warm_up;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex as SyncMutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use nix::unistd::Pid;
use tailback_config::Model;
use tokio::{
    sync::{Mutex, mpsc, oneshot, watch},
    task::JoinHandle,
};

use self::{
    follower::SuccessorFollower,
    handover::{HandoverReplica, SetLine},
    host::Host,
    leftovers::Owner,
    set::{Park, ParkedSet, Wanted},
};
pub use self::{
    follower::{ReplicaLoad, SuccessorReplica, SuccessorSet},
    leftovers::LINEAGE,
};
use super::{Events, Orchestrator, ScaleError, handover::Parcel};
use crate::{
    replica::{Devices, Replica},
    replica_logs::ReplicaLogs,
};

/// Runs replicas as child processes. Needs a tokio runtime around it.
#[derive(Debug)]
pub struct Processes {
    host: Arc<Host>,
    events: Events,
    sets: Mutex<HashMap<String, Running>>,
    /// The tasks of models that are no longer served and whose replicas may still drain.
    leaving: Mutex<Vec<JoinHandle<()>>>,
    /// Sets that no task manages: those of the predecessor until their model is scaled, and those
    /// that are being handed over to the successor.
    parked: Mutex<HashMap<String, ParkedModel>>,
    /// Whether replicas have been handed over. No set is started from then on.
    handed_out: AtomicBool,
    /// After a hand-over: the replicas as the successor reports them.
    follower: SyncMutex<Option<SuccessorFollower>>,
}

#[derive(Debug)]
struct Running {
    wanted: watch::Sender<Wanted>,
    park: mpsc::Sender<Park>,
    task: JoinHandle<()>,
}

/// A set that no task manages.
#[derive(Debug, Default)]
struct ParkedModel {
    set: ParkedSet,
    /// The scaler's last request, if there was one in this process.
    wanted: Option<Wanted>,
}

/// The owner of the replicas that this process starts: this process or, after upgrades, the first
/// process of the chain. `None` without `/proc`.
#[must_use]
pub fn lineage() -> Option<String> {
    Owner::this().map(|owner| owner.to_string())
}

/// Identifies this process among all that ran on this host since it booted. `None` without `/proc`.
#[must_use]
pub fn identity() -> Option<String> {
    Owner::process().map(|owner| owner.to_string())
}

/// The id of the process with this [`identity`], if it runs and this process can see it.
#[must_use]
pub fn running(identity: &str) -> Option<Pid> {
    Owner::parse(identity)?.pid()
}

impl Processes {
    /// An orchestrator without models. `supervisor` is the program that runs [`supervisor::main`]
    /// when its first argument is [`supervisor::ARGUMENT`]: the proxy's own binary. Replica sets
    /// are sent to `events`, and the lines that replicas print go to `logs`.
    #[must_use]
    pub fn new(supervisor: PathBuf, events: Events, logs: ReplicaLogs) -> Self {
        Self {
            host: Arc::new(Host::new(supervisor, logs)),
            events,
            sets: Mutex::default(),
            leaving: Mutex::default(),
            parked: Mutex::default(),
            handed_out: AtomicBool::new(false),
            follower: SyncMutex::default(),
        }
    }

    /// Takes over the parcels that another proxy has [handed out](Self::hand_out), and returns the
    /// replicas, each with its model. Their management begins when their model is
    /// [scaled](Orchestrator::scale); those of other models wait for
    /// [`close_rest`](Self::close_rest).
    ///
    /// # Errors
    /// If a parcel is malformed or lacks a descriptor.
    pub async fn take_over(
        &self,
        next_group: u64,
        parcels: Vec<Parcel>,
    ) -> io::Result<Vec<(String, Arc<Replica>)>> {
        self.host.take_over(next_group);
        let mut replicas = Vec::new();
        let mut parked = self.parked.lock().await;
        for parcel in parcels {
            if parcel.descriptors.is_empty() {
                let line: SetLine = parcel.read()?;
                self.host.logs.restore(&line.model, line.logs);
                let parked_model = parked.entry(line.model).or_default();
                parked_model.set.next_id = line.next_id;
                parked_model.set.start_up = line.start_up;
                parked_model.set.failure = line.failure;
            } else {
                let line: HandoverReplica = parcel.read()?;
                let set = parked.entry(line.model.clone()).or_default();
                let model = line.model.clone();
                let instance = line.open(&self.host, parcel.descriptors)?;
                replicas.push((model, instance.parked.context.replica.clone()));
                set.set.instances.push(instance);
            }
        }
        Ok(replicas)
    }

    /// Drains the taken-over replicas of the models `rest`, which are not served here.
    pub async fn close_rest(&self, rest: &[String]) {
        for model in rest {
            if let Some(parked_model) = self.parked.lock().await.remove(model) {
                tracing::info!(model, "no longer served: its replicas drain");
                self.leaving.lock().await.extend(parked_model.set.close());
            }
        }
    }

    /// Parks all replicas for a successor. They run on unmanaged until
    /// [`take_back`](Self::take_back), or until [`let_go`](Self::let_go) leaves them to the
    /// successor. Returns the number of the next control group, and the parcels.
    ///
    /// # Errors
    /// If a descriptor cannot be duplicated.
    pub async fn hand_out(&self) -> io::Result<(u64, Vec<Parcel>)> {
        self.handed_out.store(true, Ordering::Relaxed);
        let running: Vec<_> = self.sets.lock().await.drain().collect();
        let mut parked = self.parked.lock().await;
        let mut parcels = Vec::new();
        for (model, running) in running {
            let (answer, set) = oneshot::channel();
            // It fails only if the set's task has failed; then its replicas are gone.
            let asked = running.park.send(answer).await.is_ok();
            let (true, Ok(set)) = (asked, set.await) else {
                continue;
            };
            let wanted = Some(running.wanted.borrow().clone());
            parked.insert(model, ParkedModel { set, wanted });
        }
        for (model, parked_model) in &*parked {
            parcels.extend(parked_model.set.parcels(model, &self.host.logs)?);
        }
        Ok((self.host.next_group(), parcels))
    }

    /// Manages the replicas again, because no successor has taken them over.
    pub async fn take_back(&self) {
        let parked: Vec<_> = self.parked.lock().await.drain().collect();
        let mut sets = self.sets.lock().await;
        self.handed_out.store(false, Ordering::Relaxed);
        for (model, ParkedModel { set, wanted }) in parked {
            if let Some(wanted) = wanted {
                sets.insert(model, self.manage(wanted, set));
            }
        }
    }

    /// Leaves the replicas to the successor, whose reports [`apply`](Self::apply) takes.
    pub async fn let_go(&self) {
        let parked = self.parked.lock().await.drain().collect::<Vec<_>>();
        let replicas = parked.into_iter().map(|(model, parked_model)| {
            let instances = parked_model.set.instances.into_iter();
            let replicas = instances.map(|instance| {
                let replica = instance.parked.context.replica;
                (replica.name().to_owned(), replica)
            });
            (model, replicas.collect::<BTreeMap<_, _>>())
        });
        *self.follower() = Some(SuccessorFollower::new(
            self.events.clone(),
            replicas.collect(),
        ));
    }

    /// Applies a report of the successor.
    pub fn apply(&self, latest: SuccessorSet) {
        if let Some(follower) = &mut *self.follower() {
            follower.apply(latest);
        }
    }

    /// This process's requests at each replica, after [`let_go`](Self::let_go).
    #[must_use]
    pub fn loads(&self) -> BTreeMap<String, ReplicaLoad> {
        let follower = self.follower();
        follower
            .as_ref()
            .map(SuccessorFollower::loads)
            .unwrap_or_default()
    }

    /// The predecessor has ended.
    pub fn predecessor_gone(&self) {
        self.host.predecessor_gone();
    }

    fn follower(&self) -> MutexGuard<'_, Option<SuccessorFollower>> {
        self.follower.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// As [`scale`](Orchestrator::scale), with the devices of each replica.
    ///
    /// # Errors
    /// [`ScaleError`], if the request was not accepted.
    pub async fn place(&self, model: &Arc<Model>, devices: Vec<Devices>) -> Result<(), ScaleError> {
        let replicas = u32::try_from(devices.len()).unwrap_or(u32::MAX);
        self.want(model, replicas, Some(devices)).await
    }

    async fn want(
        &self,
        model: &Arc<Model>,
        replicas: u32,
        devices: Option<Vec<Devices>>,
    ) -> Result<(), ScaleError> {
        if model.server.process().is_none() {
            return Err(ScaleError::Refused(format!(
                "server {} is not a process server",
                model.server.name
            )));
        }
        let wanted = Wanted {
            model: model.clone(),
            replicas,
            devices,
        };
        let mut sets = self.sets.lock().await;
        // Read under the lock, so that a set started before `hand_out` takes it is handed over.
        if self.handed_out.load(Ordering::Relaxed) {
            return Err(ScaleError::Failed("another process takes over".into()));
        }
        if let Some(set) = sets.get(&model.name).filter(|set| !set.task.is_finished()) {
            set.wanted.send_replace(wanted);
            return Ok(());
        }
        let parked_model = self.parked.lock().await.remove(&model.name);
        let set = parked_model
            .map(|parked_model| parked_model.set)
            .unwrap_or_default();
        sets.insert(model.name.clone(), self.manage(wanted, set));
        Ok(())
    }

    fn manage(&self, wanted: Wanted, set: ParkedSet) -> Running {
        let (wanted, receiver) = watch::channel(wanted);
        let (park, parks) = mpsc::channel(1);
        let (host, events) = (self.host.clone(), self.events.clone());
        Running {
            wanted,
            park,
            task: tokio::spawn(set::run(receiver, parks, host, events, set)),
        }
    }
}

#[async_trait]
impl Orchestrator for Processes {
    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError> {
        self.want(model, replicas, None).await
    }

    async fn replace(&self, model: &str, replica: &Arc<Replica>) {
        if let Some(running) = self.sets.lock().await.get(model) {
            tracing::warn!(%replica, in_flight = replica.in_flight(), "stays unhealthy: it is stopped and replaced");
            replica.health().condemn();
            // Makes the set look at its instances again, although the same count is wanted.
            running.wanted.send_modify(|_| ());
        }
    }

    async fn restart(&self, model: &str, replica: &Arc<Replica>) -> Result<(), ScaleError> {
        match self.sets.lock().await.get(model) {
            Some(running) => {
                tracing::info!(%replica, in_flight = replica.in_flight(), "is to be restarted");
                replica.mark_restarting();
                // Makes the set look at its instances again, although the same count is wanted.
                running.wanted.send_modify(|_| ());
                Ok(())
            }
            None => Err(ScaleError::Refused(
                "the model's processes are stopping".into(),
            )),
        }
    }

    async fn forget(&self, model: &str) {
        // Dropping the sender ends the set; its task runs until all replicas have stopped.
        if let Some(set) = self.sets.lock().await.remove(model) {
            let mut leaving = self.leaving.lock().await;
            leaving.retain(|task| !task.is_finished());
            leaving.push(set.task);
        }
    }

    async fn shutdown(&self) {
        // The proxy has waited for its requests already, so do not wait again.
        self.host.shut_down();
        let sets: Vec<_> = self.sets.lock().await.drain().collect();
        let leaving: Vec<_> = self.leaving.lock().await.drain(..).collect();
        let tasks: Vec<_> = sets.into_iter().map(|(_, set)| set.task).collect();
        for task in tasks.into_iter().chain(leaving) {
            if let Err(error) = task.await {
                tracing::error!(%error, "the task of a model's replicas has failed; its replicas may be left running");
            }
        }
    }
}
