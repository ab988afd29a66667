//! Models that share the machine's room, as the reconciler knows them.

use std::sync::Arc;

use tailback_config::HostRoom;

use crate::{
    clock::Nanos,
    orchestrator::{ReplicaSet, multi_model::models::HostedModel},
    replica::{Devices, Replica},
    server_status::PlacementStatus,
};

/// A model, and the devices of its replicas.
pub(super) struct HostModel {
    pub hosted: HostedModel,
    /// What was reported of its processes last.
    pub set: ReplicaSet,
    pub assigned: Vec<Assigned>,
    /// What was reported of its placement last.
    pub shown: Option<PlacementStatus>,
}

/// The devices of a replica that is to run.
pub(super) struct Assigned {
    pub devices: Devices,
    /// Since when.
    pub since: Nanos,
    /// Since when it takes requests.
    pub loaded: Option<Nanos>,
}

impl HostModel {
    /// Takes what is reported of its processes.
    pub(super) fn changed(&mut self, set: ReplicaSet, now: Nanos) {
        self.hosted.load_time = set.start_up.or(self.hosted.load_time);
        self.hosted.failure.clone_from(&set.failure);
        for own in &mut self.assigned {
            let is_ready = set.ready.iter().any(|r| *r.devices() == own.devices);
            own.loaded = own.loaded.or(is_ready.then_some(now)).filter(|_| is_ready);
        }
        self.set = set;
        // Whatever it is, it is passed on.
        self.shown = None;
    }

    pub(super) fn status(&self) -> PlacementStatus {
        let ready = self.set.ready_count();
        let missing = self.hosted.wanted > ready + self.set.starting;
        let reason = self.hosted.unplaced.as_ref().map(ToString::to_string);
        let place = |devices: &Devices| match devices.is_empty() {
            true => "memory".to_owned(),
            false => devices.join(","),
        };
        PlacementStatus {
            state: self.hosted.state(ready, self.set.starting),
            loaded: self.set.ready.iter().map(|r| place(r.devices())).collect(),
            reason: reason.filter(|_| missing),
            load_seconds: self.hosted.load_time.map(|time| time.as_secs_f64()),
        }
    }
}

/// A replica of a model that is no longer configured, as long as its process is there.
pub(super) struct Leaving {
    pub model: Arc<str>,
    pub room: HostRoom,
    pub replica: Arc<Replica>,
}

impl HostModel {
    /// Its replicas, which end by themselves.
    pub(super) fn leave(self) -> Vec<Leaving> {
        let Some(room) = self.hosted.model.room.clone() else {
            return Vec::new();
        };
        let coming = self.set.coming.into_iter().chain(self.set.leaving);
        let coming = coming.map(|own| own.replica);
        let leaving = |replica| Leaving {
            model: self.hosted.model.name.as_str().into(),
            room: room.clone(),
            replica,
        };
        self.set
            .ready
            .into_iter()
            .chain(coming)
            .map(leaving)
            .collect()
    }
}

impl Leaving {
    /// Whether its process is there still.
    pub(super) fn is_there(&self) -> bool {
        !self.replica.has_ended()
    }
}
