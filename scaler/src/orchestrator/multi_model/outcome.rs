//! The results of calls to servers.

use std::sync::Arc;

use super::repository::{CallError, IndexEntry};
use crate::{clock::Nanos, orchestrator::ScaleError, replica::ReplicaId};

/// The subject of a call.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub server: Arc<str>,
    /// The server's replica; `None`: the server as a whole.
    pub replica: Option<ReplicaId>,
    /// The model; `None`: the replica as a whole.
    pub model: Option<Arc<str>>,
    /// The id of the model's own replica, which tells attempts to load the same model apart.
    pub attempt: Option<ReplicaId>,
}

/// A call that has ended.
pub(super) struct CallDone {
    pub at: Subject,
    pub outcome: Outcome,
}

/// The result of a call.
pub(super) enum Outcome {
    /// The error says why the files were not fetched.
    Fetched(Result<(), String>),
    Loaded(Result<(), CallError>),
    Unloaded(Result<(), CallError>),
    Indexed {
        /// When the index was requested.
        asked: Nanos,
        result: Result<Vec<IndexEntry>, CallError>,
    },
    Scaled {
        replicas: u32,
        result: Result<(), ScaleError>,
    },
}
