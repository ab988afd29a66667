//! Models that share the machine's room, as the reconciler knows them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tailback_config::{HostRoom, Model};

use crate::{
    clock::Nanos,
    orchestrator::{ReplicaSet, multi_model::models::HostedModel},
    placement::LoadTries,
    replica::{Devices, Replica, ReplicaId},
    server_status::{HostCounts, PlacementStatus},
};

/// A replica that has served for this long counts as started well, even if it ends later.
const RAN_WELL: Duration = Duration::from_secs(10);
/// The first count of a new model comes at once, if there is one.
const FIRST_COUNT: Duration = Duration::from_millis(100);

/// A model, and the devices of its replicas.
pub(super) struct HostModel {
    pub hosted: HostedModel,
    /// Until when its first count is waited for; `None`: there is one.
    pub count_by: Option<Nanos>,
    /// The last replica set of its processes.
    pub set: ReplicaSet,
    pub assigned: Vec<Assigned>,
    /// The bytes that each of its replicas was started with.
    memory: BTreeMap<ReplicaId, u64>,
    /// What has happened to its replicas.
    pub counts: HostCounts,
    /// Its replicas that are ready; `None`: those that a process before this one has started are
    /// not known yet.
    ready: Option<BTreeSet<ReplicaId>>,
    /// The placement and the capacity that were reported last.
    pub shown: Option<(PlacementStatus, u32)>,
}

/// The devices that a replica is to run on.
pub(super) struct Assigned {
    pub devices: Devices,
    /// When they were assigned.
    pub since: Nanos,
    /// When the replica on them became ready; `None`: it has not.
    pub loaded: Option<Nanos>,
}

impl HostModel {
    /// A model with replicas to run on these devices, of which no report has come yet.
    pub(super) fn new(model: Arc<Model>, devices: Vec<Devices>, now: Nanos) -> Self {
        let ready = devices.is_empty().then(BTreeSet::new);
        let assigned = devices.into_iter().map(|devices| Assigned {
            devices,
            since: now,
            loaded: None,
        });
        Self {
            assigned: assigned.collect(),
            hosted: HostedModel::new(model),
            count_by: Some(now + FIRST_COUNT),
            set: ReplicaSet::default(),
            memory: BTreeMap::new(),
            counts: HostCounts::default(),
            ready,
            shown: None,
        }
    }

    /// Takes the model's replica set. A replica that does not start gives up its devices. It is
    /// retried after a pause for as often as `tries` says, and after that less often.
    pub(super) fn changed(&mut self, set: ReplicaSet, tries: LoadTries, now: Nanos) {
        self.hosted.load_time = set.start_up.or(self.hosted.load_time);
        let ran_well = |at: Nanos| now.since(at) >= RAN_WELL;
        if self
            .assigned
            .iter()
            .any(|own| own.loaded.is_some_and(ran_well))
        {
            self.hosted.failed_loads.count_anew();
        }
        match &set.load_failure {
            None if !set.ready.is_empty() => self.hosted.failed_loads.not_before = None,
            Some(failure) if set.load_failure != self.set.load_failure => {
                let why = failure.why.to_string();
                self.hosted.load_failed(why, tries, now, now);
                self.counts.failed_loads += 1;
                self.give_up(&set);
            }
            _ => {}
        }
        self.hosted.failure.clone_from(&set.failure);
        self.note_memory(&set);
        self.note_loads(&set);
        for own in &mut self.assigned {
            let is_ready = set.ready.iter().any(|r| *r.devices() == own.devices);
            own.loaded = own.loaded.or(is_ready.then_some(now)).filter(|_| is_ready);
        }
        self.set = set;
        // Every set is reported, even if the placement has not changed.
        self.shown = None;
    }

    /// Gives up the devices on which no replica runs or starts.
    fn give_up(&mut self, set: &ReplicaSet) {
        let coming = set.coming.iter().map(|own| &own.replica);
        let there = set.ready.iter().chain(coming);
        let mut there: Vec<_> = there.map(|replica| replica.devices()).collect();
        self.assigned.retain(|own| {
            let at = there.iter().position(|devices| **devices == own.devices);
            at.map(|at| there.swap_remove(at)).is_some()
        });
        // So that the process orchestrator gets the new list of devices.
        self.hosted.reconfigured = true;
    }

    /// Notes the memory with which new replicas were started.
    fn note_memory(&mut self, set: &ReplicaSet) {
        let room = self.hosted.model.room.as_ref();
        let now = room.map_or(0, |room| room.memory);
        let coming = set.coming.iter().chain(&set.leaving);
        let there = set.ready.iter().chain(coming.map(|own| &own.replica));
        let memory = there.map(|replica| {
            let id = replica.id();
            (id, self.memory.get(&id).copied().unwrap_or(now))
        });
        self.memory = memory.collect();
    }

    /// Counts the replicas that have become ready.
    fn note_loads(&mut self, set: &ReplicaSet) {
        let known = self.ready.take();
        let is_new = |replica: &&Arc<Replica>| {
            (known.as_ref()).is_some_and(|known| !known.contains(&replica.id()))
        };
        for replica in set.ready.iter().filter(is_new) {
            let took = replica.health().start_up().unwrap_or_default();
            self.counts.loads += 1;
            self.counts.load_seconds += took.as_secs_f64();
        }
        self.ready = Some(set.ready.iter().map(|replica| replica.id()).collect());
    }

