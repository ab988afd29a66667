//! The connection or stream that one request uses, for either HTTP version.

use std::task::Context;

use futures_util::future::Either;
use http::{
    Request, Response, Uri,
    header::HOST,
    uri::{Authority, PathAndQuery, Scheme},
};

use super::{http1::Http1, http2::Http2, send_error::SendError};
use crate::{
    exchange::{RequestBody, body::Received},
    http1::client::RequestHead,
};

/// Sends one request.
#[derive(Debug)]
pub enum Upstream {
    /// An HTTP/1.1 connection.
    Http1(Http1),
    /// A stream of an HTTP/2 connection.
    Http2(Box<Http2>),
}

impl Upstream {
    /// Sends a request and waits for the response's header. `scheme` is the scheme by which the
    /// replica is reached.
    ///
    /// # Errors
    /// [`SendError`], which says whether the request may be retried.
    pub fn send(
        &mut self,
        head: RequestHead<'_>,
        scheme: &Scheme,
        body: RequestBody,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> + use<'_> {
        match self {
            Self::Http1(connection) => Either::Left(connection.send(head, body)),
            // Boxed: HTTP/1.1 needs far less room.
            Self::Http2(stream) => {
                let request = to_http2(head, scheme, body);
                Either::Right(Box::pin(stream.send(request)))
            }
        }
    }

    /// Makes progress that does not depend on reading the response's body. `cx` is woken when more
    /// is possible.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http1(connection) => connection.drive(cx),
            Self::Http2(stream) => stream.drive(cx),
        }
    }
}

/// Converts a request to its form in HTTP/2 (RFC 9113, 8.3.1), with the host in the target.
fn to_http2(head: RequestHead<'_>, scheme: &Scheme, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    request.method_mut().clone_from(head.method);
    request.headers_mut().clone_from(head.headers);
    request.headers_mut().extend(head.added.iter().cloned());
    let host = request.headers_mut().remove(HOST);
    let authority = match head.host {
        Some(host) => Authority::try_from(host).ok(),
        None => host.and_then(|host| Authority::try_from(host.as_bytes()).ok()),
    };
    let mut target = http::uri::Parts::default();
    target.scheme = Some(scheme.clone());
    target.authority = Some(authority.unwrap_or_else(|| Authority::from_static("localhost")));
    let path = match head.target.strip_prefix('?') {
        Some(query) => PathAndQuery::try_from(format!("/?{query}")).ok(),
        None => PathAndQuery::try_from(head.target).ok(),
    };
    target.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(target) {
        *request.uri_mut() = uri;
    }
    request
}
