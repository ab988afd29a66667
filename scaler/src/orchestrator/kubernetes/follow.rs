//! Follows one workload: combines its watches and sends replica sets to the scaler.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, ResourceExt, core::DynamicObject};
use tailback_config::{KubernetesSpec, Model, WorkloadSource};
use tokio::{
    sync::{OnceCell, mpsc},
    time::sleep,
};

use super::{
    cluster::Cluster,
    deletion_cost::DeletionCosts,
    discovery::resolve,
    informer::Informers,
    members::{Running, Waiting},
    restart::delete_pod,
    scale::{self, Scale},
    state::WorkloadState,
    watch::{Only, Scope, WatchEvent},
    workload::{CountAt, ObservedWorkload, Workload},
};
use crate::{
    clock::Nanos,
    orchestrator::{Events, ScaleError},
    replica::Replica,
};

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The time between looks at the state while it changes with time alone.
const LOOK: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// What all followers share: the cluster, and one watch for each kind and namespace.
pub(super) struct Shared {
    cluster: Arc<Cluster>,
    workloads: Informers<DynamicObject>,
    slices: Informers<EndpointSlice>,
    /// Whether pods that have too little time to finish were warned about.
    warned: AtomicBool,
}

impl Shared {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            workloads: Informers::new(cluster.clone()),
            slices: Informers::new(cluster.clone()),
            cluster,
            warned: AtomicBool::new(false),
        }
    }

    /// Logs the first warning only, because often all workloads have the same.
    fn warn_once(&self, model: &str, warning: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                model,
                "{warning} (said once; /models has it for each model)"
            );
        }
    }
}

/// A workload: its last known state, and the means to scale it.
pub(super) struct WorkloadFollower {
    shared: Arc<Shared>,
    spec: KubernetesSpec,
    server: String,
    target: OnceCell<Workload>,
    costs: DeletionCosts,
    known: Mutex<Known>,
    notes: mpsc::UnboundedSender<Note>,
}

#[derive(Default)]
struct Known {
    desired: Option<u32>,
    ready: Vec<Running>,
}

/// A message from the orchestrator to a follower.
pub(super) enum Note {
    /// The models that the workload now serves.
    Models(Vec<Arc<Model>>),
    /// Our request at the time `asked` has succeeded. `from` is the count before it.
    Answered {
        scale: Scale,
        from: Option<u32>,
        asked: Nanos,
    },
}

impl WorkloadFollower {
    /// A follower of the workload in `spec`, for the server named `server`. Run it by
    /// [`run`](Self::run), with the receiver that is returned.
    pub(super) fn new(
        shared: Arc<Shared>,
        server: &str,
        spec: KubernetesSpec,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Note>) {
        let (notes, inbox) = mpsc::unbounded_channel();
        let follower = Self {
            shared,
            spec,
            server: server.to_owned(),
            target: OnceCell::new(),
            costs: DeletionCosts::default(),
            known: Mutex::default(),
            notes,
        };
        (Arc::new(follower), inbox)
    }

    pub(super) fn tell(&self, note: Note) {
        // Fails only if the follower's task has ended.
        let _ = self.notes.send(note);
    }

    /// Asks for `replicas` through the scale subresource. Marks the least busy pods before a
    /// scale-down.
    pub(super) async fn scale(&self, replicas: u32) -> Result<(), ScaleError> {
        let target = self.target().await?;
        let (desired, ready) = {
            let known = self.known();
            (known.desired, known.ready.clone())
        };
        if desired.is_some_and(|desired| desired > replicas) && target.weighs_pods() {
            let (cluster, namespace) = (&self.shared.cluster, &target.namespace);
            self.costs.mark(cluster, namespace, &ready, replicas).await;
        }
        let asked = Nanos::now();
        let scale = scale::write(&self.shared.cluster, target, replicas).await?;
        self.tell(Note::Answered {
            scale,
            from: desired,
            asked,
        });
        Ok(())
    }

