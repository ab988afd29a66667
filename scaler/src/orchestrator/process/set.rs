//! The processes of one model: keeps the desired number of the configured command running.

mod devices;
mod parking;
mod vacating;

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use tailback_config::{Model, ProcessSpec, Strategy};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

pub(super) use self::parking::{Park, ParkedInstance, ParkedSet};
use super::{
    backoff::Backoff,
    description::{Description, describe},
    host::Host,
    instance::{Directive, InstanceContext, InstanceEvent, start},
    plan::{InstancePhase, InstancePlan, View, plan},
    port::Port,
};
use crate::{
    clock::Nanos,
    orchestrator::{Events, LoadFailure, ReplicaSet},
    replica::{Devices, Replica, Transition, health::Standing},
};

/// A replica that has served for this long has run well: if it ends later, the back-off starts
/// anew.
const RAN_WELL: Duration = Duration::from_secs(10);

/// The scaler's last request.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub model: Arc<Model>,
    pub replicas: u32,
    /// The devices of each replica, if they are assigned; otherwise no replica has any.
    pub devices: Option<Vec<Devices>>,
}

struct Instance {
    replica: Arc<Replica>,
    phase: InstancePhase,
    runs: Description,
    starting_since: Nanos,
    ready_since: Option<Instant>,
    /// Since when it has been draining; `None`: it is not.
    draining_since: Option<Nanos>,
    /// The result of the last probe, while it is not ready.
    not_ready: Option<String>,
    /// How long it may drain.
    drain: watch::Sender<Option<Duration>>,
    directives: mpsc::UnboundedSender<Directive>,
}

struct Set {
    wanted: Wanted,
    host: Arc<Host>,
    events: Events,
    instance_events: mpsc::UnboundedSender<(u64, InstanceEvent)>,
    instances: BTreeMap<u64, Instance>,
    next_id: u64,
    backoff: Backoff,
    start_up: Option<Duration>,
    failure: Option<String>,
    /// The failure of a replica whose devices were given up, if none has become ready since.
    load_failure: Option<LoadFailure>,
}

/// Keeps the set as wanted, until the sender of `wanted` is dropped and the last process has
/// ended, or until the set is parked. Begins with the instances of `parked`.
pub(super) async fn run(
    mut wanted: watch::Receiver<Wanted>,
    mut park: mpsc::Receiver<Park>,
    host: Arc<Host>,
    events: Events,
    parked: ParkedSet,
) {
    let (instance_events, mut inbox) = mpsc::unbounded_channel();
    let mut set = Set {
        wanted: wanted.borrow_and_update().clone(),
        host,
        events,
        instance_events,
        instances: BTreeMap::new(),
        next_id: 0,
        backoff: Backoff::default(),
        start_up: None,
        failure: None,
        load_failure: None,
    };
    set.adopt(parked);
    let mut forgotten = false;
    loop {
        set.reconcile();
        // After the model was forgotten, another set may have its name.
        if wanted.has_changed().is_ok() {
            set.report();
        }
        if forgotten && set.instances.is_empty() {
            return;
        }
        let waits_to_start = set.plan().start > 0;
        tokio::select! {
            changed = wanted.changed(), if !forgotten => match changed {
                Ok(()) => set.want(wanted.borrow_and_update().clone()),
                Err(_) => {
                    forgotten = true;
                    set.wanted.replicas = 0;
                }
            },
            // The set holds a sender, so this channel never ends.
            Some((id, event)) = inbox.recv() => set.apply(id, event),
            Some(answer) = park.recv(), if !forgotten => {
                match answer.send(set.park(&mut inbox).await) {
                    Ok(()) => return,
                    // Nobody waits for the parked set any more, so manage it as before.
                    Err(parked) => set.adopt(parked),
                }
            }
            () = sleep(set.backoff.pause(Nanos::now())), if waits_to_start => {}
        }
    }
}

impl Set {
    fn name(&self) -> &str {
        &self.wanted.model.name
    }

    fn spec(&self) -> Option<&ProcessSpec> {
        self.wanted.model.server.process()
    }

    /// How many replicas the server has room for.
    fn capacity(&self) -> u32 {
        self.wanted.model.server.max_replicas.unwrap_or(u32::MAX)
    }

