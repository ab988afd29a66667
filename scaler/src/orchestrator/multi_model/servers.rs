//! Multi-model servers, as the reconciler knows them: their replicas, and what each hosts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tailback_config::{
    Kind, Model, ModelRepository, RepositoryApi, ServerReplicas, server_as_model,
};

use super::storage::ModelStorage;
use crate::{
    clock::Nanos,
    orchestrator::ReplicaSet,
    placement::PlacedState,
    replica::{Replica, ReplicaId},
    server_status::ServerCounts,
};

/// Time within which a replica that is found says what it has. One that hangs takes longer.
const FIRST_INDEX: Duration = Duration::from_secs(1);

/// A server and its replicas.
pub(super) struct SharedServer {
    /// The server as its orchestrator sees it: a model with the server's name.
    pub as_model: Arc<Model>,
    pub replicas: Vec<ServerReplica>,
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

/// A replica of a model in a server's replica.
pub(super) struct Hosted {
    pub replica: Arc<Replica>,
    /// Bytes that it takes.
    pub memory: u64,
    pub state: PlacedState,
    /// Since when it is in that state.
    pub since: Nanos,
    /// When its load was sent; `None`: it waits for others, or it was there already.
    pub sent: Option<Nanos>,
    /// While it is loading: whether it is no longer needed, and goes when it is loaded.
    pub unwanted: bool,
    /// Whether it is configured under another name now, so that it is not needed again.
    pub renamed: bool,
    /// The name by which it was loaded.
    pub name_at_server: String,
    /// When its unload is tried again, after it has failed.
    pub again_at: Option<Nanos>,
    /// How often its unload has failed.
    pub failures: u32,
}

impl SharedServer {
    pub(super) fn new(model: &Model, now: Nanos) -> Self {
        Self {
            as_model: Arc::new(server_as_model(&model.server)),
            replicas: Vec::new(),
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

    /// Tells its storage which files are needed, once it is known what its replicas have.
    pub(super) fn update_storage(&self) {
        let Some(storage) = &self.storage else { return };
        if !self.replicas.iter().all(|replica| replica.known) {
            return;
        }
        let hosted = self.replicas.iter().flat_map(|own| own.hosted.values());
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
    /// they host.
    pub(super) fn changed(&mut self, set: ReplicaSet, now: Nanos) {
        let before = self.replicas.len();
        self.replicas.retain(|own| {
            set.ready
                .iter()
                .any(|ready| Arc::ptr_eq(ready, &own.replica))
        });
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
                self.replicas.push(ServerReplica::new(ready.clone(), now));
            }
        }
        self.set = set;
    }
}

fn repository(model: &Model) -> Option<&ModelRepository> {
    model.server.multi_model.as_ref()?.repository.as_ref()
}

impl ServerReplica {
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
    pub(super) fn known_by(&self, now: Nanos) -> Option<Nanos> {
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

impl Hosted {
    /// A replica of a model in `host`.
    pub(super) fn new(host: &Arc<Replica>, model: &Model, state: PlacedState, now: Nanos) -> Self {
        let concurrency = model.concurrency.value.map(std::num::NonZeroU32::get);
        let own = model.upstream_name.as_ref();
        Self {
            replica: Arc::new(Replica::hosted(host.clone(), concurrency)),
            memory: model.memory.unwrap_or(0),
            state,
            since: now,
            sent: None,
            unwanted: false,
            renamed: false,
            name_at_server: own.unwrap_or(&model.name).clone(),
            again_at: None,
            failures: 0,
        }
    }

    pub(super) fn enter(&mut self, state: PlacedState, now: Nanos) {
        (self.state, self.since) = (state, now);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tailback_config::{Env, load_text};

    use super::*;

    /// A server that is asked for two replicas and has three, of which the first is to go.
    fn server() -> (SharedServer, Vec<Arc<Replica>>) {
        let text = "{ apiVersion: tailback.dev/v1alpha1, kind: Server, metadata: { name: s }, spec: { memory: 2Gi, \
             multiModel: {}, kubernetes: { name: s, kind: StatefulSet, service: { name: s } } } }\n---\n\
             { apiVersion: tailback.dev/v1alpha1, kind: Model, metadata: { name: m }, spec: { server: s, memory: 1Gi } }\n";
        let config = load_text(Path::new("a.yaml"), text, &Env::default()).unwrap();
        let mut server = SharedServer::new(&config.models["m"], Nanos(0));
        let replica = |n: u32| Arc::new(Replica::new(format!("s-{n}"), "127.0.0.1:1", None));
        let replicas: Vec<_> = (0..3).map(replica).collect();
        server.changed(set(&replicas), Nanos(0));
        server.replicas[0].leaving = true;
        server.asked = Some(2);
        (server, replicas)
    }

    fn set(ready: &[Arc<Replica>]) -> ReplicaSet {
        ReplicaSet {
            ready: ready.to_vec(),
            ..ReplicaSet::default()
        }
    }

    #[test]
    fn a_replica_that_was_to_go_stays_if_another_went_instead() {
        let (mut server, replicas) = server();
        server.changed(set(&replicas), Nanos(1));
        assert!(server.replicas[0].leaving, "nothing has gone yet");
        server.changed(set(&replicas[..2]), Nanos(2));
        assert!(server.replicas.iter().all(|own| !own.leaving));
    }

    #[test]
    fn a_replica_is_still_to_go_while_more_are_there_than_are_wanted() {
        let (mut server, replicas) = server();
        server.asked = Some(1);
        server.changed(set(&replicas[..2]), Nanos(2));
        assert!(server.replicas[0].leaving);
    }
}
