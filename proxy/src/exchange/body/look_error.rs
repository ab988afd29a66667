//! Errors of reading ahead in a body.

use super::BodyError;
use crate::protocol::ProxyError;

/// Why no more of a body can be read ahead.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The body failed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The buffer budget is used up.
    #[error("the budget for buffered bodies is used up")]
    NoRoom,
}

impl From<LookError> for ProxyError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Body(BodyError::Unfit(fault)) => Self::Unnamed(fault),
            // The caller has left, or sent less than it announced.
            LookError::Body(_) => Self::CallerGone,
            LookError::NoRoom => Self::NoRoom,
        }
    }
}
