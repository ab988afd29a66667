//! The models that are loaded, if the server hosts many: the model repository extension of the
//! Open Inference Protocol v2. Every model is `simple`, under a name of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use hyper::StatusCode;

use crate::protocol::IndexEntry;
use crate::reply::{Refusal, Reply, json};
use crate::simple;

/// Models by name, and whether each is loaded; else it is being loaded.
pub struct Repository {
    models: Mutex<BTreeMap<String, bool>>,
    load: Duration,
    capacity: Option<u32>,
    /// What the names of models that cannot be loaded begin with.
    broken: Option<String>,
    /// What the names of models that cannot be unloaded begin with.
    stuck: Option<String>,
}

impl Repository {
    /// A repository of which nothing is loaded.
    pub fn new(
        load: Duration,
        capacity: Option<u32>,
        broken: Option<String>,
        stuck: Option<String>,
    ) -> Self {
        Self {
            models: Mutex::default(),
            load,
            capacity,
            broken,
            stuck,
        }
    }

    /// Whether `model` is loaded.
    pub fn is_loaded(&self, model: &str) -> bool {
        self.models().get(model).copied().unwrap_or(false)
    }

    /// Lists all models.
    pub fn index(&self) -> Reply {
        let models = self.models();
        let entries: Vec<_> = models
            .iter()
            .map(|(name, loaded)| IndexEntry {
                name,
                version: simple::VERSION,
                state: if *loaded { "READY" } else { "LOADING" },
                reason: "",
            })
            .collect();
        json(StatusCode::OK, &entries)
    }

    /// Loads `model`, which takes a while.
    pub async fn load(&self, model: &str) -> Result<Reply, Refusal> {
        let refused = |why: String| {
            let name = simple::shorten(model);
            Err(Refusal(
                StatusCode::BAD_REQUEST,
                format!("failed to load '{name}', {why}"),
            ))
        };
        let broken = self.broken.as_ref();
        if broken.is_some_and(|start| model.starts_with(start)) {
            return refused("failed to poll from model repository".to_owned());
        }
        {
            let mut models = self.models();
            let full = self.capacity.filter(|most| models.len() >= *most as usize);
            if let Some(most) = full.filter(|_| !models.contains_key(model)) {
                return refused(format!("there is room for {most} models"));
            }
            models.entry(model.to_owned()).or_insert(false);
        }
        tokio::time::sleep(self.load).await;
        // It may have been unloaded meanwhile.
        if let Some(loaded) = self.models().get_mut(model) {
            *loaded = true;
        }
        Ok(json(StatusCode::OK, &()))
    }

    /// Unloads `model`.
    pub fn unload(&self, model: &str) -> Result<Reply, Refusal> {
        let stuck = self.stuck.as_ref();
        if stuck.is_some_and(|start| model.starts_with(start)) {
            let name = simple::shorten(model);
            let why = format!("failed to unload '{name}': it is in use");
            return Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, why));
        }
        self.models().remove(model);
        Ok(json(StatusCode::OK, &()))
    }

    fn models(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        // A poisoned lock is fine: each change is one call.
        self.models.lock().unwrap_or_else(|e| e.into_inner())
    }
}
