//! Errors of requests that got no response.

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Nothing of the request was sent.
    NotSent,
    /// The replica has not processed the request, or processing it twice does no harm. On HTTP/1.1,
    /// the connection closed before any byte of a response, and either the replica's host had
    /// acknowledged nothing of the request, or the connection was a reused one that the replica was
    /// closing. On HTTP/2, the replica declared the stream unprocessed (RFC 9113, 8.7).
    Unprocessed,
    /// The connection broke; the replica may have processed the request.
    Broken,
    /// The response's header has more fields or bytes than the limits allow.
    HeaderTooLarge,
}
