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
    replica::{Replica, ReplicaId},
    server_status::ServerCounts,
};

/// Time within which a replica that is found says what it has. One that hangs takes longer.
const FIRST_INDEX: Duration = Duration::from_secs(1);
/// How long a replica that is not ready any more, and has not ended, may be back at once: it may move
/// from one list of endpoints to another. Nothing is placed meanwhile.
const BACK_AT_ONCE: Duration = Duration::from_secs(1);
/// How long it is remembered what such a replica has, if it has no request in flight.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A server and its replicas.
pub(super) struct SharedServer {
    /// The server as its orchestrator sees it: a model with the server's name.
    pub as_model: Arc<Model>,
    pub replicas: Vec<ServerReplica>,
    /// Replicas that are not ready any more, and may be again.
    pub absent: Vec<Absent>,
    /// How many replicas its orchestrator is asked for; `None`: none yet, because what it has is
    /// not known.
    pub asked: Option<u32>,
    /// When `asked` was changed.
    pub changed: Nanos,
    /// What its orchestrator reported last.
    pub set: ReplicaSet,
    /// Why the last request to it failed.
    pub rejected: Option<String>,
    /// Whether a request to it is on its way.
    pub asking: bool,
    /// Whether that request does not know the present configuration.
    pub outdated: bool,
    /// When a request that failed is repeated.
    pub ask_again: Option<Nanos>,
    pub counts: ServerCounts,
    /// Where its models' files are put; `None`: it has them itself.
    pub storage: Option<Arc<ModelStorage>>,
}

/// A replica that is not ready any more, and has not ended. Its requests in flight go on.
pub(super) struct Absent {
    own: ServerReplica,
    since: Nanos,
}

/// One replica of a server.
pub(super) struct ServerReplica {
    pub replica: Arc<Replica>,
    /// Whether it is to go.
    pub leaving: bool,
    /// What it hosts, by model.
    pub hosted: BTreeMap<Arc<str>, Hosted>,
    /// Whether it is known what it had when it was found.
    pub known: bool,
    /// Whether an index is being read.
    pub indexing: bool,
    /// When its index is read next.
    pub index_at: Nanos,
    /// Why its index could not be read.
    pub trouble: Option<String>,
    /// How often in a row.
    pub troubles: u32,
    /// Models that it has and that are not configured for it.
    pub others: Vec<String>,
    /// When models were unloaded last, by model, as long as an index that was asked for before
    /// may still list them.
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

    /// Takes over the storage of the same server as it was configured `before`, if that is the same.
    pub(super) fn keep_storage(&mut self, before: &mut Self) {
        if repository(&self.as_model) == repository(&before.as_model) {
            self.storage = before.storage.take();
        }
    }

    /// Tells its storage which files are needed, once it is known what its replicas have. Those of
    /// replicas that may be back are.
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

    /// The bounds of its count.
    pub(super) fn bounds(&self) -> ServerReplicas {
        let replicas = &self.as_model.replicas;
        ServerReplicas {
            min: replicas.min,
            max: replicas.max,
            initial: replicas.initial,
            scaled: replicas.scaled,
        }
    }

    /// Whether its count is nobody's business here: fixed endpoints, or a workload that others
    /// scale.
    pub(super) fn is_followed(&self) -> bool {
        let is_static = matches!(self.as_model.server.kind, Kind::Static(_));
        is_static || self.as_model.replicas.is_followed()
    }

    /// The number of a replica of this name, if its workload removes the highest one first, as a
    /// StatefulSet does. Source: Kubernetes documentation, "StatefulSets: Deployment and Scaling
    /// Guarantees".
    pub(super) fn ordinal(&self, replica: &str) -> Option<u32> {
        match &self.as_model.server.kind {
            Kind::Kubernetes(target) if target.kind == "StatefulSet" => {
                replica.rsplit_once('-')?.1.parse().ok()
            }
            _ => None,
        }
    }

    /// How its replicas are asked to load and unload.
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

    /// Takes what its orchestrator reports. Replicas that are no longer ready are gone, with all
    /// they host. What those have that have not ended is remembered for when they are back: their
    /// requests may still be in flight.
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
            // As many as are wanted: none of them is to go, though another may have been chosen.
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

    /// Whether a replica is to go: for a lower count, or because its orchestrator has another one in its
    /// place. That one must have said what it has, or its models would go nowhere.
    pub(super) fn is_to_go(&self, own: &ServerReplica) -> bool {
        let stays =
            |other: &ServerReplica| other.known && !other.leaving && !other.replica.is_vacating();
        own.leaving || own.replica.is_vacating() && self.replicas.iter().any(stays)
    }

    /// Its count goes from `before` to `count`: those that are to go are given up, or are not to go
    /// any more, if they are there still.
    pub(super) fn count_changes(&mut self, before: u32, count: u32) {
        let mut leaving: Vec<_> = self.replicas.iter_mut().filter(|own| own.leaving).collect();
        if count >= before {
            for own in leaving {
                own.replica.health().pardon();
                own.leaving = false;
            }
            return;
        }
        // Of all that are idle, these are to go; others that leave still have models.
        leaving.retain(|own| !own.replica.health().is_condemned());
        leaving.sort_by_key(|own| own.hosted.len());
        for own in leaving.into_iter().take((before - count) as usize) {
            own.replica.health().condemn();
        }
    }

    /// Until when a plan waits, because it is about to be known what is there.
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
    /// Whether it has not ended, and is not to.
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
    /// It is ready again. Whether it has what it had is known when its index was read. What was on
    /// its way in or out is found there.
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

    /// Whether the model has gone since an index was asked for at `asked`.
    pub(super) fn recently_gone(&self, model: &str, asked: Nanos) -> bool {
        self.unloaded.get(model).is_some_and(|at| *at >= asked)
    }

    /// Until when it is worth waiting for what it has, if it was found lately.
    fn known_by(&self, now: Nanos) -> Option<Nanos> {
        let by = self.index_at + FIRST_INDEX;
        (!self.known && self.troubles == 0 && by > now).then_some(by)
    }

    /// Bytes that its models take.
    pub(super) fn used(&self) -> u64 {
        self.hosted.values().map(|hosted| hosted.memory).sum()
    }

    /// Whether another process may send requests to it, so that nothing of it may go.
    pub(super) fn is_used_elsewhere(&self) -> bool {
        self.replica.elsewhere() > 0 || self.replica.is_open_elsewhere()
    }
}

#[cfg(test)]
mod tests;
