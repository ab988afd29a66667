//! Pausing and resuming a model's scaling while it runs.

use tokio::sync::{mpsc, oneshot};

use super::command::{Command, PauseResult};
use crate::status::PauseState;

/// Pauses and resumes models of a running scaler.
#[derive(Clone)]
pub struct PauseHandle(pub(super) mpsc::UnboundedSender<Command>);

impl PauseHandle {
    /// Pauses or resumes a model. The state survives reloads. It ends when the model is removed
    /// or the process ends.
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
