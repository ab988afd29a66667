//! What comes of a request that got no response.

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Nothing of the request was sent.
    NotSent,
    /// The replica has not processed it, or it does no harm to process it twice. On HTTP/1.1, the
    /// connection closed before any byte of a response, and the replica's host had acknowledged
    /// nothing of the request, or the replica was closing a connection that it had used before. On
    /// HTTP/2, the replica said so (RFC 9113, 8.7).
    Unprocessed,
    /// It broke.
    Broken,
    /// The response's header has more fields, or bytes, than are read.
    HeaderTooLarge,
}
