//! Multi-model servers, as the reconciler knows them: their replicas, and what each hosts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tailback_config::{
    Kind, Model, ModelRepository, RepositoryApi, ServerReplicas, server_as_model,
};

use super::{hosted::Hosted, storage::ModelStorage};
use crate::{
    clock::Nanos,
    orchestrator::ReplicaSet,
    placement::PlacedState,
    replica::{Replica, ReplicaId, health::Standing},
    server_status::ServerCounts,
};

/// How long plans wait for the first index of a replica. One that hangs takes longer.
const FIRST_INDEX: Duration = Duration::from_secs(1);
/// How long plans wait for a replica that is no longer ready and has not ended: it may move from
/// one list of endpoints to another and be back at once.
const BACK_AT_ONCE: Duration = Duration::from_secs(1);
/// How long the models of such a replica are remembered if it has no request in flight.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A server and its replicas.
pub(super) struct SharedServer {
    /// The server as its orchestrator sees it: a model with the server's name.
    pub as_model: Arc<Model>,
    pub replicas: Vec<ServerReplica>,
    /// Replicas that are no longer ready and may become ready again.
    pub absent: Vec<Absent>,
    /// How many replicas its orchestrator was asked for. `None`: it was not asked yet, because its
    /// present count is not known.
    pub asked: Option<u32>,
    /// When `asked` changed.
    pub changed: Nanos,
    /// The last report of its orchestrator.
    pub set: ReplicaSet,
    /// Why the last request to its orchestrator failed.
    pub rejected: Option<String>,
    /// Whether a request to its orchestrator is on its way.
    pub asking: bool,
    /// Whether that request was made with an earlier configuration.
    pub outdated: bool,
    /// When a failed request is repeated.
    pub ask_again: Option<Nanos>,
    pub counts: ServerCounts,
    /// The folder into which its models' files are fetched. `None`: the server has them itself.
    pub storage: Option<Arc<ModelStorage>>,
}

/// A replica that is no longer ready and has not ended. Its requests in flight go on.
pub(super) struct Absent {
    own: ServerReplica,
    since: Nanos,
}

/// One replica of a server.
pub(super) struct ServerReplica {
    pub replica: Arc<Replica>,
    /// Whether it is to be removed.
    pub leaving: bool,
    /// The models in it.
    pub hosted: BTreeMap<Arc<str>, Hosted>,
    /// Whether the models that it had when it was found are known.
    pub known: bool,
    /// Whether its index is being read.
    pub indexing: bool,
    /// When its index is read next.
    pub index_at: Nanos,
    /// Why its index could not be read.
    pub trouble: Option<String>,
    /// How often in a row the index could not be read.
    pub troubles: u32,
    /// Models in it that are not configured for the server.
    pub others: Vec<String>,
    /// When models were unloaded. An entry is kept as long as an index that was requested before
    /// that may still list the model.
    pub unloaded: BTreeMap<Arc<str>, Nanos>,
}

impl SharedServer {
    pub(super) fn new(model: &Model, now: Nanos) -> Self {
        Self {
            as_model: Arc::new(server_as_model(&model.server)),
            replicas: Vec::new(),
            absent: Vec::new(),
            asked: None,
            changed: now,
            set: ReplicaSet::default(),
            rejected: None,
            asking: false,
            outdated: false,
            ask_again: None,
            counts: ServerCounts::default(),
            storage: repository(model).map(ModelStorage::open),
        }
    }

    /// Takes over the storage of the same server from its earlier configuration, if the storage's
    /// settings are the same.
    pub(super) fn keep_storage(&mut self, before: &mut Self) {
        if repository(&self.as_model) == repository(&before.as_model) {
            self.storage = before.storage.take();
        }
    }

