//! The task that decides which model has which devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tailback_config::{Host, Model};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    bins::Bins,
    models::{Assigned, HostModel, Leaving},
};
use crate::{
    clock::Nanos,
    orchestrator::{Demand, Events, ReplicaSet, process::Processes},
    placement::{self, LoadTries, Plan, Why},
    replica::Devices,
    server_status::{HostModelStatus, PlacementAction, ServerStatusStore},
};

/// The shortest time between two plans. Changes within it are planned together.
const SETTLE: Duration = Duration::from_millis(5);
/// The time between plans while requests wait for a model without a device.
const WAITING: Duration = Duration::from_millis(100);
/// The time between plans if nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// The shortest time between two updates of the admin address.
const SHOW: Duration = Duration::from_millis(200);

/// A command for the reconciler.
pub(super) enum Command {
    Follow(Arc<Model>),
    Scale(String, u32),
    Demand(String, Demand),
    Forget(String, oneshot::Sender<()>),
    Changed(Box<ReplicaSet>),
    Inherit(BTreeMap<String, Vec<Devices>>),
    Retire(bool),
}

pub(super) struct Reconciler {
    processes: Arc<Processes>,
    events: Events,
    status: ServerStatusStore,
    tries: LoadTries,
    shown: Nanos,
    host: Option<Arc<Host>>,
    models: BTreeMap<Arc<str>, HostModel>,
    leaving: Vec<Leaving>,
    inherited: BTreeMap<String, Vec<Devices>>,
    retired: bool,
    stale: bool,
    planned: Nanos,
    again_at: Option<Nanos>,
}

impl Reconciler {
    pub(super) fn new(
        processes: Arc<Processes>,
        events: Events,
        status: ServerStatusStore,
        tries: LoadTries,
    ) -> Self {
        Self {
            processes,
            events,
            status,
            tries,
            shown: Nanos(0),
            host: None,
            models: BTreeMap::new(),
            leaving: Vec::new(),
            inherited: BTreeMap::new(),
            retired: false,
            stale: false,
            planned: Nanos(0),
            again_at: None,
        }
    }