    /// The memory that a replica was started with, in bytes.
    pub(super) fn memory_of(&self, replica: &Replica) -> Option<u64> {
        self.memory.get(&replica.id()).copied()
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

/// A replica of a model that is no longer configured, while its process still runs.
pub(super) struct Leaving {
    pub model: Arc<str>,
    pub room: HostRoom,
    /// The memory that it was started with, in bytes.
    pub memory: u64,
    pub replica: Arc<Replica>,
}

impl HostModel {
    /// Its replicas, which end without further orders.
    pub(super) fn leave(self) -> Vec<Leaving> {
        let Some(room) = self.hosted.model.room.clone() else {
            return Vec::new();
        };
        let coming = self.set.coming.iter().chain(&self.set.leaving);
        let coming = coming.map(|own| &own.replica);
        let leaving = |replica: &Arc<Replica>| Leaving {
            model: self.hosted.model.name.as_str().into(),
            memory: self.memory_of(replica).unwrap_or(room.memory),
            room: room.clone(),
            replica: replica.clone(),
        };
        self.set.ready.iter().chain(coming).map(leaving).collect()
    }
}

impl Leaving {
    /// Whether its process still runs.
    pub(super) fn is_there(&self) -> bool {
        !self.replica.has_ended()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::host, *};
    use crate::{orchestrator::LoadFailure, replica::Transition};

    const SECOND: Duration = Duration::from_secs(1);

    fn config(memory: &str) -> Arc<Model> {
        host(&[("m", &format!("memory: {memory}"))]).models["m"].clone()
    }

    fn tries(count: u32) -> LoadTries {
        LoadTries {
            count,
            limit: 3600 * SECOND,
        }
    }

    fn device() -> Devices {
        vec!["0".to_owned()]
    }

    /// A model that is to have a replica on device 0.
    fn model() -> HostModel {
        HostModel::new(config("16Gi"), vec![device()], Nanos(0))
    }

    fn replica() -> Arc<Replica> {
        Arc::new(Replica::new("m-0", "127.0.0.1:1", None).on(device()))
    }

    fn ready(replica: &Arc<Replica>) -> ReplicaSet {
        ReplicaSet {
            ready: vec![replica.clone()],
            ..ReplicaSet::default()
        }
    }

    fn failed(number: u32) -> ReplicaSet {
        ReplicaSet {
            failure: Some("m-0 ended".into()),
            load_failure: Some(LoadFailure {
                number,
                why: "m-0 ended".into(),
            }),
            ..ReplicaSet::default()
        }
    }

    #[test]
    fn a_replica_that_does_not_start_gives_its_devices_up_and_pauses_ever_longer() {
        let mut own = model();
        let mut now = Nanos(0);
        for (number, pause) in [(1, 1), (2, 2), (3, 300)] {
            own.changed(failed(number), tries(2), now);
            assert!(own.assigned.is_empty());
            assert_eq!(
                own.hosted.failed_loads.not_before,
                Some(now + pause * SECOND)
            );
            // The same failure, reported again, is not counted again.
            own.changed(failed(number), tries(2), now);
            assert_eq!(own.hosted.failed_loads.number, number);
            now = now + pause * SECOND;
            own.assigned = model().assigned;
        }
        own.changed(ready(&replica()), tries(2), now);
        assert_eq!(
            (own.hosted.failed_loads.not_before, own.assigned.len()),
            (None, 1)
        );
    }

    #[test]
    fn a_replica_that_ends_again_and_again_when_it_is_ready_pauses_ever_longer_too() {
        let mut own = model();
        let mut now = Nanos(0);
        for pause in [1, 2] {
            own.changed(ready(&replica()), tries(5), now);
            own.changed(failed(1), tries(5), now + SECOND);
            assert_eq!(
                own.hosted.failed_loads.not_before,
                Some(now + (1 + pause) * SECOND)
            );
            (own.assigned, now) = (model().assigned, now + 10 * SECOND);
        }
        own.changed(ready(&replica()), tries(5), now);
        own.changed(failed(1), tries(5), now + RAN_WELL);
        assert_eq!(own.hosted.failed_loads.number, 1, "it had run well");
    }

    #[test]
    fn a_start_is_counted_once_and_none_that_an_earlier_process_has_made() {
        let mut own = model();
        let (first, second) = (replica(), replica());
        second.health().set_start_up(2 * SECOND);
        own.changed(ready(&first), tries(5), Nanos(0));
        assert_eq!(own.counts, HostCounts::default());
        for _ in 0..2 {
            own.changed(ready(&second), tries(5), Nanos(0));
        }
        own.changed(failed(1), tries(5), Nanos(0));
        let expected = HostCounts {
            loads: 1,
            failed_loads: 1,
            load_seconds: 2.0,
            ..HostCounts::default()
        };
        assert_eq!(own.counts, expected);
    }

    #[test]
    fn a_failure_leaves_the_devices_of_other_replicas() {
        let mut own = model();
        let coming = Transition {
            replica: replica(),
            since: Nanos(0),
        };
        let set = ReplicaSet {
            coming: vec![coming],
            ..failed(1)
        };
        own.changed(set, tries(5), Nanos(0));
        assert_eq!(own.assigned.len(), 1);
    }

    #[test]
    fn a_process_counts_with_the_memory_that_it_was_started_with() {
        const GIB: u64 = 1 << 30;
        let mut own = model();
        let (first, second) = (replica(), replica());
        own.changed(ready(&first), tries(5), Nanos(0));
        own.hosted.configure(config("8Gi"));
        own.changed(ready(&first), tries(5), Nanos(0));
        assert_eq!(own.memory_of(&first), Some(16 * GIB));
        own.changed(ready(&second), tries(5), Nanos(0));
        assert_eq!(
            (own.memory_of(&first), own.memory_of(&second)),
            (None, Some(8 * GIB))
        );
    }
}