    /// Tells its storage which files are needed, once the models of its replicas are known. Files
    /// of replicas that may be back count as needed.
    pub(super) fn update_storage(&self) {
        let Some(storage) = &self.storage else { return };
        if self.replicas.is_empty() || !self.replicas.iter().all(|replica| replica.known) {
            return;
        }
        let absent = self.absent.iter().map(|absent| &absent.own);
        let all = self.replicas.iter().chain(absent);
        let hosted = all.flat_map(|own| own.hosted.values());
        let needed = hosted.map(|hosted| &*hosted.name_at_server).collect();
        if storage.set_needed(&needed) {
            let storage = storage.clone();
            tokio::spawn(async move { storage.trim().await });
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.as_model.name
    }

    /// The bounds of its count of replicas.
    pub(super) fn bounds(&self) -> ServerReplicas {
        let replicas = &self.as_model.replicas;
        ServerReplicas {
            min: replicas.min,
            max: replicas.max,
            initial: replicas.initial,
            scaled: replicas.scaled,
        }
    }

    /// Whether Tailback leaves its count alone: fixed endpoints, or a workload that others scale.
    pub(super) fn is_followed(&self) -> bool {
        let is_static = matches!(self.as_model.server.kind, Kind::Static(_));
        is_static || self.as_model.replicas.is_followed()
    }

    /// The number in the name of a replica, if its workload removes the replica with the highest
    /// number first, as a StatefulSet does. Source: Kubernetes documentation, "StatefulSets:
    /// Deployment and Scaling Guarantees".
    pub(super) fn ordinal(&self, replica: &str) -> Option<u32> {
        match &self.as_model.server.kind {
            Kind::Kubernetes(target) if target.kind == "StatefulSet" => {
                replica.rsplit_once('-')?.1.parse().ok()
            }
            _ => None,
        }
    }

    /// The API by which its replicas load and unload models.
    pub(super) fn repository_api(&self) -> RepositoryApi {
        let own = self.as_model.server.multi_model.as_ref();
        own.map(|own| own.repository_api).unwrap_or_default()
    }

    /// Bytes that each replica has for models.
    pub(super) fn memory(&self) -> Option<u64> {
        self.as_model.server.memory
    }

    pub(super) fn replica_mut(&mut self, id: ReplicaId) -> Option<&mut ServerReplica> {
        self.replicas.iter_mut().find(|own| own.replica.id() == id)
    }

    /// Takes a report of its orchestrator. Replicas that are no longer ready are removed, with
    /// their models. The models of those that have not ended are remembered for when they are
    /// ready again: their requests may still be in flight.
    pub(super) fn changed(&mut self, set: ReplicaSet, now: Nanos) {
        let before = self.replicas.len();
        let replicas = std::mem::take(&mut self.replicas).into_iter();
        let is_ready = |own: &ServerReplica| {
            let mut ready = set.ready.iter();
            ready.any(|ready| Arc::ptr_eq(ready, &own.replica))
        };
        let (replicas, gone): (Vec<_>, Vec<_>) = replicas.partition(is_ready);
        self.replicas = replicas;
        let absent = gone.into_iter().map(|own| Absent { own, since: now });
        self.absent.extend(absent);
        let left = self.replicas.len();
        if left < before && self.asked.is_some_and(|asked| left <= asked as usize) {
            // As many replicas as are wanted: none of them has to leave, though one of them may
            // have been chosen while there were more.
            for own in &mut self.replicas {
                own.leaving = false;
            }
        }
        for ready in &set.ready {
            if !self
                .replicas
                .iter()
                .any(|own| Arc::ptr_eq(ready, &own.replica))
            {
                let is_it = |absent: &Absent| Arc::ptr_eq(ready, &absent.own.replica);
                self.replicas
                    .push(match self.absent.iter().position(is_it) {
                        Some(at) => self.absent.swap_remove(at).own.back(now),
                        None => ServerReplica::new(ready.clone(), now),
                    });
            }
        }
        self.absent.retain(|absent| absent.is_remembered(now));
        self.set = set;
    }

    /// Whether a replica is to be removed: because the count has gone down, or because its
    /// orchestrator has replaced it. In the latter case the models of the new one must be known
    /// first, or there would be no place for the models of the old one.
    pub(super) fn is_to_go(&self, own: &ServerReplica) -> bool {
        let stays =
            |other: &ServerReplica| other.known && !other.leaving && !other.replica.is_vacating();
        own.leaving || own.replica.is_vacating() && self.replicas.iter().any(stays)
    }

    /// The count goes from `before` to `count`: leaving replicas are given up, or stay after all
    /// if they still exist.
    pub(super) fn count_changes(&mut self, before: u32, count: u32) {
        let mut leaving: Vec<_> = self.replicas.iter_mut().filter(|own| own.leaving).collect();
        if count >= before {
            for own in leaving {
                own.replica.health().pardon();
                own.leaving = false;
            }
            return;
        }
        // Replicas that are given up already do not count. Of the others, those with the fewest
        // models are given up.
        leaving.retain(|own| !own.replica.health().is_condemned());
        leaving.sort_by_key(|own| own.hosted.len());
        for own in leaving.into_iter().take((before - count) as usize) {
            own.replica.health().condemn();
        }
    }

    /// Until when plans wait for models of its replicas that are about to be known.
    pub(super) fn settled_by(&self, now: Nanos) -> Option<Nanos> {
        let found = self.replicas.iter().filter_map(|own| own.known_by(now));
        let absent = self.absent.iter().filter(|absent| absent.may_be_back());
        let back = absent.map(|absent| absent.since + BACK_AT_ONCE);
        found.chain(back.filter(|by| *by > now)).max()
    }
}

fn repository(model: &Model) -> Option<&ModelRepository> {
    model.server.multi_model.as_ref()?.repository.as_ref()
}

impl Absent {
    /// Whether it may become ready again: it has not ended and is not being stopped.
    fn may_be_back(&self) -> bool {
        let replica = &self.own.replica;
        !replica.is_closed() && !replica.has_ended() && !self.own.leaving
    }

