//! The commands of the running scaler.

use std::sync::Arc;

use tailback_config::Model;
use tokio::sync::oneshot;

use crate::{ledger::Ledger, replica::Traffic, status::PauseState};

/// A model to scale, and what connects it with the data plane.
#[derive(Clone)]
pub struct ModelHandle {
    /// Its configuration.
    pub model: Arc<Model>,
    /// Its ledger, which must have been made with [`Options::wake`](super::Options::wake).
    pub ledger: Arc<Ledger>,
    /// What sends requests to its replicas.
    pub traffic: Arc<dyn Traffic>,
}

/// A command for the scaler's loop.
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

/// The result of pausing or resuming a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseResult {
    /// The model is paused, or resumed.
    Done,
    /// The scaler has no such model.
    NoModel,
    /// Another proxy leads; its name, if it is known. Pausing has an effect only there.
    NotLeading(Option<String>),
    /// The scaler has stopped.
    Stopped,
}
