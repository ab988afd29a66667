//! A model's scaling, switched off and on while it runs.

use tokio::sync::{mpsc, oneshot};

use super::Command;

/// Whether a model is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// As it is configured.
    #[default]
    Active,
    /// Decisions are made and shown, and nothing is asked for.
    Paused,
}

/// What came of switching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switched {
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
pub struct Switch(pub(super) mpsc::UnboundedSender<Command>);

impl Switch {
    /// Sets a model's activity. It stays so through reloads, until it is set
    /// again, the model is removed, or the process ends.
    pub async fn set(&self, model: &str, activity: Activity) -> Switched {
        let (answer, answered) = oneshot::channel();
        let command = Command::Switch {
            model: model.to_owned(),
            activity,
            answer,
        };
        if self.0.send(command).is_err() {
            return Switched::Stopped;
        }
        answered.await.unwrap_or(Switched::Stopped)
    }
}
