//! Replicas at the addresses in the manifest: always ready, never scaled, never stopped. An operator
//! may drain one, and resume it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use tailback_config::{Endpoint, Model};

use super::{Events, Orchestrator, ReplicaSet, ScaleError};
use crate::{
    clock::Nanos,
    replica::{Replica, Transition},
};

/// The orchestrator of models on `static` servers.
#[derive(Debug)]
pub struct StaticEndpoints {
    events: Events,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    models: BTreeMap<String, Arc<Model>>,
    /// By server and address: models of one server share them, and they keep their counts of
    /// requests over a reload.
    replicas: HashMap<(String, Endpoint), Arc<Replica>>,
    /// By server and `host:port`: those that get no requests, and since when.
    drained: HashMap<(String, String), Nanos>,
}

impl StaticEndpoints {
    /// An orchestrator without models. It sends replica sets to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            events,
            content: Mutex::default(),
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Plain data: consistent even if a writer panicked.
        self.content.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn send(&self, set: ReplicaSet) {
        // Fails only when the scaler has stopped.
        let _ = self.events.send(set);
    }
}

impl Content {
    fn replica(&mut self, server: &str, at: &Endpoint, concurrency: Option<u32>) -> Arc<Replica> {
        let replica = self
            .replicas
            .entry((server.to_owned(), at.clone()))
            .or_insert_with(|| {
                let grpc = at.grpc.as_ref().map(|grpc| grpc.authority.clone());
                Arc::new(Replica::new(server, &at.authority, concurrency).with_grpc(grpc))
            });
        replica.set_concurrency(concurrency);
        replica.clone()
    }

    fn set(&mut self, model: &Model) -> ReplicaSet {
        let server = &model.server;
        let concurrency = server.concurrency.map(std::num::NonZeroU32::get);
        let endpoints = server.endpoints().unwrap_or_default();
        let (mut ready, mut leaving) = (Vec::new(), Vec::new());
        for endpoint in endpoints {
            let replica = self.replica(&server.name, endpoint, concurrency);
            let key = (server.name.clone(), endpoint.authority.clone());
            if let Some(&since) = self.drained.get(&key) {
                replica.close();
                leaving.push(Transition { replica, since });
            } else {
                if replica.is_closed() {
                    replica.reopen();
                }
                ready.push(replica);
            }
        }
        let names: Vec<_> = leaving.iter().map(|own| own.replica.authority()).collect();
        let warning = match &*names {
            [] => None,
            names => Some(format!(
                "drained by an operator, so that no request is sent there until it is resumed: {}",
                names.join(", ")
            )),
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        ReplicaSet {
            model: model.name.clone(),
            ready,
            draining: count(leaving.len()),
            leaving,
            warning,
            capacity: count(endpoints.len()),
            ..ReplicaSet::default()
        }
    }
}

#[async_trait]
impl Orchestrator for StaticEndpoints {
    fn follow(&self, model: &Arc<Model>) {
        let mut content = self.content();
        content.models.insert(model.name.clone(), model.clone());
        self.send(content.set(model));
    }

    /// Does nothing: the addresses are fixed.
    async fn scale(&self, _model: &Arc<Model>, _replicas: u32) -> Result<(), ScaleError> {
        Ok(())
    }

    async fn restart(&self, _model: &str, _replica: &Arc<Replica>) -> Result<(), ScaleError> {
        let why = "Tailback does not run the endpoints of static servers: drain the endpoint, restart what is behind \
                   it, and resume it";
        Err(ScaleError::Refused(why.to_owned()))
    }

    fn set_drained(
        &self,
        model: &Arc<Model>,
        authority: &str,
        drained: bool,
    ) -> Result<(), ScaleError> {
        let server = &model.server.name;
        let mut content = self.content();
        let key = (server.clone(), authority.to_owned());
        if drained {
            content.drained.entry(key).or_insert_with(Nanos::now);
        } else {
            content.drained.remove(&key);
        }
        let of_server = content
            .models
            .values()
            .filter(|own| own.server.name == *server);
        let of_server: Vec<_> = of_server.cloned().collect();
        for model in of_server {
            self.send(content.set(&model));
        }
        Ok(())
    }

    async fn forget(&self, model: &str) {
        self.content().models.remove(model);
    }

    async fn shutdown(&self) {}
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tailback_config::{Env, load_text};
    use tokio::sync::mpsc;

    use super::*;

    const MODELS: &str = "\
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: s }
spec: { static: { endpoints: ['http://127.0.0.1:1', 'http://127.0.0.1:2'] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: a }
spec: { server: s }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: b }
spec: { server: s }
";

    #[test]
    fn a_drained_endpoint_is_out_for_all_models_of_its_server_until_it_is_resumed() {
        let (events, mut inbox) = mpsc::unbounded_channel();
        let orchestrator = StaticEndpoints::new(events);
        let config = load_text(Path::new("a.yaml"), MODELS, &Env::default()).unwrap();
        let models: Vec<_> = config.models.values().cloned().collect();
        models.iter().for_each(|model| orchestrator.follow(model));
        let mut ready = || {
            let sets = std::iter::from_fn(|| inbox.try_recv().ok());
            let counts = sets.map(|set| (set.model, set.ready.len(), set.leaving.len()));
            counts.collect::<Vec<_>>()
        };
        let all = |ready, leaving| ["a", "b"].map(|name| (name.to_owned(), ready, leaving));
        assert_eq!(ready(), all(2, 0));
        let drain = |drained| orchestrator.set_drained(&models[0], "127.0.0.1:2", drained);
        drain(true).unwrap();
        assert_eq!(ready(), all(1, 1));
        // A reload changes nothing.
        models.iter().for_each(|model| orchestrator.follow(model));
        assert_eq!(ready(), all(1, 1));
        drain(false).unwrap();
        assert_eq!(ready(), all(2, 0));
    }
}
