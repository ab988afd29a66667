//! The task that owns the state of all multi-model servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    sync::Arc,
    time::Duration,
};

use tailback_config::{Model, Placement};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    Asked, ServerOrchestrators,
    models::{HostedModel, Shown},
    outcome::{CallDone, Outcome},
    servers::SharedServer,
};
use crate::{
    clock::Nanos,
    orchestrator::{
        Demand, Events, Orchestrator, ReplicaSet, ScaleError, handover::InheritedModel,
    },
    placement::PlacedState,
    replica::Replica,
    server_status::ServerStatusStore,
};

/// How often draining replicas are checked, because nothing notifies of their last request's end.
const DRAINING: Duration = Duration::from_millis(20);
/// Shortest time between two plans. Changes within it lead to one plan.
const SETTLE: Duration = Duration::from_millis(5);
/// How often a plan is made while requests wait for a model that has no room.
const WAITING: Duration = Duration::from_millis(100);
/// For how long a plan is put off at most.
const PUT_OFF: Duration = Duration::from_secs(3);
/// How often everything is checked if nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// A command for the reconciler.
pub(super) enum Command {
    Follow(Arc<Model>),
    Scale(String, u32),
    Demand(String, Demand),
    Replace(String, Arc<Replica>),
    Restart(
        String,
        Arc<Replica>,
        oneshot::Sender<Result<(), ScaleError>>,
    ),
    Forget(String, oneshot::Sender<()>),
    ServerChanged(Box<ReplicaSet>),
    Inherit(BTreeMap<String, InheritedModel>),
    Retire(bool),
    Stop(oneshot::Sender<()>),
}

pub(super) struct Reconciler {
    pub(super) orchestrators: ServerOrchestrators,
    pub(super) events: Events,
    pub(super) placement: Placement,
    pub(super) status: ServerStatusStore,
    pub(super) asked: Asked,
    pub(super) servers: BTreeMap<Arc<str>, SharedServer>,
    pub(super) models: BTreeMap<Arc<str>, HostedModel>,
    /// The last reports, by model.
    pub(super) shown: BTreeMap<Arc<str>, Shown>,
    /// Counts that the process before this one asked for, of servers that have no models yet.
    pub(super) inherited: BTreeMap<String, InheritedModel>,
    /// Whether another process loads, unloads and scales instead of this one.
    pub(super) retired: bool,
    /// Whether something has changed since the last plan that may change the next one.
    pub(super) stale: bool,
    /// Whether something has changed that must be reported and does not change the plan.
    pub(super) unreported: bool,
    /// When the last plan was made.
    pub(super) planned: Nanos,
    /// Since when the next one is put off, if it is.
    put_off: Option<Nanos>,
    /// When the plan may change without any other change.
    pub(super) again_at: Option<Nanos>,
    pub(super) done: mpsc::UnboundedSender<CallDone>,
    pub(super) dones: mpsc::UnboundedReceiver<CallDone>,
}

impl Reconciler {
    pub(super) fn new(
        orchestrators: ServerOrchestrators,
        events: Events,
        placement: Placement,
        status: ServerStatusStore,
        asked: Asked,
    ) -> Self {
        let (done, dones) = mpsc::unbounded_channel();
        Self {
            orchestrators,
            events,
            placement,
            status,
            asked,
            servers: BTreeMap::new(),
            models: BTreeMap::new(),
            shown: BTreeMap::new(),
            inherited: BTreeMap::new(),
            retired: false,
            stale: false,
            unreported: false,
            planned: Nanos(0),
            put_off: None,
            again_at: None,
            done,
            dones,
        }
    }

