//! Errors of reading ahead in a body.

use super::{BodyError, Shortage};
use crate::protocol::ProxyError;

/// Why no more of a body can be read ahead.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The body failed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// There is no more memory for it.
    #[error(transparent)]
    NoRoom(#[from] Shortage),
}

impl From<LookError> for ProxyError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Body(BodyError::Unfit(fault)) => Self::Unnamed(fault),
            // The caller has left, or sent less than it announced.
            LookError::Body(_) => Self::CallerGone,
            LookError::NoRoom(shortage) => shortage.into(),
        }
    }
}

impl From<Shortage> for ProxyError {
    fn from(shortage: Shortage) -> Self {
        match shortage {
            Shortage::Budget => Self::NoRoom,
            Shortage::Memory => Self::MemoryShort,
        }
    }
}