    fn is_remembered(&self, now: Nanos) -> bool {
        let is_used = self.own.replica.in_flight() > 0;
        self.may_be_back() && (is_used || now.since(self.since) < REMEMBERED)
    }
}

impl ServerReplica {
    /// The replica is ready again. Its index tells which of its models it still has, and how its
    /// loads and unloads have ended.
    fn back(mut self, now: Nanos) -> Self {
        self.hosted.retain(|_, hosted| {
            matches!(hosted.state, PlacedState::Loaded | PlacedState::Draining)
        });
        Self {
            hosted: self.hosted,
            ..Self::new(self.replica, now)
        }
    }

    fn new(replica: Arc<Replica>, now: Nanos) -> Self {
        Self {
            replica,
            leaving: false,
            hosted: BTreeMap::new(),
            known: false,
            indexing: false,
            index_at: now,
            trouble: None,
            troubles: 0,
            others: Vec::new(),
            unloaded: BTreeMap::new(),
        }
    }

    /// Whether the model was unloaded after the index that was requested at `asked`.
    pub(super) fn recently_gone(&self, model: &str, asked: Nanos) -> bool {
        self.unloaded.get(model).is_some_and(|at| *at >= asked)
    }

    /// Until when plans wait for its models to be known, if it was found lately.
    fn known_by(&self, now: Nanos) -> Option<Nanos> {
        let by = self.index_at + FIRST_INDEX;
        (!self.known && self.troubles == 0 && by > now).then_some(by)
    }

    /// Whether requests of its models could not be sent to it.
    pub(super) fn cannot_be_reached(&self) -> bool {
        let standing = |hosted: &Hosted| hosted.replica.health().standing().0;
        (self.hosted.values()).any(|hosted| standing(hosted) == Standing::Unreachable)
    }

    /// Notes that its index was read. If it was not known before what it has, its models got no requests
    /// meanwhile, so the data plane could not find out that they can be reached again.
    pub(super) fn note_known(&mut self, now: Nanos) {
        if !std::mem::replace(&mut self.known, true) {
            for hosted in self.hosted.values() {
                hosted.replica.health().set_standing(Standing::Healthy, now);
            }
        }
    }

    /// The memory that its models take, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.hosted.values().map(|hosted| hosted.memory).sum()
    }

    /// Whether another process may send requests to it, so that nothing of it may be unloaded.
    pub(super) fn is_used_elsewhere(&self) -> bool {
        self.replica.elsewhere() > 0 || self.replica.is_open_elsewhere()
    }
}

#[cfg(test)]
mod tests;
