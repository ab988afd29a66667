//! Scales workloads in a Kubernetes cluster: anything with a `scale` subresource.
//!
//! Each workload has one [`follow`]er. It follows the workload's object and the EndpointSlices of
//! its Service, by watches that all followers in a namespace share ([`informer`]). It sends
//! replica sets to the scaler, and sets counts through the `scale` subresource. While the API
//! server is away, everything stays as it was: requests go to the last known endpoints.
//!
//! [`endpoints`], [`members`], [`count`] and [`state`] are pure. [`call`], [`scale`] and
//! [`watch`] talk to the [`cluster`].

pub(crate) mod api_error;
pub(crate) mod call;
pub(crate) mod cluster;
mod count;
mod deletion_cost;
mod discovery;
pub(crate) mod endpoints;
pub(crate) mod error;
mod follow;
mod informer;
mod members;
mod models;
mod reachability;
mod restart;
mod scale;
mod state;
pub(crate) mod watch;
mod workload;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use tailback_config::{KubernetesSpec, Model};
use tokio::task::JoinHandle;

use self::follow::{Note, Shared, WorkloadFollower};
pub use self::{
    cluster::{ClusterError, find},
    models::models,
};
use super::{Events, Orchestrator, ScaleError, StateSource};
use crate::replica::Replica;

/// Scales workloads in the cluster of the kubeconfig, or else of the service account. Needs a
/// tokio runtime around it.
pub struct Kubernetes {
    shared: Arc<Shared>,
    events: Events,
    followed: Mutex<Vec<FollowedWorkload>>,
}

/// A workload and its models.
struct FollowedWorkload {
    server: String,
    spec: KubernetesSpec,
    follower: Arc<WorkloadFollower>,
    models: HashMap<String, Arc<Model>>,
    task: JoinHandle<()>,
}

impl Drop for FollowedWorkload {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kubernetes {
    /// An orchestrator without models. It sends replica sets to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            shared: Arc::new(Shared::new(Arc::default())),
            events,
            followed: Mutex::default(),
        }
    }

    fn followed(&self) -> MutexGuard<'_, Vec<FollowedWorkload>> {
        // Plain data: consistent even if a writer panicked.
        self.followed.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The follower of a model's workload.
    fn follower(&self, model: &str) -> Result<Arc<WorkloadFollower>, ScaleError> {
        let followed = self.followed();
        let on_it = followed.iter().find(|one| one.models.contains_key(model));
        on_it.map(|one| one.follower.clone()).ok_or_else(|| {
            ScaleError::Refused(format!(
                "the server of {model} is not a Kubernetes workload that Tailback follows"
            ))
        })
    }

    fn begin(&self, server: &str, spec: KubernetesSpec) -> FollowedWorkload {
        let (follower, inbox) = WorkloadFollower::new(self.shared.clone(), server, spec.clone());
        let task = tokio::spawn(follower.clone().run(inbox, self.events.clone()));
        FollowedWorkload {
            server: server.to_owned(),
            spec,
            follower,
            models: HashMap::new(),
            task,
        }
    }
}

impl FollowedWorkload {
    fn tell(&self) {
        let models = self.models.values().cloned().collect();
        self.follower.tell(Note::Models(models));
    }
}

#[async_trait]
impl Orchestrator for Kubernetes {
    fn state_source(&self, _model: &Model) -> StateSource {
        StateSource::Orchestrator
    }

    fn follow(&self, model: &Arc<Model>) {
        let Some(spec) = model.server.kubernetes() else {
            return;
        };
        let (server, spec) = (&model.server.name, spec.of(&model.name));
        let mut followed = self.followed();
        // The model may be on another workload now.
        followed.retain_mut(|one| {
            if (&one.server, &one.spec) == (server, &spec)
                || one.models.remove(&model.name).is_none()
            {
                return true;
            }
            one.tell();
            !one.models.is_empty()
        });
        let at = followed
            .iter()
            .position(|one| (&one.server, &one.spec) == (server, &spec));
        let at = at.unwrap_or_else(|| {
            followed.push(self.begin(server, spec));
            followed.len() - 1
        });
        followed[at]
            .models
            .insert(model.name.clone(), model.clone());
        followed[at].tell();
    }

    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError> {
        self.follower(&model.name)?.scale(replicas).await
    }

    async fn restart(&self, model: &str, replica: &Arc<Replica>) -> Result<(), ScaleError> {
        self.follower(model)?.restart(replica).await
    }

    async fn forget(&self, model: &str) {
        self.followed().retain_mut(|one| {
            if one.models.remove(model).is_none() {
                return true;
            }
            one.tell();
            !one.models.is_empty()
        });
    }

    /// Does nothing: the replicas belong to the cluster and stay.
    async fn shutdown(&self) {
        self.followed().clear();
    }
}
