//! Replicas at the addresses in the manifest: always ready, never scaled, never stopped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use tailback_config::{Endpoint, Model};

use super::{Events, Orchestrator, ReplicaSet, ScaleError};
use crate::replica::Replica;

/// The orchestrator of models on `static` servers.
#[derive(Debug)]
pub struct StaticEndpoints {
    events: Events,
    /// By server and address: models of one server share them, and they keep their counts of
    /// requests over a reload.
    replicas: Mutex<HashMap<(String, Endpoint), Arc<Replica>>>,
}

impl StaticEndpoints {
    /// An orchestrator without models. It sends replica sets to `events`.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            events,
            replicas: Mutex::default(),
        }
    }

    fn replica(&self, server: &str, at: &Endpoint, concurrency: Option<u32>) -> Arc<Replica> {
        let mut replicas = self.replicas.lock().unwrap_or_else(|e| e.into_inner());
        let replica = replicas
            .entry((server.to_owned(), at.clone()))
            .or_insert_with(|| {
                let grpc = at.grpc.as_ref().map(|grpc| grpc.authority.clone());
                Arc::new(Replica::new(server, &at.authority, concurrency).with_grpc(grpc))
            });
        replica.set_concurrency(concurrency);
        replica.clone()
    }
}

#[async_trait]
impl Orchestrator for StaticEndpoints {
    fn follow(&self, model: &Arc<Model>) {
        let server = &model.server;
        let concurrency = server.concurrency.map(std::num::NonZeroU32::get);
        let ready: Vec<_> = server
            .endpoints()
            .unwrap_or_default()
            .iter()
            .map(|endpoint| self.replica(&server.name, endpoint, concurrency))
            .collect();
        let capacity = u32::try_from(ready.len()).unwrap_or(u32::MAX);
        let set = ReplicaSet {
            model: model.name.clone(),
            ready,
            capacity,
            ..ReplicaSet::default()
        };
        // Fails only when the scaler has stopped.
        let _ = self.events.send(set);
    }

    /// Does nothing: the addresses are fixed.
    async fn scale(&self, _model: &Arc<Model>, _replicas: u32) -> Result<(), ScaleError> {
        Ok(())
    }

    async fn forget(&self, _model: &str) {}

    async fn shutdown(&self) {}
}