    /// Deletes the replica's pod, so that its workload starts another one.
    pub(super) async fn restart(&self, replica: &Arc<Replica>) -> Result<(), ScaleError> {
        let target = self.target().await?;
        let ready = self.known().ready.clone();
        let running = ready.iter().find(|own| Arc::ptr_eq(&own.replica, replica));
        match running.and_then(|own| own.pod.as_ref()) {
            Some(pod) => delete_pod(&self.shared.cluster, &target.namespace, pod).await,
            None => Err(ScaleError::Refused(format!(
                "no pod is known that serves at {}",
                replica.authority()
            ))),
        }
    }

    async fn target(&self) -> Result<&Workload, ScaleError> {
        let resolve = || async {
            let namespace = match &self.spec.namespace {
                Some(namespace) => namespace.clone(),
                None => {
                    let client = self.shared.cluster.client().await;
                    let client = client.map_err(|e| ScaleError::Failed(e.to_string()))?;
                    client.default_namespace().to_owned()
                }
            };
            resolve(&self.shared.cluster, &self.spec, &namespace).await
        };
        self.target.get_or_try_init(resolve).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Plain data: consistent even if a writer panicked.
        self.known.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Follows the workload and sends replica sets to `events`, until it is dropped.
    pub(super) async fn run(
        self: Arc<Self>,
        mut inbox: mpsc::UnboundedReceiver<Note>,
        events: Events,
    ) {
        let mut state = WorkloadState::new(&self.server, &self.spec.source);
        let mut models = Vec::new();
        let target = self
            .find(&mut inbox, &mut state, &mut models, &events)
            .await;
        let mut workload = self.shared.workloads.subscribe(
            target.collection(),
            || workload_scope(&target),
            ResourceExt::name_any,
            &target.name,
        );
        let mut slices = match &self.spec.source {
            WorkloadSource::Service(service) => self.shared.slices.subscribe(
                target.namespace.clone(),
                || slice_scope(&target.namespace),
                service_of,
                &service.name,
            ),
            // No Service, so no slices.
            WorkloadSource::Endpoints(_) => mpsc::unbounded_channel().1,
        };
        // Whether the count must be read from the scale subresource.
        let mut unread = Unread::No;
        let mut retry = FIRST_RETRY;
        loop {
            let waiting = state.tidy(Nanos::now());
            self.report(&mut state, &models, &events);
            tokio::select! {
                Some(note) = inbox.recv() => take(note, &mut state, &mut models),
                Some(change) = workload.recv() => {
                    unread = self.workload_changed(&target, &mut state, change);
                    retry = FIRST_RETRY;
                }
                Some(change) = slices.recv() => slices_changed(&mut state, change),
                read = self.read(&target, unread, retry) => match read {
                    Ok(scale) => {
                        unread = Unread::No;
                        state.scale_read(&scale, Nanos::now());
                    }
                    Err(error) => {
                        unread = Unread::Again;
                        retry = (retry * 2).min(LONGEST_RETRY);
                        state.workload_trouble(error.to_string());
                    }
                },
                () = sleep(LOOK), if waiting == Waiting::Yes => {}
            }
        }
    }

    /// Finds the workload's API resource. Until it is found, the replica sets carry the error.
    async fn find(
        &self,
        inbox: &mut mpsc::UnboundedReceiver<Note>,
        state: &mut WorkloadState,
        models: &mut Vec<Arc<Model>>,
        events: &Events,
    ) -> Workload {
        let (mut retry, mut reported) = (FIRST_RETRY, None);
        loop {
            match self.target().await {
                Ok(target) => return target.clone(),
                Err(error) if reported.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::warn!(server = self.server, "{error}");
                    state.workload_trouble(error.to_string());
                    reported = Some(error);
                }
            }
            while let Ok(note) = inbox.try_recv() {
                take(note, state, models);
            }
            self.report(state, models, events);
            sleep(retry.mul_f64(1.0 + 0.5 * fastrand::f64())).await;
            retry = (retry * 2).min(LONGEST_RETRY);
        }
    }

