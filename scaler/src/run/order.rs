//! Operators' orders, and why they may not be carried out.

use std::time::Duration;

use crate::orchestrator::ScaleError;

/// A count that replaces the policy's for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleOrder {
    /// How many replicas. The model's bounds apply.
    pub replicas: u32,
    /// For how long.
    pub lasts: Duration,
    /// Who ordered it: an IP address.
    pub by: String,
}

/// What to do with one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaOrder {
    /// Start another replica in its place; then let this one finish its requests and stop.
    Restart,
    /// Send it no more requests, until it is resumed.
    Drain,
    /// Send it requests again.
    Resume,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// The scaler has no such model.
    NoModel,
    /// The model has no such replica. With the names of those that it has.
    NoReplica(Vec<String>),
    /// Another proxy leads, and only the leader can carry it out. With its name, if that is known.
    NotLeading(Option<String>),
    /// It is impossible. With the reason.
    Refused(String),
    /// It was tried and failed. With the reason.
    Failed(String),
    /// The scaler has stopped.
    Stopped,
}

/// The result of an order.
pub type ControlResult<T> = Result<T, ControlError>;

impl From<ScaleError> for ControlError {
    fn from(error: ScaleError) -> Self {
        match error {
            ScaleError::Refused(why) | ScaleError::Forbidden(why) => Self::Refused(why),
            ScaleError::Failed(why) | ScaleError::Busy { why, .. } => Self::Failed(why),
        }
    }
}
