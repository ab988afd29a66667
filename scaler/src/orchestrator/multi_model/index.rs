//! Reads which models servers have: when a replica is found, and then every few seconds, so that
//! the reconciler's state agrees with the server's after either was restarted.

use std::{sync::Arc, time::Duration};

use super::{
    hosted::Hosted,
    outcome::Subject,
    reconciler::Reconciler,
    repository::{CallError, IndexEntry},
};
use crate::{clock::Nanos, placement::PlacedState};

/// Time between two readings of a replica's index.
const INTERVAL: Duration = Duration::from_secs(5);
/// Time to the next reading after one that failed, while the replica's models are not known, and between two
/// while the replica cannot be reached.
const SOON: Duration = Duration::from_secs(1);

impl Reconciler {
    /// Begins to read the indexes that are due.
    pub(super) fn read_indexes(&mut self, now: Nanos) {
        let mut due = Vec::new();
        for (name, server) in &mut self.servers {
            for own in &mut server.replicas {
                // At once where it seems to be down, but not after each reading.
                let early = match own.known && own.cannot_be_reached() {
                    true => INTERVAL.saturating_sub(SOON),
                    false => Duration::ZERO,
                };
                if own.index_at <= now + early && !own.indexing {
                    own.indexing = true;
                    due.push((name.clone(), own.replica.clone()));
                }
            }
        }
        for (server, replica) in due {
            self.call_index(&server, &replica, now);
        }
    }

    pub(super) fn indexed(
        &mut self,
        at: &Subject,
        asked: Nanos,
        result: Result<Vec<IndexEntry>, CallError>,
        now: Nanos,
    ) {
        let models: Vec<_> = self
            .models
            .values()
            .filter(|own| *own.model.server.name == *at.server)
            .map(|own| (own.name_at_server().to_owned(), own.model.clone()))
            .collect();
        let Some(server) = self.servers.get_mut(&at.server) else {
            return;
        };
        let storage = server.storage.clone();
        let Some(own) = at.replica.and_then(|id| server.replica_mut(id)) else {
            return;
        };
        own.indexing = false;
        let entries = match result {
            Ok(entries) => entries,
            Err(error) => {
                own.troubles = own.troubles.saturating_add(1);
                if own.known && own.cannot_be_reached() {
                    // It may come back without its models: requests wait until it says what it has.
                    own.known = false;
                    self.stale = true;
                }
                // A plan may have waited for this index.
                self.stale |= !own.known && own.troubles == 1;
                own.index_at = now + if own.known { INTERVAL } else { SOON };
                let why = trouble(&error);
                if own.trouble.as_ref() != Some(&why) {
                    tracing::warn!(replica = %own.replica, "{why}");
                }
                own.trouble = Some(why);
                self.unreported = true;
                return;
            }
        };
        let mut changed = !own.known;
        own.index_at = now + INTERVAL;
        (own.trouble, own.troubles) = (None, 0);
        let ready = entries.iter().filter(|entry| entry.is_ready());
        let mut names: Vec<String> = ready.map(|entry| entry.name.clone()).collect();
        // A model with several versions is listed once for each.
        names.sort_unstable();
        names.dedup();
        let has = |name: &str| {
            names
                .binary_search_by(|known| known.as_str().cmp(name))
                .is_ok()
        };
        // Models that were loaded before the request for the index, and are not in it, are gone.
        let gone: Vec<Arc<str>> = own
            .hosted
            .iter()
            .filter(|(_, hosted)| hosted.state == PlacedState::Loaded && hosted.since < asked)
            .filter(|(_, hosted)| !has(&hosted.name_at_server))
            .map(|(model, _)| model.clone())
            .collect();
        changed |= !gone.is_empty();
        for model in gone {
            if let Some(hosted) = own.hosted.remove(&model) {
                hosted.replica.close();
                let mut listed = entries.iter();
                let said = listed.find(|entry| entry.name == hosted.name_at_server);
                let reason = said.map_or("", |entry| &entry.reason);
                tracing::warn!(model = &*model, replica = %own.replica, reason, "is no longer loaded there, by somebody else's doing or after a restart");
            }
        }
        // Configured models that the server has are taken over.
        let mut others = names;
        let (mut loads, mut adopted) = (Vec::new(), Vec::new());
        for (name, model) in models {
            let at = others.binary_search(&name);
            if let Ok(at) = at {
                others.remove(at);
            }
            let key: Arc<str> = model.name.as_str().into();
            if own.hosted.contains_key(&key) || own.recently_gone(&key, asked) {
                continue;
            }
            let listed = || entries.iter().filter(|entry| entry.name == name);
            let hosted = if at.is_ok() {
                tracing::info!(model = model.name, replica = %own.replica, "is loaded there already");
                let mut hosted = Hosted::new(&own.replica, &model, PlacedState::Loaded, Nanos(0));
                // The files that the server has may be those of an earlier configuration.
                let uri = storage.as_ref().and_then(|own| own.uri(&name));
                if hosted.uri.is_some() && uri.is_some() {
                    hosted.uri = uri;
                    adopted.push(key.clone());
                }
                hosted
            } else if listed().any(IndexEntry::is_unloading) {
                tracing::info!(model = model.name, replica = %own.replica, "is being unloaded there, and still takes its room");
                let hosted = Hosted::new(&own.replica, &model, PlacedState::Unloading, now);
                Hosted {
                    again_at: Some(now),
                    ..hosted
                }
            } else if !self.retired && listed().any(IndexEntry::is_loading) {
                tracing::info!(model = model.name, replica = %own.replica, "is being loaded there already");
                let hosted = Hosted::new(&own.replica, &model, PlacedState::Loading, now);
                let attempt = Some(hosted.replica.id());
                // The load is requested once more, because its answer tells when the model is
                // loaded.
                loads.push((key.clone(), attempt, name));
                Hosted {
                    sent: Some(now),
                    ..hosted
                }
            } else {
                continue;
            };
            own.hosted.insert(key, hosted);
            changed = true;
        }
        if own.others != others {
            if !others.is_empty() {
                tracing::info!(replica = %own.replica, models = others.join(", "), "has models that are not configured for it; they stay");
            }
            own.others = others;
        }
        own.unloaded.retain(|_, at| *at >= asked);
        own.note_known(now);
        let host = own.replica.clone();
        for (model, attempt, name) in loads {
            let at = Subject {
                model: Some(model),
                attempt,
                ..at.clone()
            };
            self.call_load(at, &host, name);
        }
        for model in adopted {
            self.reload_changed(&model, now);
        }
        self.stale |= changed;
        self.unreported = true;
    }
}

fn trouble(error: &CallError) -> String {
    match error {
        CallError::Refused(why) => format!(
            "its models cannot be listed: {why}; a multi-model server has the model repository API (start Triton \
             with --model-control-mode=explicit, MLServer with MLSERVER_LOAD_MODELS_AT_STARTUP=false)"
        ),
        CallError::Failed(why) => format!("its models cannot be listed: {why}"),
    }
}
