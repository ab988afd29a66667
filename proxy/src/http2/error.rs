//! Why streams and connections end early.

use std::io;

use super::Reason;

/// Why a stream, or a whole connection, has ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http2Error {
    /// The peer has reset the stream.
    #[error("the peer reset the stream ({0})")]
    Reset(Reason),
    /// This side has reset the stream.
    #[error("the stream was reset ({0})")]
    Cancelled(Reason),
    /// The peer is going away and has not processed the stream (RFC 9113, 6.8).
    #[error("the peer is going away ({0}) and has not processed the stream")]
    Unprocessed(Reason),
    /// The peer broke the protocol, and the connection was closed.
    #[error("the peer broke the protocol ({0})")]
    Violation(Reason),
    /// The header has more fields or bytes than the limits allow.
    #[error("the header is too large")]
    HeaderTooLarge,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
}

/// What breaks the rules so that the connection cannot go on (RFC 9113, 5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionError(pub(super) Reason);
