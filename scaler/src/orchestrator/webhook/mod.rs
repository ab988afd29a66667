//! Replicas that the operator's own HTTP API starts and stops. Tailback sends one request for
//! each new count. If the manifest has `state`, it also polls the API for the replicas' state.
//!
//! Without `state`, a count that the API accepted counts as ready at once. With it, Tailback
//! polls every `periodSeconds`, at once after a request, and each second while replicas are
//! starting or draining. If the API does not answer, the last known state stays in force and
//! requests go on. The replicas stay when a model is no longer served, and when the proxy stops.

mod client;
mod followed;
mod state;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use tailback_config::Model;
use tokio::task::JoinHandle;

use self::{client::Client, followed::Followed};
use super::{Events, Orchestrator, ScaleError, StateSource};

/// Scales models on `webhook` servers.
pub struct Webhooks {
    events: Events,
    client: Arc<Client>,
    models: Mutex<HashMap<String, Entry>>,
}

/// A model, and the task that polls its state.
struct Entry {
    followed: Arc<Followed>,
    looking: Option<JoinHandle<()>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(task) = &self.looking {
            task.abort();
        }
    }
}

impl Webhooks {
    /// An orchestrator without models. It sends replica sets to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            events,
            client: Arc::default(),
            models: Mutex::default(),
        }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Each change is one call of the map, so it is consistent even after a panic.
        self.models.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn followed(&self, model: &Arc<Model>) -> Arc<Followed> {
        let mut models = self.models();
        let entry = models.entry(model.name.clone()).or_insert_with(|| Entry {
            followed: Arc::new(Followed::new(
                model.clone(),
                self.events.clone(),
                self.client.clone(),
            )),
            looking: None,
        });
        entry.followed.configure(model);
        let to_be_looked_at = has_state(model);
        match &entry.looking {
            None if to_be_looked_at => {
                entry.looking = Some(tokio::spawn(entry.followed.clone().look()));
            }
            Some(task) if !to_be_looked_at => {
                task.abort();
                entry.looking = None;
            }
            _ => {}
        }
        entry.followed.clone()
    }
}

fn has_state(model: &Model) -> bool {
    let spec = model.server.webhook();
    spec.is_some_and(|spec| spec.state.is_some())
}

#[async_trait]
impl Orchestrator for Webhooks {
    /// The API's count comes first where its state has one (`state.desired`).
    fn state_source(&self, model: &Model) -> StateSource {
        let state = model.server.webhook().and_then(|spec| spec.state.as_ref());
        match state.and_then(|state| state.desired.as_ref()) {
            Some(_) => StateSource::Orchestrator,
            None => StateSource::Requests,
        }
    }

    fn follow(&self, model: &Arc<Model>) {
        self.followed(model);
    }

    async fn scale(&self, model: &Arc<Model>, replicas: u32) -> Result<(), ScaleError> {
        let followed = self.followed(model);
        followed.scale(replicas).await
    }

    async fn forget(&self, model: &str) {
        self.models().remove(model);
    }

    async fn shutdown(&self) {
        self.models().clear();
    }
}
