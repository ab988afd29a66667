//! Responses.

use http::{StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::HeaderMap;

/// A response.
#[derive(Clone, Debug, Default)]
pub struct Response<B> {
    parts: ResponseParts,
    body: B,
}

/// The header of a response.
#[derive(Clone, Debug, Default)]
pub struct ResponseParts {
    /// Its status.
    pub status: StatusCode,
    /// The version of HTTP in which it came.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// The reason phrase of HTTP/1.1, if it is not the standard one.
    pub reason: Option<ReasonPhrase>,
}

impl<B> Response<B> {
    /// A response with the status 200.
    pub fn new(body: B) -> Self {
        Self::from_parts(ResponseParts::default(), body)
    }

    /// A response of `parts` with a body.
    pub const fn from_parts(parts: ResponseParts, body: B) -> Self {
        Self { parts, body }
    }

    /// Its header and its body.
    pub fn into_parts(self) -> (ResponseParts, B) {
        (self.parts, self.body)
    }

    /// Its status.
    pub const fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Its status.
    pub const fn status_mut(&mut self) -> &mut StatusCode {
        &mut self.parts.status
    }

    /// The version of HTTP in which it came.
    pub const fn version(&self) -> Version {
        self.parts.version
    }

    /// Its fields.
    pub const fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Its fields.
    pub const fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.parts.headers
    }

    /// Its body.
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// Its body.
    pub const fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// Its body.
    pub fn into_body(self) -> B {
        self.body
    }

    /// The response with another body.
    pub fn map<T>(self, body: impl FnOnce(B) -> T) -> Response<T> {
        Response::from_parts(self.parts, body(self.body))
    }
}

/// For other crates.
impl<B> From<Response<B>> for http::Response<B> {
    fn from(response: Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        let mut response = Self::new(body);
        *response.status_mut() = parts.status;
        *response.version_mut() = parts.version;
        *response.headers_mut() = parts.headers.into();
        if let Some(reason) = parts.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}

/// For what other crates made.
impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (mut parts, body) = response.into_parts();
        let parts = ResponseParts {
            status: parts.status,
            version: parts.version,
            headers: parts.headers.into(),
            reason: parts.extensions.remove(),
        };
        Self { parts, body }
    }
}
