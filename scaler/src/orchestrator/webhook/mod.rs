//! Replicas that an HTTP API starts and stops: one request for each count asked
//! for, and, where the manifest says how, looks at what became of it.
//!
//! Without `state` there is nothing but our word: what was taken is there, and
//! ready. With it, the API is looked at every `periodSeconds`, at once after a
//! request, and each second while replicas are on their way. Where the API does
//! not answer, what was seen last stays in force, and traffic goes on. Replicas
//! of a model that is no longer served, and of a proxy that stops, stay.

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

/// A model, and who looks at what there is of it.
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
    /// Sends what there is to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            events,
            client: Arc::default(),
            models: Mutex::default(),
        }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Whole at any time: each change is one call.
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
    /// Where the state says what is asked for, that is heard first.
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
