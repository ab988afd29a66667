//! Unloads models from servers that stay: models that have another name or other files now, and
//! all models of a server that has none configured any more.

use std::{sync::Arc, time::Duration};

use super::{
    hosted::{Files, fetched_from},
    reconciler::Reconciler,
    repository::Repository,
    servers::SharedServer,
};
use crate::{clock::Nanos, placement::PlacedState};

/// How often a draining model is checked, because nothing notifies of its last request's end.
const DRAINING: Duration = Duration::from_millis(50);

impl Reconciler {
    /// Drains replicas of a model that were loaded by another name than the one that is configured
    /// now, so that requests would not find them, or with other files.
    pub(super) fn reload_changed(&mut self, model: &Arc<str>, now: Nanos) {
        let Some(own) = self.models.get(model) else {
            return;
        };
        let name = own.name_at_server();
        let uri = fetched_from(&own.model);
        let replicas = self.servers.values_mut().flat_map(|own| &mut own.replicas);
        for hosted in replicas.filter_map(|replica| replica.hosted.get_mut(model)) {
            if hosted.name_at_server == name && hosted.uri.as_deref() == uri {
                continue;
            }
            tracing::info!(model = &**model, replica = %hosted.replica, "has another name or other files now: it is loaded again");
            match hosted.state {
                PlacedState::Loading if hosted.sent.is_none() => {
                    hosted.name_at_server = name.to_owned();
                    hosted.uri = uri.map(str::to_owned);
                    hosted.files = Files::Unseen;
                }
                PlacedState::Loading => hosted.unwanted = true,
                PlacedState::Loaded => {
                    hosted.replica.close();
                    hosted.enter(PlacedState::Draining, now);
                    hosted.outdated = true;
                }
                PlacedState::Draining => hosted.outdated = true,
                PlacedState::Unloading => {}
            }
        }
    }

    /// Unloads all models of a server that has none configured any more, each after its last
    /// request.
    pub(super) fn unload_all(&self, server: SharedServer) {
        let limit = self.placement.unload_limit;
        let api = server.repository_api();
        for replica in server.replicas {
            for (_, hosted) in replica.hosted {
                hosted.replica.close();
                let host = replica.replica.clone();
                tokio::spawn(async move {
                    while hosted.replica.in_flight() > 0 {
                        tokio::time::sleep(DRAINING).await;
                    }
                    let name = &hosted.name_at_server;
                    let result = Repository::of(&host, api).unload(name, limit).await;
                    match result {
                        Ok(()) => tracing::info!(model = name, replica = %host, "unloaded"),
                        Err(error) => {
                            tracing::warn!(model = name, replica = %host, "could not be unloaded, and stays there: {error}");
                        }
                    }
                });
            }
        }
    }
}
