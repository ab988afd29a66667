//! The arrival with which demand reached a ledger's wake-up level.

use std::fmt;

use crate::clock::Nanos;

/// The span of a traced request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanRef {
    /// The trace's id.
    pub trace: u128,
    /// The span's id within it.
    pub span: u64,
}

/// An arrival that reached the level at which the scaler is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The time of the arrival.
    pub at: Nanos,
    /// The request's span, if it is traced.
    pub span: Option<SpanRef>,
}

/// The trace's id, as in W3C Trace Context.
impl fmt::Display for SpanRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}
