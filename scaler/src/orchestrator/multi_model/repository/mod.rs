//! The repository API of a model server: which models it has, and loads and unloads of one.
//!
//! Source: the Open Inference Protocol's model repository extension, as Triton and MLServer
//! implement it, over HTTP (`rest`) and gRPC (`grpc`).

mod grpc;
mod rest;

use std::time::Duration;

use serde::Deserialize;
use tailback_config::RepositoryApi;

use crate::replica::Replica;

/// Largest response body, in bytes: an index of 10,000 models has about 1 MB.
const LARGEST: usize = 16 << 20;
/// How long a short call may take: an index, or whether a model is ready.
pub(super) const SHORT: Duration = Duration::from_secs(5);
/// What is wrong if a load went well and its model takes no requests.
const NOT_READY: &str = "the server has answered that it is loaded, and then that it is not ready";

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The server has answered, and says why not.
    #[error("{0}")]
    Refused(String),
    /// There is no answer, or none that can be understood.
    #[error("{0}")]
    Failed(String),
}

/// A model as a server's index lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct IndexEntry {
    /// Its name at the server.
    pub name: String,
    /// `READY`, `UNAVAILABLE`, `LOADING`, …; Triton leaves it out for models that were never
    /// loaded.
    #[serde(default)]
    pub state: String,
}

impl IndexEntry {
    /// Whether the model takes requests.
    pub(super) fn is_ready(&self) -> bool {
        self.state.eq_ignore_ascii_case("READY")
    }
}

/// The repository of one server's replica, and how it is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// `host:port`.
    authority: String,
    api: RepositoryApi,
}

impl Repository {
    /// The repository of `replica`.
    pub(super) fn of(replica: &Replica, api: RepositoryApi) -> Self {
        let authority = match api {
            RepositoryApi::Rest => replica.authority(),
            RepositoryApi::Grpc => replica.grpc_authority().unwrap_or(replica.authority()),
        };
        Self {
            authority: authority.to_owned(),
            api,
        }
    }

    /// Loads `model`, and makes sure that it takes requests.
    pub(super) async fn load(&self, model: &str, limit: Duration) -> Result<(), CallError> {
        match self.api {
            RepositoryApi::Rest => rest::load(&self.authority, model, limit).await,
            RepositoryApi::Grpc => grpc::load(&self.authority, model, limit).await,
        }
    }

    /// Unloads `model`. A model that is not there is unloaded.
    pub(super) async fn unload(&self, model: &str, limit: Duration) -> Result<(), CallError> {
        match self.api {
            RepositoryApi::Rest => rest::unload(&self.authority, model, limit).await,
            RepositoryApi::Grpc => grpc::unload(&self.authority, model, limit).await,
        }
    }

    /// The models that are there.
    pub(super) async fn index(&self) -> Result<Vec<IndexEntry>, CallError> {
        match self.api {
            RepositoryApi::Rest => rest::index(&self.authority).await,
            RepositoryApi::Grpc => grpc::index(&self.authority).await,
        }
    }
}
