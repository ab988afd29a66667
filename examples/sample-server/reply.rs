//! Responses that are no inferences: JSON, and errors that say what was expected.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use crate::protocol::ErrorBody;

/// A response with its whole body.
pub type Reply = Response<Full<Bytes>>;

/// Why there is no proper answer: the status, and for the client's developer the reason.
#[derive(Debug)]
pub struct Refusal(pub StatusCode, pub String);

impl Refusal {
    /// As a response.
    pub fn reply(self) -> Reply {
        let Refusal(status, message) = self;
        json(status, &ErrorBody { error: &message })
    }
}

/// The response to a method that a path doesn't have.
pub fn not_allowed(method: &Method, allowed: &[Method]) -> Reply {
    let allowed = allowed
        .iter()
        .map(Method::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let message = format!("method {method} is not allowed here, expected {allowed}");
    let mut reply = Refusal(StatusCode::METHOD_NOT_ALLOWED, message).reply();
    // Method names are letters, which a header value takes: there is always one to insert.
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        reply.headers_mut().insert(ALLOW, allowed);
    }
    reply
}

/// A response with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    // Fails for maps with keys that are no strings, and nothing here has maps.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
