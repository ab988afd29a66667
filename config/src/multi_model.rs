//! Servers whose replicas host many models each.

use std::{path::PathBuf, time::Duration};

use crate::Setting;

/// What makes a server's replicas host many models, loaded and unloaded through their repository
/// API (`POST /v2/repository/models/{name}/load`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiModelSpec {
    /// How much more memory its models may need together than its replicas have, in percent;
    /// `None`: [`Placement::overcommit`].
    pub overcommit: Option<Setting<u32>>,
    /// How many replicas it has.
    pub replicas: ServerReplicas,
    /// How its replicas are asked to load and unload models.
    pub repository_api: RepositoryApi,
    /// Where files of models are put that have a `storageUri`; `None`: the server has them.
    pub repository: Option<ModelRepository>,
}

/// How a server's repository API is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RepositoryApi {
    /// `rest`: `POST /v2/repository/models/{name}/load`, by HTTP/1.1.
    #[default]
    Rest,
    /// `grpc`: `RepositoryModelLoad` of `inference.GRPCInferenceService`, at the address for gRPC.
    Grpc,
}

/// The folder from which a server's replicas load models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRepository {
    /// The folder: absolute. A model's files are in a folder in it that has the model's name.
    pub path: PathBuf,
    /// Bytes of files that are kept for models which are loaded nowhere.
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
    /// Without, and with `min < max`, others set the count.
    pub scaled: bool,
}

/// How models are loaded into servers and unloaded, and how servers follow them. The settings and
/// their defaults are those of Seldon Core 2's agent and scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The over-commit of servers that do not set their own, in percent.
    pub overcommit: u32,
    /// How often a load that failed is tried again before a longer pause.
    pub load_retries: u32,
    /// How long a load may take, with all its tries. Never zero.
    pub load_limit: Duration,
    /// How often an unload that failed is tried again.
    pub unload_retries: u32,
    /// How long an unload may take, with all its tries. Never zero.
    pub unload_limit: Duration,
    /// How long a model takes no new requests before it is unloaded, at least.
    pub unload_grace: Duration,
    /// Whether the replica counts of servers follow what their models need.
    pub server_scaling: bool,
    /// Whether models are moved together so that a server needs fewer replicas.
    pub packing: bool,
}

impl MultiModelSpec {
    /// How much more memory its models may need together than its replicas have, in percent.
    #[must_use]
    pub fn overcommit(&self, placement: &Placement) -> u32 {
        let own = self.overcommit.as_ref();
        own.map_or(placement.overcommit, |own| own.value)
    }
}
