//! Models that leave a server that stays: they were renamed, or were its last ones.

use std::{sync::Arc, time::Duration};

use super::{reconciler::Reconciler, repository::Repository, servers::SharedServer};
use crate::{clock::Nanos, placement::PlacedState};

/// How often a model that drains is looked at, whose last request ends without a sign.
const DRAINING: Duration = Duration::from_millis(50);

impl Reconciler {
    /// Drains replicas of a model that are known to their servers by another name than the one that
    /// is configured now: requests would not find it.
    pub(super) fn reload_renamed(&mut self, model: &Arc<str>, now: Nanos) {
        let Some(own) = self.models.get(model) else {
            return;
        };
        let name = own.name_at_server();
        let replicas = self.servers.values_mut().flat_map(|own| &mut own.replicas);
        for hosted in replicas.filter_map(|replica| replica.hosted.get_mut(model)) {
            if hosted.name_at_server == name {
                continue;
            }
            match hosted.state {
                PlacedState::Loading if hosted.sent.is_none() => {
                    hosted.name_at_server = name.to_owned();
                }
                PlacedState::Loading => hosted.unwanted = true,
                PlacedState::Loaded => {
                    hosted.replica.close();
                    hosted.enter(PlacedState::Draining, now);
                    hosted.renamed = true;
                }
                PlacedState::Draining => hosted.renamed = true,
                PlacedState::Unloading => {}
            }
        }
    }

    /// Unloads all models of a server that has none any more, each after its last request.
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
