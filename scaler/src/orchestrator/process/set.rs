//! The processes of one model: as many as are wanted, of what is configured.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};

use tailback_config::{Model, ProcessSpec};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

use super::{
    backoff::Backoff,
    host::Host,
    instance::{Note, Order, lead},
    plan::{Phase, View, plan},
    port::Port,
};
use crate::{
    orchestrator::{Events, ReplicaSet},
    replica::Replica,
};

/// A replica that served for this long was well: its end starts back-off anew.
const RAN_WELL: Duration = Duration::from_secs(10);

/// What the scaler asked for last.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub model: Arc<Model>,
    pub replicas: u32,
}

struct Instance {
    replica: Arc<Replica>,
    phase: Phase,
    /// What it runs.
    spec: ProcessSpec,
    ready_since: Option<Instant>,
    /// Taken when it is asked to stop.
    stop: Option<oneshot::Sender<()>>,
}

struct Set {
    wanted: Wanted,
    host: Arc<Host>,
    events: Events,
    notes: mpsc::UnboundedSender<(u64, Note)>,
    instances: BTreeMap<u64, Instance>,
    next_id: u64,
    backoff: Backoff,
    /// No start before this, after a failure.
    not_before: Instant,
    start_up: Option<Duration>,
    failure: Option<String>,
}

/// Keeps the set as wanted, until the sender of `wanted` is dropped and the
/// last process has gone.
pub(super) async fn run(mut wanted: watch::Receiver<Wanted>, host: Arc<Host>, events: Events) {
    let (notes, mut inbox) = mpsc::unbounded_channel();
    let mut set = Set {
        wanted: wanted.borrow_and_update().clone(),
        host,
        events,
        notes,
        instances: BTreeMap::new(),
        next_id: 0,
        backoff: Backoff::default(),
        not_before: Instant::now(),
        start_up: None,
        failure: None,
    };
    let mut forgotten = false;
    loop {
        set.reconcile();
        // Once it is forgotten, the name may already be another set's.
        if wanted.has_changed().is_ok() {
            set.report();
        }
        if forgotten && set.instances.is_empty() {
            return;
        }
        let waits_to_start = set.missing() > 0;
        tokio::select! {
            changed = wanted.changed(), if !forgotten => match changed {
                Ok(()) => set.wanted = wanted.borrow_and_update().clone(),
                Err(_) => {
                    forgotten = true;
                    set.wanted.replicas = 0;
                }
            },
            // The set holds a sender: this never ends by itself.
            Some((id, note)) = inbox.recv() => set.hear(id, note),
            () = sleep_until(set.not_before), if waits_to_start => {}
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

    fn views(&self) -> Vec<View> {
        self.instances
            .iter()
            .map(|(&id, instance)| View {
                id,
                phase: instance.phase,
                current: self.spec() == Some(&instance.spec),
                in_flight: instance.replica.in_flight(),
            })
            .collect()
    }

    /// How many still have to be started.
    fn missing(&self) -> u32 {
        plan(&self.views(), self.wanted.replicas).start
    }

    /// Starts and stops what the plan says.
    fn reconcile(&mut self) {
        let concurrency = self.wanted.model.concurrency.value.map(NonZeroU32::get);
        for instance in self.instances.values() {
            instance.replica.set_concurrency(concurrency);
        }
        let plan = plan(&self.views(), self.wanted.replicas);
        for id in plan.stop {
            if let Some(instance) = self.instances.get_mut(&id) {
                tracing::info!(replica = %instance.replica, in_flight = instance.replica.in_flight(), "draining");
                instance.phase = Phase::Draining;
                instance.replica.close();
                // Dropping the sender would do as well.
                instance.stop.take().map(|stop| stop.send(()));
            }
        }
        if Instant::now() >= self.not_before {
            for _ in 0..plan.start {
                self.start();
            }
        }
    }

    fn start(&mut self) {
        let Some(spec) = self.spec().cloned() else {
            return;
        };
        let id = self.next_id;
        self.next_id += 1;
        let grpc_port = || spec.has_grpc_port().then(Port::free).transpose();
        let (port, grpc_port) = match Port::free().and_then(|port| Ok((port, grpc_port()?))) {
            Ok(ports) => ports,
            Err(error) => return self.failed(&format!("no free port on 127.0.0.1: {error}")),
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
        let replica = Arc::new(replica.with_grpc(grpc));
        let (stop, stopped) = oneshot::channel();
        let order = Order {
            id,
            model: self.wanted.model.clone(),
            spec: spec.clone(),
            host: self.host.clone(),
            replica: replica.clone(),
            port,
            grpc_port,
        };
        tokio::spawn(lead(order, stopped, self.notes.clone()));
        let instance = Instance {
            replica,
            phase: Phase::Starting,
            spec,
            ready_since: None,
            stop: Some(stop),
        };
        self.instances.insert(id, instance);
    }

    fn hear(&mut self, id: u64, note: Note) {
        match note {
            Note::Ready(took) => {
                let Some(instance) = self.instances.get_mut(&id) else {
                    return;
                };
                if instance.phase == Phase::Starting {
                    instance.phase = Phase::Ready;
                    instance.ready_since = Some(Instant::now());
                    tracing::info!(replica = %instance.replica, seconds = to_millisecond(took), "ready");
                }
                self.start_up = Some(took);
                self.failure = None;
            }
            Note::Failed(why) => {
                let Some(instance) = self.instances.remove(&id) else {
                    return;
                };
                if instance
                    .ready_since
                    .is_some_and(|since| since.elapsed() >= RAN_WELL)
                {
                    self.backoff.reset();
                }
                if instance.phase == Phase::Draining {
                    return;
                }
                self.failed(&format!("{} {why}", instance.replica.name()));
            }
            Note::Stopped => {
                if let Some(instance) = self.instances.remove(&id) {
                    tracing::info!(replica = %instance.replica, "stopped");
                }
            }
        }
    }

    fn failed(&mut self, why: &str) {
        let now = Instant::now();
        // Several that fail together are one failure.
        if now >= self.not_before {
            self.not_before = now + self.backoff.failed();
        }
        let wait: Duration = self.not_before - now;
        tracing::warn!(
            model = self.name(),
            again_in_seconds = to_millisecond(wait),
            "replica failed: {why}"
        );
        self.failure = Some(why.to_owned());
    }

    fn report(&self) {
        let count = |phase| self.instances.values().filter(|m| m.phase == phase).count() as u32;
        let ready = self.instances.values().filter(|m| m.phase == Phase::Ready);
        let set = ReplicaSet {
            desired: None,
            behind: None,
            model: self.name().to_owned(),
            ready: ready.map(|m| m.replica.clone()).collect(),
            starting: count(Phase::Starting) + self.missing(),
            draining: count(Phase::Draining),
            capacity: self.wanted.model.server.max_replicas.unwrap_or(u32::MAX),
            start_up: self.start_up,
            failure: self.failure.clone(),
        };
        // The scaler may have stopped listening: it shuts down.
        let _ = self.events.send(set);
    }
}

/// Seconds, to the millisecond: as precisely as a log needs.
fn to_millisecond(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