    /// Takes a new request. If the command has changed, earlier failures no longer count.
    fn want(&mut self, wanted: Wanted) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let none = Devices::new();
        if describe(&before.model, &none) != describe(&self.wanted.model, &none) {
            self.backoff.reset();
            (self.failure, self.load_failure) = (None, None);
        }
        let drain = self.spec().map(|spec| spec.drain.value);
        for instance in self.instances.values() {
            // These settings apply to running instances without replacing them.
            drain.map(|drain| instance.drain.send_replace(drain));
        }
    }

    fn plan(&self) -> InstancePlan {
        let current = self.current();
        let view = |(&id, instance): (&u64, &Instance)| View {
            id,
            phase: instance.phase,
            current: current.contains(&id),
            healthy: instance.replica.health().standing().0 < Standing::Ejected,
            condemned: instance.replica.health().is_condemned(),
            restarting: instance.replica.is_restarting(),
            in_flight: instance.replica.in_flight(),
        };
        let views: Vec<_> = self.instances.iter().map(view).collect();
        let wanted = self.wanted.replicas;
        if self.wanted.devices.is_some() {
            // No two instances may use a device at once, so each starts when its devices are free.
            let plan = plan(&views, wanted, Strategy::Recreate, self.capacity());
            let free = u32::try_from(self.free_devices().len()).unwrap_or(u32::MAX);
            let start = plan.missing.min(free);
            return InstancePlan { start, ..plan };
        }
        let strategy = self.spec().map_or(Strategy::Surge, |spec| spec.strategy);
        plan(&views, wanted, strategy, self.capacity())
    }

    /// Carries out the plan: starts, drains and resumes instances.
    fn reconcile(&mut self) {
        let concurrency = self.wanted.model.concurrency.value.map(NonZeroU32::get);
        for instance in self.instances.values() {
            instance.replica.set_concurrency(concurrency);
        }
        let mut plan = self.plan();
        if self.wanted.devices.is_some() && plan.drain.is_empty() {
            self.reopen();
        }
        self.vacate(&mut plan);
        for id in plan.drain {
            if let Some(instance) = self.instances.get_mut(&id) {
                tracing::info!(replica = %instance.replica, in_flight = instance.replica.in_flight(), "draining");
                instance.phase = InstancePhase::Draining;
                instance.draining_since = Some(Nanos::now());
                instance.replica.close();
                // Fails if the instance has ended by itself.
                let _ = instance.directives.send(Directive::Drain);
            }
        }
        for id in plan.resume {
            if let Some(instance) = self.instances.get(&id) {
                let _ = instance.directives.send(Directive::Resume);
            }
        }
        if self.backoff.pause(Nanos::now()).is_zero() {
            for _ in 0..plan.start {
                self.start();
            }
        }
    }

    fn start(&mut self) {
        let Some(spec) = self.spec().cloned() else {
            return;
        };
        let devices = match self.wanted.devices {
            None => Devices::new(),
            Some(_) => match self.free_devices().pop() {
                Some(devices) => devices,
                None => return,
            },
        };
        let id = self.next_id;
        self.next_id += 1;
        let grpc_port = || spec.has_grpc_port().then(Port::free).transpose();
        let (port, grpc_port) = match Port::free().and_then(|port| Ok((port, grpc_port()?))) {
            Ok(ports) => ports,
            Err(error) => {
                let why = format!("no free port on 127.0.0.1: {error}");
                return self.failed(Nanos::now(), &why);
            }
        };
        let grpc = grpc_port
            .as_ref()
            .map(|port| format!("127.0.0.1:{}", port.number()));
        let concurrency = self.wanted.model.concurrency.value.map(NonZeroU32::get);
        let replica = Replica::new(
            format!("{}-{id}", self.name()),
            format!("127.0.0.1:{}", port.number()),
            concurrency,
        );
        let runs = describe(&self.wanted.model, &devices);
        let replica = Arc::new(replica.with_grpc(grpc).on(devices));
        let (directives, receiver) = mpsc::unbounded_channel();
        let (drain, told) = watch::channel(spec.drain.value);
        let context = InstanceContext {
            id,
            model: self.name().to_owned(),
            log: self.host.logs.writer(self.name(), replica.name()),
            host: self.host.clone(),
            replica: replica.clone(),
            port,
            grpc_port,
            drain: told,
            spec: Some(spec),
        };
        let model = self.wanted.model.clone();
        tokio::spawn(start(
            context,
            model,
            receiver,
            self.instance_events.clone(),
        ));
        let instance = Instance {
            replica,
            phase: InstancePhase::Starting,
            runs,
            starting_since: Nanos::now(),
            ready_since: None,
            draining_since: None,
            not_ready: None,
            drain,
            directives,
        };
        self.instances.insert(id, instance);
    }

    fn apply(&mut self, id: u64, event: InstanceEvent) {
        match event {
            InstanceEvent::NotReady(why) => {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.not_ready = Some(why);
                }
            }
            InstanceEvent::Resumed => {
                if let Some(instance) = self.instances.get_mut(&id) {
                    tracing::info!(replica = %instance.replica, "the draining replica is needed again: it takes requests");
                    instance.phase = InstancePhase::Ready;
                    instance.draining_since = None;
                }
            }
            InstanceEvent::Ending => {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.phase = InstancePhase::Ending;
                }
            }
            InstanceEvent::Ready(took) => {
                let Some(instance) = self.instances.get_mut(&id) else {
                    return;
                };
                instance.not_ready = None;
                if self.host.has_predecessor() {
                    // It counts as open for the predecessor, which may use the replica as soon as
                    // it is reported.
                    instance.replica.set_elsewhere(0, true);
                }
                if instance.phase == InstancePhase::Starting {
                    instance.phase = InstancePhase::Ready;
                    instance.ready_since = Some(Instant::now());
                    tracing::info!(replica = %instance.replica, seconds = to_millisecond(took), "ready");
                }
                instance.replica.health().set_start_up(took);
                self.start_up = Some(took);
                (self.failure, self.load_failure) = (None, None);
            }
            InstanceEvent::Failed(why) => {
                let Some(instance) = self.instances.remove(&id) else {
                    return;
                };
                if instance
                    .ready_since
                    .is_some_and(|since| since.elapsed() >= RAN_WELL)
                {
                    self.backoff.reset();
                }
                let leaves = matches!(
                    instance.phase,
                    InstancePhase::Draining | InstancePhase::Ending
                );
                // The end of an instance with an older command is no failure of the present one.
                if leaves || !self.is_configured(&instance) {
                    return;
                }
                let why = format!("{} {why}", instance.replica.name());
                self.failed(instance.starting_since, &why);
                self.give_up(&instance, &why);
            }
            // Handled by `park`.
            InstanceEvent::Parked(_) => {}
            InstanceEvent::Stopped => {
                if let Some(instance) = self.instances.remove(&id) {
                    tracing::info!(replica = %instance.replica, "stopped");
                }
            }
        }
    }

    /// Takes the failure of a replica that was started at `started`.
    fn failed(&mut self, started: Nanos, why: &str) {
        let wait = self.backoff.failed(started, Nanos::now());
        tracing::warn!(
            model = self.name(),
            again_in_seconds = to_millisecond(wait),
            "replica failed: {why}"
        );
        self.failure = Some(why.to_owned());
    }

    fn report(&self) {
        use InstancePhase::{Draining, Ending, Ready, Starting};
        let of = |phase| self.instances.values().filter(move |m| m.phase == phase);
        let leaving = |m: &Instance| {
            m.draining_since.map(|since| Transition {
                replica: m.replica.clone(),
                since,
            })
        };
        let coming = |m: &Instance| Transition {
            replica: m.replica.clone(),
            since: m.starting_since,
        };
        let starting = of(Starting).count();
        let set = ReplicaSet {
            model: self.name().to_owned(),
            ready: of(Ready).map(|m| m.replica.clone()).collect(),
            starting: u32::try_from(starting)
                .unwrap_or(u32::MAX)
                .saturating_add(self.plan().missing),
            draining: u32::try_from(of(Draining).chain(of(Ending)).count()).unwrap_or(u32::MAX),
            coming: of(Starting).map(coming).collect(),
            leaving: self.instances.values().filter_map(leaving).collect(),
            capacity: self.capacity(),
            start_up: self.start_up,
            failure: self.failure.clone(),
            load_failure: self.load_failure.clone(),
            not_ready: of(Starting).find_map(|m| m.not_ready.clone()),
            ..ReplicaSet::default()
        };
        // Fails only when the scaler has stopped.
        let _ = self.events.send(set);
    }
}

/// Seconds, rounded to the millisecond, for the log.
fn to_millisecond(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
