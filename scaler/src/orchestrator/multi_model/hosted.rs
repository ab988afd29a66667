//! Replicas of models within replicas of servers, as the reconciler knows them.

use std::sync::Arc;

use tailback_config::Model;
use tokio::task::AbortHandle;

use crate::{clock::Nanos, placement::PlacedState, replica::Replica};

/// A replica of a model in a server's replica.
pub(super) struct Hosted {
    pub replica: Arc<Replica>,
    /// The memory that it takes, in bytes.
    pub memory: u64,
    pub state: PlacedState,
    /// When it entered its state.
    pub since: Nanos,
    /// When its load was sent. `None`: the load waits for others, or the model was loaded already
    /// when the replica was found.
    pub sent: Option<Nanos>,
    /// While it is loading: whether it is to be unloaded as soon as it is loaded.
    pub unwanted: bool,
    /// Whether its model is configured with another name or other files now, so that the replica
    /// cannot be used again.
    pub outdated: bool,
    /// The name by which it was loaded.
    pub name_at_server: String,
    /// Where Tailback fetches its files from. `None`: the server has them itself.
    pub uri: Option<String>,
    pub files: Files,
    /// When its unload is tried again, after it has failed.
    pub again_at: Option<Nanos>,
    /// How often its unload has failed.
    pub failures: u32,
}

/// How far the files of a replica that is to be loaded are.
#[derive(Default)]
pub(super) enum Files {
    /// No fetch was started yet.
    #[default]
    Unseen,
    /// They are being fetched, or compared with the source.
    #[expect(dead_code, reason = "it is dropped with the replica")]
    Coming(Fetch),
    /// They are in the folder from which the server loads them.
    Here,
}

/// A fetch of a model's files. Dropping it ends the fetch.
pub(super) struct Fetch(pub(super) AbortHandle);

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where Tailback fetches a model's files from. `None`: its server has them itself.
pub(super) fn fetched_from(model: &Model) -> Option<&str> {
    let shared = model.server.multi_model.as_ref()?;
    let uri = model.storage_uri.as_deref();
    uri.filter(|_| shared.repository.is_some())
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
            outdated: false,
            name_at_server: own.unwrap_or(&model.name).clone(),
            uri: fetched_from(model).map(str::to_owned),
            files: Files::default(),
            again_at: None,
            failures: 0,
        }
    }

    /// Whether it takes requests, or will once it is loaded.
    pub(super) fn serves(&self) -> bool {
        match self.state {
            PlacedState::Loading => !self.unwanted,
            PlacedState::Loaded => true,
            PlacedState::Draining | PlacedState::Unloading => false,
        }
    }

    pub(super) fn enter(&mut self, state: PlacedState, now: Nanos) {
        (self.state, self.since) = (state, now);
    }
}