    /// Runs until all senders of commands are dropped.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let now = Nanos::now();
            let wait = match self.stale {
                true => SETTLE,
                false if self.waits() => WAITING,
                false => IDLE,
            };
            let wait = self.again_at.map_or(wait, |at| at.since(now).min(wait));
            let wake = Instant::now() + wait.max(Duration::from_millis(1));
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(command) => self.obey(command),
                },
                () = sleep_until(wake) => {}
            }
            if commands.is_empty() {
                self.look(Nanos::now()).await;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Nanos::now();
        self.stale |= !matches!(command, Command::Scale(..) | Command::Demand(..));
        match command {
            Command::Follow(model) => self.follow(model, now),
            Command::Scale(name, replicas) => {
                if let Some(own) = self.models.get_mut(&*name) {
                    self.stale |= own.hosted.want(replicas);
                    self.stale |= own.count_by.take().is_some();
                }
            }
            Command::Demand(name, demand) => {
                if let Some(own) = self.models.get_mut(&*name) {
                    self.stale |= own.hosted.set_demand(demand, now);
                }
            }
            Command::Forget(name, done) => {
                if let Some(own) = self.models.remove(&*name) {
                    self.leaving.extend(own.leave());
                }
                let _ = done.send(());
            }
            Command::Changed(set) => {
                if let Some(own) = self.models.get_mut(&*set.model) {
                    own.changed(*set, self.tries, now);
                }
            }
            Command::Inherit(devices) => self.inherited = devices,
            Command::Retire(retired) => self.retired = retired,
        }
    }

    fn follow(&mut self, model: Arc<Model>, now: Nanos) {
        self.host.clone_from(&model.host);
        let name: Arc<str> = model.name.as_str().into();
        if let Some(known) = self.models.get_mut(&name) {
            known.hosted.configure(model);
            return;
        }
        let found = self.inherited.remove(&*name).unwrap_or_default();
        self.models.insert(name, HostModel::new(model, found, now));
    }

    /// If a new plan may differ from the last one, makes it and carries it out; then reports what
    /// has changed.
    async fn look(&mut self, now: Nanos) {
        let due = self.again_at.is_some_and(|at| at <= now);
        if due {
            self.again_at = None;
        }
        // Carrying out a plan may make another one necessary.
        let stale = std::mem::take(&mut self.stale);
        let waits = self.waits() && now.since(self.planned) >= WAITING;
        if (stale || due || waits) && !self.retired {
            match self.all_counted_by(now) {
                Some(by) => self.again_at = Some(by),
                None => {
                    self.planned = now;
                    self.plan(now).await;
                }
            }
        }
        if stale || due || self.stale || waits {
            self.report();
        }
        if now.since(self.shown) >= SHOW {
            self.shown = now;
            self.show(now);
        }
    }

    /// Until when a plan waits for the first counts of new models. A plan without them would start
    /// models that a pinned one, whose count comes a moment later, puts out again.
    fn all_counted_by(&self, now: Nanos) -> Option<Nanos> {
        let new = self.models.values().filter_map(|own| own.count_by);
        new.filter(|by| *by > now).max()
    }

    /// Updates what the admin address shows.
    fn show(&mut self, now: Nanos) {
        self.leaving.retain(Leaving::is_there);
        let used = !self.models.is_empty() || !self.leaving.is_empty();
        let models = || {
            let models = self.models.iter().map(|(name, own)| HostModelStatus {
                model: name.to_string(),
                counts: own.counts,
            });
            models.collect()
        };
        let status = self.host.as_ref().filter(|_| used).map(|host| {
            Bins::new(host, self.models.iter(), &self.leaving, now).status(models(), now)
        });
        self.status.set_host(status);
    }

    /// Whether any model waits for room.
    fn waits(&self) -> bool {
        let mut models = self.models.values();
        models.any(|own| own.hosted.waits_for_room())
    }

    async fn plan(&mut self, now: Nanos) {
        let Some(host) = self.host.clone() else {
            return;
        };
        for own in self.models.values_mut() {
            let serves = !own.set.ready.is_empty();
            own.hosted.set_serves(serves, now);
        }
        self.leaving.retain(Leaving::is_there);
        let bins = Bins::new(&host, self.models.iter(), &self.leaving, now);
        let plan = placement::plan(&bins.fleet, now);
        self.again_at = plan.again_at.filter(|at| *at > now);
        let changed = self.carry_out(&bins, &plan, now);
        for own in self.models.values_mut() {
            own.hosted.planned(&plan);
        }
        for name in changed {
            let Some(own) = self.models.get_mut(&name) else {
                continue;
            };
            let devices = own.assigned.iter().map(|own| own.devices.clone());
            let model = own.hosted.model.clone();
            if let Err(error) = self.processes.place(&model, devices.collect()).await {
                tracing::warn!(model = &*name, "{error}");
                // Repeated with the next plan.
                own.hosted.reconfigured = true;
            }
        }
    }

    /// Changes the assignments. Returns the models whose assignment has changed.
    fn carry_out(&mut self, bins: &Bins, plan: &Plan, now: Nanos) -> BTreeSet<Arc<str>> {
        let mut changed = BTreeSet::new();
        for name in &plan.admit {
            if let Some(own) = self.models.get_mut(name) {
                own.hosted.admitted = true;
            }
        }
        // From the highest index down, so that the other indexes stay valid.
        let mut gone: Vec<(Arc<str>, usize, bool)> = Vec::new();
        for drain in &plan.drain {
            let placed = bins.placed.get(drain.position.pool);
            let Some(instance) = placed.and_then(|all| all.get(drain.placed)) else {
                continue;
            };
            let Some(index) = instance.assigned else {
                continue;
            };
            let name = &instance.model;
            if let Some(replica) = &instance.replica {
                replica.close();
                let in_flight = replica.in_flight();
                if matches!(drain.why, Why::Evicted { .. }) && in_flight > 0 {
                    // A request has arrived at the replica meanwhile, so it stays.
                    replica.reopen();
                    self.stale = true;
                    continue;
                }
                tracing::info!(model = &**name, %replica, in_flight, "goes: {}", drain.why);
            }
            let at = instance.devices.join(",");
            (self.status).decided(PlacementAction::Drain, Some(name), at, &drain.why);
            let swapped = matches!(drain.why, Why::Evicted { .. } | Why::Turn { .. });
            gone.push((name.clone(), index, swapped));
        }
        gone.sort_unstable_by(|a, b| b.cmp(a));
        for (name, index, swapped) in gone {
            if let Some(own) = self.models.get_mut(&name) {
                own.assigned.remove(index);
                own.counts.swaps_out += u64::from(swapped);
                changed.insert(name);
            }
        }
        let added = plan
            .load
            .iter()
            .map(|load| (&load.position, Some(&load.why)));
        let resumed = plan.resume.iter().map(|position| (position, None));
        for (position, why) in added.chain(resumed) {
            let devices = bins.devices(position.pool, &position.bins);
            if let Some(own) = self.models.get_mut(&position.model) {
                let at = devices.join(",");
                own.counts.swaps_in += u64::from(matches!(why, Some(Why::Held { .. })));
                let why = why.map_or_else(|| "is needed again".to_owned(), ToString::to_string);
                (self.status).decided(PlacementAction::Load, Some(&position.model), &at, &why);
                tracing::info!(
                    model = &*position.model,
                    device = at,
                    "starts a replica: {why}"
                );
                own.assigned.push(Assigned {
                    devices,
                    since: now,
                    loaded: None,
                });
                changed.insert(position.model.clone());
            }
        }
        // The process orchestrator gets new configurations, too.
        for (name, own) in &mut self.models {
            if std::mem::take(&mut own.hosted.reconfigured) {
                changed.insert(name.clone());
            }
        }
        changed
    }

    fn report(&mut self) {
        for own in self.models.values_mut() {
            let status = own.status();
            let capacity = own.hosted.capacity().min(own.set.capacity);
            let shown = Some((status.clone(), capacity));
            if own.shown != shown {
                own.shown = shown;
                let none = own.set.ready.is_empty() && own.set.coming.is_empty();
                let set = ReplicaSet {
                    load_failure: own.set.load_failure.clone().filter(|_| none),
                    model: own.hosted.model.name.clone(),
                    capacity,
                    placement: Some(status),
                    ..own.set.clone()
                };
                // Fails only when the scaler has stopped.
                let _ = self.events.send(set);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{super::fixtures::host, *};
    use crate::replica_logs::ReplicaLogs;

    #[tokio::test]
    async fn the_first_plan_waits_until_all_models_have_counts_but_not_for_long() {
        let models = [
            ("kept", "memory: 16Gi, scaling: { pin: true }"),
            ("other", "memory: 16Gi"),
        ];
        let config = host(&models);
        let (events, _sets) = mpsc::unbounded_channel();
        let supervisor = PathBuf::from("supervisor");
        let processes = Processes::new(supervisor, events.clone(), ReplicaLogs::default());
        let status = ServerStatusStore::default();
        let tries = LoadTries::of(&config.process.placement);
        let mut reconciler = Reconciler::new(Arc::new(processes), events, status, tries);
        let follow = |reconciler: &mut Reconciler| {
            for name in ["kept", "other"] {
                reconciler.obey(Command::Follow(config.models[name].clone()));
            }
        };
        follow(&mut reconciler);
        let soon = Nanos::now();
        reconciler.obey(Command::Scale("other".to_owned(), 1));
        let by = reconciler.all_counted_by(soon).expect("a time");
        assert_eq!(reconciler.all_counted_by(by), None);
        reconciler.obey(Command::Scale("kept".to_owned(), 1));
        assert_eq!(reconciler.all_counted_by(soon), None);
        // Models that are known are not waited for.
        follow(&mut reconciler);
        assert_eq!(reconciler.all_counted_by(soon), None);
    }
}
