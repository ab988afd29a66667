//! Servers whose replicas host many models each.

use std::{path::PathBuf, time::Duration};

use crate::Setting;

/// Makes a server's replicas host many models each. Models are loaded and unloaded through the
/// replicas' repository API (`POST /v2/repository/models/{name}/load`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiModelSpec {
    /// By how many percent the memory that its models need may exceed the memory of its replicas;
    /// `None`: [`Placement::overcommit`].
    pub overcommit: Option<Setting<u32>>,
    /// The replica counts that the server may have.
    pub replicas: ServerReplicas,
    /// The API through which models are loaded and unloaded.
    pub repository_api: RepositoryApi,
    /// The folder for the files of models with a `storageUri`; `None`: the server has all files
    /// already.
    pub repository: Option<ModelRepository>,
}

/// The protocol of a server's repository API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RepositoryApi {
    /// `rest`: `POST /v2/repository/models/{name}/load` by HTTP/1.1.
    #[default]
    Rest,
    /// `grpc`: `RepositoryModelLoad` of `inference.GRPCInferenceService`, at the replica's gRPC
    /// address.
    Grpc,
}

/// The folder from which a server's replicas load models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRepository {
    /// The absolute path. Each model's files are in a subfolder with the model's name.
    pub path: PathBuf,
    /// Bytes of files that are kept of models which no replica has loaded.
    pub cache: u64,
}

/// The replica counts a multi-model server may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerReplicas {
    /// Smallest count, at least 1.
    pub min: u32,
    /// Largest count; `min <= max`.
    pub max: u32,
    /// The count at the start; `min <= initial <= max`.
    pub initial: u32,
    /// Whether the count follows what models need: only if `minReplicas` or `maxReplicas` is set.
    /// If `false` and `min < max`, something else sets the count.
    pub scaled: bool,
}

/// How models are loaded into and unloaded from shared servers, and how these servers are scaled.
/// The settings and their defaults are those of Seldon Core 2's agent and scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The over-commit of servers that set none, in percent.
    pub overcommit: u32,
    /// How often a failed load is retried before a longer pause.
    pub load_retries: u32,
    /// How long a load may take, including all retries. Never zero.
    pub load_limit: Duration,
    /// How often a failed unload is retried.
    pub unload_retries: u32,
    /// How long an unload may take, including all retries. Never zero.
    pub unload_limit: Duration,
    /// How long at least a model takes no new requests before it is unloaded.
    pub unload_grace: Duration,
    /// Whether the replica counts of servers follow what their models need.
    pub server_scaling: bool,
    /// Whether models are moved to fewer replicas, so that the server can be scaled down.
    pub packing: bool,
}

impl MultiModelSpec {
    /// By how many percent the memory that its models need may exceed the memory of its replicas.
    #[must_use]
    pub fn overcommit(&self, placement: &Placement) -> u32 {
        let own = self.overcommit.as_ref();
        own.map_or(placement.overcommit, |own| own.value)
    }
}
