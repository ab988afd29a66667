//! Why a body cannot be looked into any further, as an error for its caller.

use super::BodyError;
use crate::protocol::ProxyError;

/// Why no more of a body can be looked into.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It broke off.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// There is no room in memory for what has been read.
    #[error("no room for what has been read of the body")]
    NoRoom,
}

impl From<LookError> for ProxyError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Body(BodyError::Unfit(fault)) => Self::Unnamed(fault),
            // A caller that leaves, or sends less than it said.
            LookError::Body(_) => Self::CallerGone,
            LookError::NoRoom => Self::NoRoom,
        }
    }
}
