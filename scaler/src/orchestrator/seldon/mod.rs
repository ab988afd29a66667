//! Scales models that Seldon Core 2 runs. Tailback sends the scheduler the same triggers as
//! Seldon's own agents. A trigger is relative (one replica more or less), and its response does
//! not say whether it took effect. So Tailback polls the model's status and derives the next
//! trigger from it ([`relay`]).
//!
//! Requests go to the fixed addresses of Seldon's mesh, which stand for all replicas.

mod followed;
mod message;
mod relay;
mod scheduler;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use tailback_config::Model;
use tokio::task::JoinHandle;

use self::followed::Followed;
use super::{Events, Orchestrator, ScaleError, StateSource};

/// Scales models on `seldon` servers.
pub struct Seldon {
    events: Events,
    models: Mutex<HashMap<String, Entry>>,
}

/// A model, and the task that polls and scales it.
struct Entry {
    followed: Arc<Followed>,
    leading: JoinHandle<()>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.leading.abort();
    }
}

impl Seldon {
    /// An orchestrator without models. It sends replica sets to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            events,
            models: Mutex::default(),
        }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Each change is one call of the map, so it is consistent even after a panic.
        self.models.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn followed(&self, model: &Arc<Model>) -> Arc<Followed> {
        let mut models = self.models();
        let entry = models.entry(model.name.clone()).or_insert_with(|| {
            let followed = Arc::new(Followed::new(model.clone(), self.events.clone()));
            Entry {
                leading: tokio::spawn(followed.clone().lead()),
                followed,
            }
        });
        entry.followed.configure(model);
        entry.followed.clone()
    }
}

#[async_trait]
impl Orchestrator for Seldon {
    fn state_source(&self, _model: &Model) -> StateSource {
        StateSource::Orchestrator
    }

    fn follow(&self, model: &Arc<Model>) {
        self.followed(model);
    }

    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError> {
        self.followed(model).scale(replicas)
    }

    async fn forget(&self, model: &str) {
        self.models().remove(model);
    }

    async fn shutdown(&self) {
        self.models().clear();
    }
}
