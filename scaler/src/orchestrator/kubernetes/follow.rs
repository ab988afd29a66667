//! One workload as it changes: its watches together, and what the scaler is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, ResourceExt, core::DynamicObject};
use tailback_config::{KubernetesSpec, Model, Source};
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
    scale::{self, Scale},
    state::WorkloadState,
    watch::{Only, Scope, WatchEvent},
    workload::{CountAt, Observed, Workload},
};
use crate::{
    clock::Nanos,
    orchestrator::{Events, ScaleError},
};

/// The label of an EndpointSlice that names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Where time alone may change what there is.
const LOOK: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// What all followers share.
pub(super) struct Shared {
    cluster: Arc<Cluster>,
    workloads: Informers<DynamicObject>,
    slices: Informers<EndpointSlice>,
}

impl Shared {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            workloads: Informers::new(cluster.clone()),
            slices: Informers::new(cluster.clone()),
            cluster,
        }
    }
}

/// A workload: what is known of it, and the way to scale it.
pub(super) struct Follower {
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

/// What the rest of the orchestrator tells a follower.
pub(super) enum Note {
    /// These are the models it runs now.
    Models(Vec<Arc<Model>>),
    /// Our request of `asked` was answered; before it, `from` were asked for.
    Answered {
        scale: Scale,
        from: Option<u32>,
        asked: Nanos,
    },
}

impl Follower {
    /// A follower of what `spec` names, for `models`; the task that follows is to
    /// be [run](Self::run).
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
        // Its task may have ended: then nobody wants to know.
        let _ = self.notes.send(note);
    }

    /// Asks for `replicas`.
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
        // Plain data: whole even if a writer panicked.
        self.known.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Follows the workload, and tells `events`, until it is dropped.
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
            Source::Service(service) => self.shared.slices.subscribe(
                target.namespace.clone(),
                || slice_scope(&target.namespace),
                service_of,
                &service.name,
            ),
            // Nothing will be heard.
            Source::Endpoints(_) => mpsc::unbounded_channel().1,
        };
        // Its count has to be read elsewhere.
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

    /// Resolves the target; until then its models are told what is in the way.
    async fn find(
        &self,
        inbox: &mut mpsc::UnboundedReceiver<Note>,
        state: &mut WorkloadState,
        models: &mut Vec<Arc<Model>>,
        events: &Events,
    ) -> Workload {
        let (mut retry, mut said) = (FIRST_RETRY, None);
        loop {
            match self.target().await {
                Ok(target) => return target.clone(),
                Err(error) if said.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::warn!(server = self.server, "{error}");
                    state.workload_trouble(error.to_string());
                    said = Some(error);
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
            WatchEvent::All(objects) => objects.first().map(Observed::of),
            WatchEvent::Applied(object) => Some(Observed::of(&object)),
            WatchEvent::Deleted(_) => None,
            WatchEvent::Trouble(why) => {
                state.workload_trouble(why);
                return Unread::No;
            }
        };
        let Some(observed) = observed else {
            state.workload_gone(format!("there is no {target}; create it"), now);
            return Unread::No;
        };
        state.workload_seen(&observed, target.count_at, now);
        match target.count_at {
            CountAt::Spec => Unread::No,
            CountAt::Scale => Unread::Now,
        }
    }

    /// Reads the scale subresource, if it has to be; else waits for ever.
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

    /// Tells all its models what there is.
    fn report(&self, state: &mut WorkloadState, models: &[Arc<Model>], events: &Events) {
        *self.known() = Known {
            desired: state.desired(),
            ready: state.running(),
        };
        for model in models {
            if let Some(set) = state.set(model) {
                // The scaler may have stopped listening: it shuts down.
                let _ = events.send(set);
            }
        }
    }
}

/// Whether the scale subresource is still to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    No,
    Now,
    /// After a pause, as it failed.
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

/// The Service that a slice is of.
fn service_of(slice: &EndpointSlice) -> String {
    slice
        .labels()
        .get(SERVICE_NAME)
        .cloned()
        .unwrap_or_default()
}
