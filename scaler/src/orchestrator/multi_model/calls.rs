//! Calls to servers and their orchestrators, each in a task of its own.

use std::{sync::Arc, time::Duration};

use super::{
    outcome::{CallDone, Outcome, Subject},
    reconciler::Reconciler,
    repository::Repository,
    servers::SharedServer,
};
use crate::{clock::Nanos, placement::LoadTries, replica::Replica};

impl Reconciler {
    pub(super) fn call_load(&self, at: Subject, host: &Arc<Replica>, model: String) {
        let done = self.done.clone();
        let own = at.model.as_ref().and_then(|name| self.models.get(name));
        let tries = LoadTries::of(&self.placement);
        let limit = own.map_or(tries.limit, |own| own.failed_loads.limit(tries));
        let repository = self.repository(&at.server, host);
        tokio::spawn(async move {
            let result = repository.load(&model, limit).await;
            let outcome = Outcome::Loaded(result);
            // Fails only when the scaler has stopped.
            let _ = done.send(CallDone { at, outcome });
        });
    }

    pub(super) fn call_unload(
        &self,
        at: Subject,
        host: &Arc<Replica>,
        model: String,
        limit: Duration,
    ) {
        let done = self.done.clone();
        let repository = self.repository(&at.server, host);
        tokio::spawn(async move {
            let result = repository.unload(&model, limit).await;
            let outcome = Outcome::Unloaded(result);
            let _ = done.send(CallDone { at, outcome });
        });
    }

    pub(super) fn call_index(&self, server: &Arc<str>, host: &Arc<Replica>, asked: Nanos) {
        let done = self.done.clone();
        let repository = self.repository(server, host);
        let at = Subject {
            server: server.clone(),
            replica: Some(host.id()),
            model: None,
            attempt: None,
        };
        tokio::spawn(async move {
            let result = repository.index().await;
            let outcome = Outcome::Indexed { asked, result };
            let _ = done.send(CallDone { at, outcome });
        });
    }

    /// The repository API of a server's replica.
    fn repository(&self, server: &str, host: &Replica) -> Repository {
        let api = self.servers.get(server).map(SharedServer::repository_api);
        Repository::of(host, api.unwrap_or_default())
    }

    /// Asks the server's orchestrator for a count. One request at a time, so that a later one
    /// cannot overtake it.
    pub(super) fn call_scale(&mut self, name: &str, replicas: u32) {
        let Some((server_name, server)) = self.servers.get_key_value(name) else {
            return;
        };
        let as_model = server.as_model.clone();
        let Some(orchestrator) = self.orchestrators.of(&as_model.server.kind).cloned() else {
            return;
        };
        let (done, server) = (self.done.clone(), server_name.clone());
        tokio::spawn(async move {
            let result = orchestrator.scale(&as_model, replicas).await;
            let outcome = Outcome::Scaled { replicas, result };
            let at = Subject {
                server,
                replica: None,
                model: None,
                attempt: None,
            };
            let _ = done.send(CallDone { at, outcome });
        });
        if let Some(server) = self.servers.get_mut(name) {
            (server.asking, server.ask_again) = (true, None);
        }
    }
}

/// Pause before a failed request to a server's orchestrator is repeated.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(5);
