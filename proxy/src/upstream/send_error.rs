//! What comes of a request that got no response.

use http::Request;

use crate::exchange::RequestBody;

/// Why there is no response.
#[derive(Debug)]
pub enum SendError {
    /// Nothing of the request was sent: here it is back.
    NotSent(Box<Request<RequestBody>>),
    /// The replica has not processed it, or it does no harm to process it twice: HTTP/1.1, the
    /// connection had been used before and closed before any response byte, at once or on a
    /// request that is idempotent;
    /// HTTP/2, it said so (RFC 9113, 8.7), and here is what is left of the body.
    Unprocessed(Option<Box<RequestBody>>),
    /// It broke.
    Broken,
    /// The response's header has more fields, or bytes, than are read.
    HeaderTooLarge,
}
