//! What calls to servers have come to.

use std::sync::Arc;

use super::repository::{CallError, IndexEntry};
use crate::{clock::Nanos, orchestrator::ScaleError, replica::ReplicaId};

/// What a call was about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub server: Arc<str>,
    /// The server's replica; `None`: the server as a whole.
    pub replica: Option<ReplicaId>,
    /// The model; `None`: the replica as a whole.
    pub model: Option<Arc<str>>,
    /// Which attempt it was: the id of the model's own replica.
    pub attempt: Option<ReplicaId>,
}

/// A call that has ended.
pub(super) struct CallDone {
    pub at: Subject,
    pub outcome: Outcome,
}

/// What it has come to.
pub(super) enum Outcome {
    /// Why its files are not there.
    Fetched(Result<(), String>),
    Loaded(Result<(), CallError>),
    Unloaded(Result<(), CallError>),
    Indexed {
        /// When it was asked for.
        asked: Nanos,
        result: Result<Vec<IndexEntry>, CallError>,
    },
    Scaled {
        replicas: u32,
        result: Result<(), ScaleError>,
    },
}
