//! Workloads in a Kubernetes cluster: anything that has a `scale` subresource.
//!
//! Per workload one [`follow`]er: it hears of the object and the EndpointSlices of
//! its Service, by watches that all followers in a namespace share ([`informer`]),
//! and tells the scaler of the replicas; it asks for counts by the
//! `scale` subresource. What the cluster does not say, or cannot be asked, leaves
//! everything as it was: the data plane goes on with the endpoints it has.
//!
//! From pure to I/O: [`endpoints`], [`members`] and [`count`] make up the
//! [`state`]; [`call`], [`scale`] and [`watch`] talk to the [`cluster`].

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

use self::follow::{Follower, Note, Shared};
pub use self::{
    cluster::{ClusterError, find},
    models::models,
};
use super::{Events, Orchestrator, ScaleError, StateSource};

/// Scales workloads in the cluster that the kubeconfig, or the service account,
/// names. Needs a tokio runtime around it.
pub struct Kubernetes {
    shared: Arc<Shared>,
    events: Events,
    followed: Mutex<Vec<Followed>>,
}

/// A workload and the models on it.
struct Followed {
    server: String,
    spec: KubernetesSpec,
    follower: Arc<Follower>,
    models: HashMap<String, Arc<Model>>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kubernetes {
    /// Sends what there is to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            shared: Arc::new(Shared::new(Arc::default())),
            events,
            followed: Mutex::default(),
        }
    }

    fn followed(&self) -> MutexGuard<'_, Vec<Followed>> {
        // Plain data: whole even if a writer panicked.
        self.followed.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn begin(&self, server: &str, spec: KubernetesSpec) -> Followed {
        let (follower, inbox) = Follower::new(self.shared.clone(), server, spec.clone());
        let task = tokio::spawn(follower.clone().run(inbox, self.events.clone()));
        Followed {
            server: server.to_owned(),
            spec,
            follower,
            models: HashMap::new(),
            task,
        }
    }
}

impl Followed {
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
        // It may be on another workload now.
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
        let follower = {
            let followed = self.followed();
            let on_it = followed
                .iter()
                .find(|one| one.models.contains_key(&model.name));
            on_it.map(|one| one.follower.clone())
        };
        match follower {
            Some(follower) => follower.scale(replicas).await,
            None => Err(ScaleError::Refused(format!(
                "server {} is no Kubernetes workload that is followed",
                model.server.name
            ))),
        }
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

    /// The replicas are the cluster's: they stay, for whoever comes after us.
    async fn shutdown(&self) {
        self.followed().clear();
    }
}
