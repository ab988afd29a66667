//! What the running scaler is told, and by which handles.

use std::sync::Arc;

use tailback_config::Model;
use tokio::sync::oneshot;

use crate::{ledger::Ledger, replica::Traffic, status::PauseState};

/// A model to scale.
#[derive(Clone)]
pub struct ModelHandle {
    /// Its configuration.
    pub model: Arc<Model>,
    /// Its accounts. The ledger must ring [`Options::wake`](super::Options::wake).
    pub ledger: Arc<Ledger>,
    /// Who is told of its replicas.
    pub traffic: Arc<dyn Traffic>,
}

/// What the scaler's loop is told.
pub(super) enum Command {
    Configure(Vec<ModelHandle>),
    Pause {
        model: String,
        pause: PauseState,
        answer: oneshot::Sender<PauseResult>,
    },
    HandOver,
    Stop(oneshot::Sender<()>),
}

/// What came of pausing or resuming a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseResult {
    /// The model is paused, or active, from now on.
    Done,
    /// There is no such model.
    NoModel,
    /// Another proxy leads and asks for replicas. Its name, if it is known.
    NotLeading(Option<String>),
    /// The scaler has stopped.
    Stopped,
}
