//! Orders of operators, and why they are not carried out.

use std::time::Duration;

use crate::orchestrator::ScaleError;

/// A count to hold for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleOrder {
    /// How many replicas. The model's bounds apply.
    pub replicas: u32,
    /// For how long.
    pub lasts: Duration,
    /// Who asks: an IP address.
    pub by: String,
}

/// What to do with one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaOrder {
    /// Start another one in its place, then let it finish its requests and stop.
    Restart,
    /// Give it no more requests, until it is resumed.
    Drain,
    /// Give it requests again.
    Resume,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// The scaler has no such model.
    NoModel,
    /// The model has no such replica; those that it has.
    NoReplica(Vec<String>),
    /// Another proxy leads; its name, if it is known. Only there has it an effect.
    NotLeading(Option<String>),
    /// It cannot be done, and why.
    Refused(String),
    /// It was tried and failed, and why.
    Failed(String),
    /// The scaler has stopped.
    Stopped,
}

/// What came of it.
pub type ControlResult<T> = Result<T, ControlError>;

impl From<ScaleError> for ControlError {
    fn from(error: ScaleError) -> Self {
        match error {
            ScaleError::Refused(why) | ScaleError::Forbidden(why) => Self::Refused(why),
            ScaleError::Failed(why) | ScaleError::Busy { why, .. } => Self::Failed(why),
        }
    }
}
