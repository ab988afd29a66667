//! The state of multi-model servers, of the machine whose devices models share, and of models
//! placed on them, for the admin address. The orchestrators write it. No request touches it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

/// The state of a model on a multi-model server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PlacementState {
    /// It has as many replicas as it wants.
    Available,
    /// It serves, on fewer replicas than it wants.
    Partial,
    /// It is being loaded, and serves nowhere yet.
    Loading,
    /// It gave its room to another model, or no replica is wanted. The next request for it loads
    /// it.
    Evicted,
    /// It is not served, and cannot be loaded yet.
    #[default]
    Waiting,
    /// It is not served, and its last load failed.
    Failed,
}

/// The placement of a model on a multi-model server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacementStatus {
    /// The state.
    pub state: PlacementState,
    /// The server's replicas in which it is loaded.
    pub loaded: Vec<String>,
    /// Why it has fewer replicas than it wants; `None` if it has enough.
    pub reason: Option<String>,
    /// How many seconds its last load took.
    pub load_seconds: Option<f64>,
}

/// A multi-model server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// How many replicas it is asked for; `None`: its count is not set by Tailback.
    pub desired: Option<u32>,
    /// Its ready replicas.
    pub replicas: Vec<ServerReplicaStatus>,
    /// How many replicas are starting.
    pub starting: u32,
    /// Bytes that its models take together, including those that wait for room.
    pub wanted_bytes: u64,
    /// By how many percent the memory that its models need may exceed its memory.
    pub overcommit_percentage: u32,
    /// What is wrong with it.
    pub failure: Option<String>,
    /// Counters since it got its first model.
    pub counts: ServerCounts,
}

/// Counters of a multi-model server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerCounts {
    /// Models that were evicted for another.
    pub evictions: u64,
    /// Loads for which requests were held.
    pub misses: u64,
    /// Successful loads.
    pub loads: u64,
    /// Failed loads.
    pub failed_loads: u64,
    /// Successful unloads.
    pub unloads: u64,
    /// Failed unloads.
    pub failed_unloads: u64,
}

/// A replica of a multi-model server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerReplicaStatus {
    /// Its name.
    pub name: String,
    /// `host:port`
    pub endpoint: String,
    /// Requests in flight, of all its models.
    pub in_flight: u32,
    /// Bytes that it has for models; `None`: not counted.
    pub memory_bytes: Option<u64>,
    /// Bytes that its models take.
    pub used_bytes: u64,
    /// Whether it is to be removed, so that it gets no more models.
    pub leaving: bool,
    /// The models in it.
    pub models: Vec<HostedStatus>,
    /// Models in it that are not configured.
    pub others: Vec<String>,
    /// Why its models could not be listed the last time.
    pub trouble: Option<String>,
}

/// The machine whose devices and memory models share.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// Its devices, and its own memory if models take room in that.
    pub devices: Vec<DeviceStatus>,
    /// The models that share it, by name.
    pub models: Vec<HostModelStatus>,
}

/// A model that shares the machine's devices or memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostModelStatus {
    /// Its name.
    pub model: String,
    /// What has happened to its replicas.
    pub counts: HostCounts,
}

/// What has happened to the replicas of a model on the machine, since the model is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostCounts {
    /// Starts that went well.
    pub loads: u64,
    /// Starts that failed.
    pub failed_loads: u64,
    /// How many seconds the former took together.
    pub load_seconds: f64,
    /// Starts for requests that were held.
    pub swaps_in: u64,
    /// Replicas that gave their room to another model.
    pub swaps_out: u64,
}

/// A device of a host, or the host's memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Its name; `memory` for the host's memory.
    pub name: String,
    /// Bytes that it has for models; `None`: not counted.
    pub memory_bytes: Option<u64>,
    /// Bytes that its models take.
    pub used_bytes: u64,
    /// The replicas that take room in it.
    pub models: Vec<HostedStatus>,
}

/// A model in a replica of a server, or on a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostedStatus {
    /// The model's name.
    pub model: String,
    /// `loading`, `loaded`, `draining` or `unloading`.
    pub state: &'static str,
    /// How many seconds it has been in this state.
    pub seconds: f64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Bytes that it takes.
    pub memory_bytes: u64,
}

/// A decision of placement, for `/decisions`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlacementDecision {
    /// When, in seconds since 1970 (UTC).
    pub time: f64,
    /// The model; `None`: the decision is about the server.
    pub model: Option<String>,
    /// The action.
    pub action: PlacementAction,
    /// The server's replica, the devices, or the server.
    pub at: String,
    /// Why, as a phrase.
    pub why: String,
}

/// An action of placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PlacementAction {
    /// The model is loaded, or its process is started.
    Load,
    /// The model takes no new requests there, and is unloaded after its last one.
    Drain,
    /// The model takes requests there again.
    Resume,
    /// The server's replica will be removed; its models are placed elsewhere.
    Leave,
    /// The server's replica stays after all.
    Stay,
    /// The server's replica count changes.
    Scale,
}

/// The number of decisions that are kept.
const KEPT: usize = 256;

#[derive(Debug, Default)]
struct Content {
    servers: BTreeMap<String, ServerStatus>,
    host: Option<HostStatus>,
    decisions: VecDeque<PlacementDecision>,
}

/// The state of all multi-model servers, and of the host. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ServerStatusStore(Arc<Mutex<Content>>);

impl PlacementState {
    /// As the admin address names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Partial => "partial",
            Self::Loading => "loading",
            Self::Evicted => "evicted",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
        }
    }
}

impl ServerStatusStore {
    /// The servers, by name.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.content().servers.values().cloned().collect()
    }

    /// The host; `None`: no models share one.
    #[must_use]
    pub fn host(&self) -> Option<HostStatus> {
        self.content().host.clone()
    }

    /// The last decisions of placement, newest first.
    #[must_use]
    pub fn decisions(&self) -> Vec<PlacementDecision> {
        self.content().decisions.iter().rev().cloned().collect()
    }

    pub(crate) fn decided(
        &self,
        action: PlacementAction,
        model: Option<&str>,
        at: impl ToString,
        why: impl ToString,
    ) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let decision = PlacementDecision {
            time: since.unwrap_or_default().as_secs_f64(),
            model: model.map(str::to_owned),
            action,
            at: at.to_string(),
            why: why.to_string(),
        };
        let decisions = &mut self.content().decisions;
        if decisions.len() == KEPT {
            decisions.pop_front();
        }
        decisions.push_back(decision);
    }

    /// Whether there is neither a server nor a host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let content = self.content();
        content.servers.is_empty() && content.host.is_none()
    }

    pub(crate) fn set_host(&self, host: Option<HostStatus>) {
        self.content().host = host;
    }

    pub(crate) fn set(&self, server: ServerStatus) {
        let name = server.name.clone();
        self.content().servers.insert(name, server);
    }

    pub(crate) fn remove(&self, server: &str) {
        self.content().servers.remove(server);
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Plain data: consistent even if a writer panicked.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}
