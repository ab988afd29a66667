//! What operators may ask of a running scaler: to pause and resume a model, to set its count for a
//! while, and to restart or drain one of its replicas.

use tokio::sync::{mpsc, oneshot};

use super::command::LoopCommand;
pub use super::order::{ControlError, ControlResult, ReplicaOrder, ScaleOrder};
use crate::{manual_count::ManualCount, status::PauseState};

/// A handle for operators' orders to a running scaler.
#[derive(Clone)]
pub struct ControlHandle(pub(super) mpsc::UnboundedSender<LoopCommand>);

impl ControlHandle {
    /// Pauses or resumes a model. The state survives reloads and upgrades. It ends when the model
    /// is removed or the process ends.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn pause(&self, model: &str, pause: PauseState) -> ControlResult<()> {
        let model = model.to_owned();
        self.ask(|answer| LoopCommand::Pause {
            model,
            pause,
            answer,
        })
        .await
    }

    /// Sets a model's count for a while; `None`: the policy decides again. Returns the count that
    /// is in force. It survives reloads and upgrades.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn scale(
        &self,
        model: &str,
        order: Option<ScaleOrder>,
    ) -> ControlResult<Option<ManualCount>> {
        let model = model.to_owned();
        self.ask(|answer| LoopCommand::Scale {
            model,
            order,
            answer,
        })
        .await
    }

    /// Restarts, drains or resumes the replica of a model with this name or endpoint. Returns its
    /// name.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn replica(
        &self,
        model: &str,
        replica: &str,
        order: ReplicaOrder,
    ) -> ControlResult<String> {
        let (model, replica) = (model.to_owned(), replica.to_owned());
        self.ask(|answer| LoopCommand::Replica {
            model,
            replica,
            order,
            answer,
        })
        .await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<ControlResult<T>>) -> LoopCommand,
    ) -> ControlResult<T> {
        let (answer, answered) = oneshot::channel();
        let stopped = |_| ControlError::Stopped;
        self.0
            .send(command(answer))
            .map_err(|_| ControlError::Stopped)?;
        answered.await.map_err(stopped)?
    }
}