    /// Runs until it is stopped, or no sender of commands is left.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let wait = self.next_look();
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Stop(done)) => {
                        let _ = done.send(());
                        return;
                    }
                    Some(command) => self.obey(command).await,
                },
                // The reconciler holds a sender, so this channel never ends.
                Some(done) = self.dones.recv() => self.take(done).await,
                () = sleep_until(wait) => {}
            }
            while let Ok(done) = self.dones.try_recv() {
                self.take(done).await;
            }
            if commands.is_empty() {
                self.look(Nanos::now()).await;
            }
        }
    }

    /// When everything is checked next, if nothing happens before.
    fn next_look(&self) -> Instant {
        let now = Nanos::now();
        let hosted = || {
            let replicas = self.servers.values().flat_map(|server| &server.replicas);
            replicas.flat_map(|replica| replica.hosted.values())
        };
        let drains = hosted().any(|hosted| hosted.state == PlacedState::Draining);
        let wait = match (self.stale, drains) {
            (true, _) => SETTLE,
            (false, true) => DRAINING,
            (false, false) if self.waits() => WAITING,
            (false, false) => IDLE,
        };
        let due = self.again_at.map_or(wait, |at| at.since(now).min(wait));
        Instant::now() + due.max(Duration::from_millis(1))
    }

    async fn obey(&mut self, command: Command) {
        let now = Nanos::now();
        match command {
            Command::Follow(model) => self.follow(model, now).await,
            Command::Scale(name, replicas) => {
                if let Some(model) = self.models.get_mut(&*name) {
                    self.stale |= model.want(replicas);
                }
            }
            Command::Demand(name, demand) => {
                if let Some(model) = self.models.get_mut(&*name) {
                    self.stale |= model.set_demand(demand, now);
                }
            }
            Command::Replace(name, replica) => self.replace(&name, &replica).await,
            Command::Restart(name, replica, answer) => self.restart(&name, &replica, answer),
            Command::Forget(name, done) => {
                self.models.remove(&*name);
                self.shown.remove(&*name);
                self.stale = true;
                let _ = done.send(());
            }
            Command::ServerChanged(set) => {
                if let Some(server) = self.servers.get_mut(&*set.model) {
                    server.changed(*set, now);
                    self.stale = true;
                }
            }
            Command::Inherit(inherited) => self.inherited = inherited,
            Command::Retire(retired) => {
                self.retired = retired;
                self.stale = true;
            }
            // Handled by `run`.
            Command::Stop(_) => {}
        }
    }

    async fn take(&mut self, done: CallDone) {
        let now = Nanos::now();
        // The index of a replica seldom differs from what is known; if it does, the plan is marked
        // stale there.
        self.stale |= !matches!(done.outcome, Outcome::Indexed { .. });
        match done.outcome {
            Outcome::Fetched(result) => self.fetched(&done.at, result, now),
            Outcome::Loaded(result) => self.loaded(&done.at, result, now),
            Outcome::Unloaded(result) => self.unloaded(&done.at, result, now).await,
            Outcome::Indexed { asked, result } => self.indexed(&done.at, asked, result, now),
            Outcome::Scaled { replicas, result } => self.scaled(&done.at, replicas, result, now),
        }
    }

    async fn follow(&mut self, model: Arc<Model>, now: Nanos) {
        let name: Arc<str> = model.name.as_str().into();
        let server: Arc<str> = model.server.name.as_str().into();
        let entry = self.servers.entry(server.clone());
        let server = entry.or_insert_with(|| SharedServer::new(&model, now));
        let is_new = server.asked.is_none() && !server.asking && server.set.model.is_empty();
        if is_new || server.as_model.server != model.server {
            let mut before = std::mem::replace(server, SharedServer::new(&model, now));
            server.keep_storage(&mut before);
            let kind = &before.as_model.server.kind;
            if discriminant(kind) == discriminant(&model.server.kind) {
                // Its replicas and their models stay, whatever else of its configuration has
                // changed.
                (server.replicas, server.absent) = (before.replicas, before.absent);
                (server.asked, server.changed) = (before.asked, before.changed);
                (server.set, server.asking) = (before.set, before.asking);
                server.counts = before.counts;
                server.outdated = before.asking;
            } else if let Some(orchestrator) = self.orchestrators.of(kind) {
                orchestrator.forget(&before.as_model.name).await;
            }
            let as_model = server.as_model.clone();
            if let Some(orchestrator) = self.orchestrators.of(&as_model.server.kind) {
                orchestrator.follow(&as_model);
            }
            self.begin(&as_model.name, now);
        }
        match self.models.get_mut(&name) {
            Some(known) => {
                known.configure(model);
                self.reload_changed(&name, now);
            }
            None => {
                self.models.insert(name, HostedModel::new(model));
            }
        }
        self.stale = true;
    }

    /// Forgets servers without models: their orchestrators stop the replicas that they have
    /// started.
    async fn forget_servers(&mut self) {
        let used: BTreeSet<_> = self
            .models
            .values()
            .map(|own| own.model.server.name.clone())
            .collect();
        let unused: Vec<_> = self
            .servers
            .keys()
            .filter(|name| !used.contains(&***name))
            .cloned()
            .collect();
        for name in unused {
            if let Some(server) = self.servers.remove(&name) {
                self.asked.lock().remove(&*name);
                self.status.remove(&name);
                if let Some(orchestrator) = self.orchestrators.of(&server.as_model.server.kind) {
                    orchestrator.forget(&name).await;
                }
                if server.as_model.server.process().is_none() {
                    // The workload stays, so its models must be unloaded.
                    self.unload_all(server);
                }
            }
        }
    }

    /// Replaces the server's replica, with all models in it, because one of its models stays
    /// unhealthy.
    async fn replace(&mut self, model: &str, replica: &Arc<Replica>) {
        if let Some((server, orchestrator, host)) = self.host_of(model, replica) {
            orchestrator.replace(&server, host).await;
        }
    }

    /// Has the server's replica restarted, with all models in it, without waiting for it.
    fn restart(
        &self,
        model: &str,
        replica: &Arc<Replica>,
        answer: oneshot::Sender<Result<(), ScaleError>>,
    ) {
        let Some((server, orchestrator, host)) = self.host_of(model, replica) else {
            let gone = "the server's replica has gone".to_owned();
            return drop(answer.send(Err(ScaleError::Refused(gone))));
        };
        let host = host.clone();
        tokio::spawn(async move {
            // Fails only if the receiver is gone.
            let _ = answer.send(orchestrator.restart(&server, &host).await);
        });
    }

    /// The server's replica that has this replica of `model`, with the server's name and
    /// orchestrator.
    fn host_of<'a>(
        &self,
        model: &str,
        replica: &'a Arc<Replica>,
    ) -> Option<(String, Arc<dyn Orchestrator>, &'a Arc<Replica>)> {
        let host = replica.host()?;
        let name = &self.models.get(model)?.model.server.name;
        let server = self.servers.get(&**name)?;
        let orchestrator = self.orchestrators.of(&server.as_model.server.kind)?;
        Some((server.name().to_owned(), orchestrator.clone(), host))
    }

    /// Makes and carries out a plan if it may differ from the last one, and reports changes.
    async fn look(&mut self, now: Nanos) {
        if self.stale {
            self.forget_servers().await;
        }
        self.read_indexes(now);
        self.go_on_draining(now);
        self.repeat_requests(now);
        let due = self.again_at.is_some_and(|at| at <= now);
        if due {
            self.again_at = None;
        }
        // Carrying out a plan may set it again.
        let stale = std::mem::take(&mut self.stale);
        let waits = self.waits() && now.since(self.planned) >= WAITING;
        if (stale || due || waits) && !self.retired {
            let put_off = *self.put_off.get_or_insert(now);
            match self.all_known_by(now) {
                Some(by) if now.since(put_off) < PUT_OFF => self.again_at = Some(by),
                _ => {
                    (self.planned, self.put_off) = (now, None);
                    self.plan(now);
                }
            }
        }
        let unreported = std::mem::take(&mut self.unreported);
        let storages = self.servers.values().filter_map(|own| own.storage.as_ref());
        let fetches = storages.into_iter().any(|storage| storage.is_fetching());
        if stale || due || self.stale || waits || fetches || unreported {
            self.servers.values().for_each(SharedServer::update_storage);
            self.report(now);
        }
    }

    /// Until when a plan waits for replicas whose models are about to be known, or that may be
    /// back at once. A plan without them would load their models elsewhere. It waits for
    /// [`PUT_OFF`] at most, because with many replicas there may always be one to wait for.
    fn all_known_by(&self, now: Nanos) -> Option<Nanos> {
        let servers = self.servers.values();
        servers.filter_map(|server| server.settled_by(now)).max()
    }

    /// Whether any model waits for room.
    fn waits(&self) -> bool {
        self.models.values().any(HostedModel::waits_for_room)
    }
}