    fn workload_changed(
        &self,
        target: &Workload,
        state: &mut WorkloadState,
        change: WatchEvent<DynamicObject>,
    ) -> Unread {
        let now = Nanos::now();
        let observed = match change {
            WatchEvent::All(objects) => objects.first().map(ObservedWorkload::of),
            WatchEvent::Applied(object) => Some(ObservedWorkload::of(&object)),
            WatchEvent::Deleted(_) => None,
            WatchEvent::Trouble(why) => {
                state.workload_trouble(why);
                return Unread::No;
            }
        };
        let Some(observed) = observed else {
            state.workload_gone(format!("{target} does not exist; create it"), now);
            return Unread::No;
        };
        state.workload_seen(&observed, target.count_at, now);
        match target.count_at {
            CountAt::Spec => Unread::No,
            CountAt::Scale => Unread::Now,
        }
    }

    /// Reads the scale subresource if that is needed; otherwise never returns.
    async fn read(
        &self,
        target: &Workload,
        unread: Unread,
        retry: Duration,
    ) -> Result<Scale, ScaleError> {
        match unread {
            Unread::No => std::future::pending().await,
            Unread::Now => {}
            Unread::Again => sleep(retry).await,
        }
        scale::read(&self.shared.cluster, target).await
    }

    /// Sends a replica set for each of the workload's models.
    fn report(&self, state: &mut WorkloadState, models: &[Arc<Model>], events: &Events) {
        *self.known() = Known {
            desired: state.desired(),
            ready: state.running(),
        };
        for model in models {
            if let Some(set) = state.set(model) {
                if let Some(warning) = &set.warning {
                    self.shared.warn_once(&model.name, warning);
                }
                // Fails only when the scaler has stopped.
                let _ = events.send(set);
            }
        }
    }
}

/// Whether the scale subresource must be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    No,
    Now,
    /// After a pause: the last read failed.
    Again,
}

fn take(note: Note, state: &mut WorkloadState, models: &mut Vec<Arc<Model>>) {
    match note {
        Note::Models(new) => {
            let concurrency = new.first().and_then(|model| model.concurrency.value);
            state.set_concurrency(concurrency.map(std::num::NonZeroU32::get));
            *models = new;
        }
        Note::Answered { scale, from, asked } => state.answered(&scale, from, asked),
    }
}

fn slices_changed(state: &mut WorkloadState, change: WatchEvent<EndpointSlice>) {
    let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
    let now = Nanos::now();
    match change {
        WatchEvent::All(all) => {
            let all: BTreeMap<_, _> = all.into_iter().map(|one| (name(&one), one)).collect();
            state.slices_changed(|slices| *slices = all, now);
        }
        WatchEvent::Applied(one) => {
            state.slices_changed(|slices| drop(slices.insert(name(&one), *one)), now);
        }
        WatchEvent::Deleted(one) => {
            state.slices_changed(|slices| drop(slices.remove(&name(&one))), now)
        }
        WatchEvent::Trouble(why) => state.slices_trouble(why),
    }
}

fn workload_scope(target: &Workload) -> Scope<DynamicObject> {
    let (resource, namespace) = (target.api_resource(), target.namespace.clone());
    Scope {
        api: Box::new(move |client| Api::namespaced_with(client, &namespace, &resource)),
        only: Only::All,
        group: target.group.clone(),
        resource: target.resource.clone(),
        namespace: target.namespace.clone(),
    }
}

fn slice_scope(namespace: &str) -> Scope<EndpointSlice> {
    let of = namespace.to_owned();
    Scope {
        api: Box::new(move |client| Api::namespaced(client, &of)),
        only: Only::Labelled(SERVICE_NAME.into()),
        group: "discovery.k8s.io".into(),
        resource: "endpointslices".into(),
        namespace: namespace.to_owned(),
    }
}

/// The name of the Service that a slice belongs to.
fn service_of(slice: &EndpointSlice) -> String {
    slice
        .labels()
        .get(SERVICE_NAME)
        .cloned()
        .unwrap_or_default()
}
