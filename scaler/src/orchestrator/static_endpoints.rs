//! Addresses that the manifest names: always ready, never scaled, nothing to stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use tailback_config::{Endpoint, Model};

use super::{Events, Orchestrator, ReplicaSet, ScaleError};
use crate::replica::Replica;

/// Gives models on `static` servers their endpoints.
#[derive(Debug)]
pub struct StaticEndpoints {
    events: Events,
    /// By server and addresses, so that a server's models share them and that
    /// they outlive a reload with their counts.
    replicas: Mutex<HashMap<(String, Endpoint), Arc<Replica>>>,
}

impl StaticEndpoints {
    /// Sends what there is to `events`.
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
        // The scaler may have stopped.
        let _ = self.events.send(set);
    }

    /// The addresses are there whatever is asked for.
    async fn scale(&self, _model: &Arc<Model>, _replicas: u32) -> Result<(), ScaleError> {
        Ok(())
    }

    async fn forget(&self, _model: &str) {}

    async fn shutdown(&self) {}
}
