//! A model's scaling, switched off and on while it runs.

use tokio::sync::{mpsc, oneshot};

use super::Command;
use crate::status::PauseState;

/// What came of switching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseResult {
    /// It is so from now on.
    Done,
    /// There is no such model.
    NoModel,
    /// Another proxy leads: this one asks for nothing anyhow. Its name, if it is known.
    NotLeading(Option<String>),
    /// The scaler has stopped.
    Stopped,
}

/// Switches models of a running scaler. Clones switch the same.
#[derive(Clone)]
pub struct PauseHandle(pub(super) mpsc::UnboundedSender<Command>);

impl PauseHandle {
    /// Sets a model's pause. It stays so through reloads, until it is set
    /// again, the model is removed, or the process ends.
    pub async fn set(&self, model: &str, pause: PauseState) -> PauseResult {
        let (answer, answered) = oneshot::channel();
        let command = Command::Pause {
            model: model.to_owned(),
            pause,
            answer,
        };
        if self.0.send(command).is_err() {
            return PauseResult::Stopped;
        }
        answered.await.unwrap_or(PauseResult::Stopped)
    }
}
