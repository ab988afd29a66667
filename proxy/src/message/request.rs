//! Requests.

use http::{Method, Uri, Version};

use super::HeaderMap;

/// A request.
#[derive(Clone, Debug)]
pub struct Request<B> {
    parts: RequestParts,
    body: B,
}

/// The header of a request.
#[derive(Clone, Debug, Default)]
pub struct RequestParts {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// The version of HTTP in which it came.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
}

impl<B> Request<B> {
    /// A request of `parts` with a body.
    pub const fn from_parts(parts: RequestParts, body: B) -> Self {
        Self { parts, body }
    }

    /// Its header and its body.
    pub fn into_parts(self) -> (RequestParts, B) {
        (self.parts, self.body)
    }

    /// Its method.
    pub const fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Its target.
    pub const fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The version of HTTP in which it came.
    pub const fn version(&self) -> Version {
        self.parts.version
    }

    /// Its fields.
    pub const fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Its body.
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// Its body.
    #[cfg(test)]
    pub const fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// The request with another body.
    pub fn map<T>(self, body: impl FnOnce(B) -> T) -> Request<T> {
        Request::from_parts(self.parts, body(self.body))
    }
}

/// For what other crates made.
impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let parts = RequestParts {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            headers: parts.headers.into(),
        };
        Self { parts, body }
    }
}

/// For other crates.
impl<B> From<Request<B>> for http::Request<B> {
    fn from(request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let mut request = Self::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.into();
        request
    }
}
