//! The repository API of a model server: lists its models, and loads and unloads them.
//!
//! Source: the Open Inference Protocol's model repository extension, as Triton and MLServer
//! implement it, over HTTP (`rest`) and gRPC (`grpc`).

mod grpc;
mod rest;

use std::time::Duration;

use serde::Deserialize;
use tailback_config::RepositoryApi;
use tokio::time::{Instant, sleep, timeout_at};

use crate::replica::{Address, Replica};

/// Largest response body, in bytes: an index of 10,000 models has about 1 MB.
const LARGEST: usize = 16 << 20;
/// Time limit of a short call: an index, or whether a model is ready.
pub(super) const SHORT: Duration = Duration::from_secs(5);
/// Pause between two checks of a model that is being unloaded: the first one, and the longest.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_LONGEST: Duration = Duration::from_secs(1);
/// What is wrong if a load went well and its model takes no requests.
const NOT_READY: &str = "the server has answered that it is loaded, and then that it is not ready";

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The server has refused, with this message.
    #[error("{0}")]
    Refused(String),
    /// There was no answer, or none that can be understood.
    #[error("{0}")]
    Failed(String),
}

/// A model as a server's index lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct IndexEntry {
    /// Its name at the server.
    pub name: String,
    /// `READY`, `UNAVAILABLE`, `LOADING`, `UNLOADING`, …; Triton leaves it out for models that were
    /// never loaded.
    #[serde(default)]
    pub state: String,
    /// Why it is in that state, in the server's words.
    #[serde(default)]
    pub reason: String,
}

impl IndexEntry {
    /// Whether the model takes requests.
    pub(super) fn is_ready(&self) -> bool {
        self.state.eq_ignore_ascii_case("READY")
    }

    /// Whether the model is being loaded.
    pub(super) fn is_loading(&self) -> bool {
        self.state.eq_ignore_ascii_case("LOADING")
    }

    /// Whether the model is being unloaded, and still has its memory.
    pub(super) fn is_unloading(&self) -> bool {
        self.state.eq_ignore_ascii_case("UNLOADING")
    }

    /// Whether the model takes memory at the server.
    fn is_there(&self) -> bool {
        self.is_ready() || self.is_loading() || self.is_unloading()
    }
}

/// The repository of one server's replica, and the API by which it is reached.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// `host:port` to connect to.
    authority: String,
    /// The value of `Host` or `:authority` in requests.
    name: String,
    api: RepositoryApi,
}

impl Repository {
    /// The repository of `replica`.
    pub(super) fn of(replica: &Replica, api: RepositoryApi) -> Self {
        let grpc = replica
            .grpc_address()
            .filter(|_| api == RepositoryApi::Grpc);
        let Address { authority, name } = grpc.unwrap_or(replica.address());
        Self {
            authority: authority.to_owned(),
            name: name.to_owned(),
            api,
        }
    }

    fn address(&self) -> Address<'_> {
        Address {
            authority: &self.authority,
            name: &self.name,
        }
    }

    /// Loads `model`, and makes sure that it takes requests.
    pub(super) async fn load(&self, model: &str, limit: Duration) -> Result<(), CallError> {
        match self.api {
            RepositoryApi::Rest => rest::load(self.address(), model, limit).await,
            RepositoryApi::Grpc => grpc::load(self.address(), model, limit).await,
        }
    }

    /// Unloads `model`, and waits until the server no longer lists it as loaded, all within
    /// `limit`: Triton answers before the memory is free. A model that is not loaded counts as
    /// unloaded.
    pub(super) async fn unload(&self, model: &str, limit: Duration) -> Result<(), CallError> {
        let by = Instant::now() + limit;
        match self.api {
            RepositoryApi::Rest => rest::unload(self.address(), model, limit).await,
            RepositoryApi::Grpc => grpc::unload(self.address(), model, limit).await,
        }?;
        timeout_at(by, self.gone(model)).await.unwrap_or_else(|_| {
            Err(CallError::Failed(format!(
                "the server has answered that it is unloaded, and lists it as there after {} s",
                limit.as_secs_f64()
            )))
        })
    }

    /// Waits until `model` is no longer loaded.
    async fn gone(&self, model: &str) -> Result<(), CallError> {
        let mut pause = LOOK_AGAIN;
        loop {
            match self.index().await {
                Ok(listed) => {
                    let mut versions = listed.iter().filter(|entry| entry.name == model);
                    if !versions.any(IndexEntry::is_there) {
                        return Ok(());
                    }
                }
                Err(CallError::Refused(why)) => return Err(CallError::Refused(why)),
                // The server may be busy with the unload.
                Err(CallError::Failed(_)) => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOK_LONGEST);
        }
    }

    /// The models that the server lists.
    pub(super) async fn index(&self) -> Result<Vec<IndexEntry>, CallError> {
        match self.api {
            RepositoryApi::Rest => rest::index(self.address()).await,
            RepositoryApi::Grpc => grpc::index(self.address()).await,
        }
    }
}
