//! Reports models to the scaler, and servers to the admin address, when they have changed.

use std::sync::Arc;

use super::{
    models::{HostedModel, Shown},
    reconciler::Reconciler,
    servers::SharedServer,
};
use crate::{
    clock::Nanos,
    orchestrator::{LoadFailure, ReplicaSet},
    placement::{PlacedState, Unplaced},
    replica::Transition,
    server_status::{HostedStatus, PlacementStatus, ServerReplicaStatus, ServerStatus},
};

impl Reconciler {
    pub(super) fn report(&mut self, now: Nanos) {
        for (name, own) in &self.models {
            let Some(server) = self.servers.get(&*own.model.server.name) else {
                continue;
            };
            let set = replica_set(name, own, server);
            let shown = Shown::of(&set, own);
            if self.shown.get(name) != Some(&shown) {
                self.shown.insert(name.clone(), shown);
                // Fails only when the scaler has stopped.
                let _ = self.events.send(set);
            }
        }
        for server in self.servers.values() {
            self.status.set(self.server_status(server, now));
        }
    }

    fn server_status(&self, server: &SharedServer, now: Nanos) -> ServerStatus {
        let own = server.as_model.server.multi_model.as_ref();
        let models = self.models.values();
        let on_it = models.filter(|own| own.model.server.name == server.name());
        let wanted = on_it.map(|own| {
            let replicas = u64::from(own.wanted);
            own.model.memory.unwrap_or(0).saturating_mul(replicas)
        });
        ServerStatus {
            name: server.name().to_owned(),
            desired: server.asked,
            replicas: server
                .replicas
                .iter()
                .map(|replica| ServerReplicaStatus {
                    name: replica.replica.name().to_owned(),
                    endpoint: replica.replica.authority().to_owned(),
                    in_flight: replica.replica.in_flight(),
                    memory_bytes: server.memory(),
                    used_bytes: replica.used(),
                    leaving: server.is_to_go(replica),
                    models: replica
                        .hosted
                        .iter()
                        .map(|(model, hosted)| HostedStatus {
                            model: model.to_string(),
                            state: hosted.state.as_str(),
                            seconds: now.since(hosted.since).as_secs_f64(),
                            in_flight: hosted.replica.in_flight(),
                            memory_bytes: hosted.memory,
                        })
                        .collect(),
                    others: replica.others.clone(),
                    trouble: replica.trouble.clone(),
                })
                .collect(),
            starting: server.set.starting,
            wanted_bytes: wanted.fold(0, u64::saturating_add),
            overcommit_percentage: own.map_or(0, |own| own.overcommit(&self.placement)),
            failure: server_failure(server),
            counts: server.counts,
        }
    }
}

/// The replicas of a model, and its placement.
fn replica_set(name: &Arc<str>, own: &HostedModel, server: &SharedServer) -> ReplicaSet {
    let mut set = ReplicaSet {
        model: name.to_string(),
        start_up: own.load_time,
        failure: own.failure.clone().or_else(|| server_failure(server)),
        capacity: own.capacity(),
        ..ReplicaSet::default()
    };
    let concurrency = own.model.concurrency.value.map(std::num::NonZeroU32::get);
    let mut loaded = Vec::new();
    for replica in &server.replicas {
        let Some(hosted) = replica.hosted.get(name) else {
            continue;
        };
        match hosted.state {
            // Its index will tell whether it still has the model.
            PlacedState::Loaded if !replica.known => set.starting += 1,
            PlacedState::Loading => {
                set.starting += 1;
                set.coming.push(Transition {
                    replica: hosted.replica.clone(),
                    since: hosted.since,
                });
            }
            PlacedState::Loaded => {
                hosted.replica.set_concurrency(concurrency);
                set.ready.push(hosted.replica.clone());
                loaded.push(replica.replica.name().to_owned());
            }
            PlacedState::Draining | PlacedState::Unloading => {
                set.draining += 1;
                set.leaving.push(Transition {
                    replica: hosted.replica.clone(),
                    since: hosted.since,
                });
            }
        }
    }
    let ready = set.ready_count();
    let missing = own.wanted.saturating_sub(ready + set.starting);
    if matches!(own.unplaced, Some(Unplaced::NoBin { .. })) {
        // They start once the server's replicas are there.
        set.starting += missing;
    }
    let state = own.state(ready, set.starting);
    let unplaced = own.unplaced.as_ref().map(ToString::to_string);
    let reason = unplaced.or_else(|| fetching(own, server));
    set.placement = Some(PlacementStatus {
        state,
        loaded,
        reason: reason.filter(|_| missing > 0 || ready == 0),
        load_seconds: own.load_time.map(|time| time.as_secs_f64()),
    });
    let none = ready == 0 && set.coming.is_empty();
    let failure = own.failure.as_ref().filter(|_| none);
    set.load_failure = failure.map(|why| LoadFailure {
        number: own.failed_loads.number,
        why: why.as_str().into(),
    });
    set
}

/// The progress of the fetch of its files, if they are being fetched.
fn fetching(own: &HostedModel, server: &SharedServer) -> Option<String> {
    const MIB: u64 = 1024 * 1024;
    let (done, total) = server.storage.as_ref()?.progress(own.name_at_server())?;
    let (done, total) = (done / MIB, total.div_ceil(MIB));
    Some(format!(
        "its files are being fetched: {done} of {total} MiB are here"
    ))
}

fn server_failure(server: &SharedServer) -> Option<String> {
    let trouble = server.replicas.iter().find_map(|own| {
        let why = own.trouble.as_ref()?;
        Some(format!("{}: {why}", own.replica.name()))
    });
    let own = server.rejected.clone().or(server.set.failure.clone());
    own.or_else(|| {
        server
            .set
            .not_ready
            .clone()
            .filter(|_| server.replicas.is_empty())
    })
    .map(|why| format!("server {}: {why}", server.name()))
    .or(trouble)
}
