//! The request as it goes out: its head, and its body as far as it is needed
//! to send it once more.

use std::{future::pending, rc::Rc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{EXPECT, HOST},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;
use tailback_config::HostHeader;

use crate::{
    exchange::{
        BodyReturn, Phase, RequestBody, RequestBodyState, StreamState, StreamedBody,
        body::{BufferReservation, LookError, PeekableBody},
    },
    net::HttpVersion,
    pipeline::headers,
    protocol::error::ProxyError,
    status::MethodType,
    upstream::Upstream,
};

/// Bodies of known length up to this are read whole before they are sent: they
/// go out in one packet with the head, and can be sent again.
const WHOLE: usize = 64 * 1024;

enum Payload {
    Unread(PeekableBody),
    Whole(Option<Bytes>),
    Stream(PeekableBody),
    /// Under way, and back when nothing more of it is to be sent.
    Sent(Rc<BodyReturn>),
}

/// When the body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Before a permit is asked for: a caller who sends no more takes none.
    Early,
    /// Once a replica is there to take it: the caller waits for `100 Continue`,
    /// or may wait for an answer, in gRPC.
    Late,
}

pub(super) struct UpstreamRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    payload: Payload,
    reading: Reading,
    /// Whether it may wait for a replica.
    pub may_wait: bool,
    /// Goes into the response, too.
    pub request_id: HeaderValue,
}

impl UpstreamRequest {
    pub(super) fn new(
        head: Parts,
        body: PeekableBody,
        state: &StreamState,
        may_wait: bool,
    ) -> Self {
        let mut headers = head.headers;
        // RFC 9112, 3.2.2: what the target says wins; HTTP/2 says it only there.
        if let Some(authority) = head.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            headers.insert(HOST, host);
        }
        let method = state.api.get().method_type();
        let connection = state.connection();
        // On HTTP/2 the body has been asked for already.
        let asks = connection.version == HttpVersion::Http1 && headers.contains_key(EXPECT);
        let reading = if asks || method == MethodType::Grpc {
            Reading::Late
        } else {
            Reading::Early
        };
        state
            .upgrade
            .replace(headers::wanted_upgrade(&headers, connection));
        let request_id = headers::to_upstream(&mut headers, connection, method);
        let payload = if body.is_end_stream() {
            Payload::Whole(None)
        } else {
            Payload::Unread(body)
        };
        Self {
            method: head.method,
            uri: origin_form(head.uri),
            headers,
            payload,
            reading,
            may_wait,
            request_id,
        }
    }

    /// Before a permit is asked for: reads the body if it is small, else its first
    /// piece, unless it has to be read later.
    pub(super) async fn read_early(
        &mut self,
        state: &StreamState,
        reservation: &mut BufferReservation<'_>,
    ) -> Result<(), ProxyError> {
        match self.reading {
            Reading::Early => self.read_body(state, reservation).await,
            Reading::Late => Ok(()),
        }
    }

    /// Reads the body if it is small, or gets it ready to be streamed. As long as
    /// it is waited for, `reservation` covers what is in memory of it.
    pub(super) async fn read_body(
        &mut self,
        state: &StreamState,
        reservation: &mut BufferReservation<'_>,
    ) -> Result<(), ProxyError> {
        let Payload::Unread(body) = &mut self.payload else {
            return Ok(());
        };
        state.enter(Phase::Body);
        if body
            .size_hint()
            .exact()
            .is_some_and(|length| length <= WHOLE as u64)
        {
            let whole = gather(body, state, reservation).await?;
            self.payload = Payload::Whole(Some(whole));
            return Ok(());
        }
        if self.reading == Reading::Early && body.buffered() == 0 {
            state.body.set(RequestBodyState::Awaited);
            body.look_further(reservation).await?;
            state.body.set(RequestBodyState::Unread);
        }
        if let Payload::Unread(body) = std::mem::replace(&mut self.payload, Payload::Whole(None)) {
            self.payload = Payload::Stream(body);
        }
        Ok(())
    }

    /// Reads on while the request is held, as far as bodies are kept in memory:
    /// on HTTP/1.1, a caller that has left is noticed where its bytes end. Ends
    /// only if the request does.
    pub(super) async fn read_ahead(
        &mut self,
        reservation: &mut BufferReservation<'_>,
    ) -> ProxyError {
        if let (Reading::Early, Payload::Stream(body)) = (self.reading, &mut self.payload) {
            while body.buffered() < WHOLE {
                match body.look_further(reservation).await {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(LookError::NoRoom) => break,
                    Err(error) => return error.into(),
                }
            }
        }
        pending().await
    }

    /// The request to send. What it takes to send it once more stays here, as far as it is little.
    pub(super) fn request(
        &mut self,
        state: &Rc<StreamState>,
        upstream: &Upstream,
        scheme: &Scheme,
        (policy, authority): (&HostHeader, &str),
    ) -> Request<RequestBody> {
        let body = match std::mem::replace(&mut self.payload, Payload::Whole(None)) {
            Payload::Whole(bytes) => {
                self.payload = Payload::Whole(bytes.clone());
                state.enter(Phase::Response);
                RequestBody::Whole(bytes)
            }
            Payload::Stream(mut body) | Payload::Unread(mut body) => {
                state.enter(Phase::Body);
                body.keep(WHOLE);
                let back = Rc::<BodyReturn>::default();
                self.payload = Payload::Sent(back.clone());
                RequestBody::Stream(StreamedBody::new(body, state.clone(), back))
            }
            Payload::Sent(_) => RequestBody::Whole(None),
        };
        let mut request = Request::new(body);
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        write_host(request.headers_mut(), policy, authority);
        match upstream {
            Upstream::Http2(_) => to_http2(&mut request, scheme),
            Upstream::Http1(_) => {
                if let Some(protocol) = state.upgrade.borrow().as_ref() {
                    headers::write_upgrade(request.headers_mut(), protocol);
                }
            }
        }
        request
    }

    /// Bytes of the body that are in memory.
    pub(super) fn buffered(&self) -> usize {
        match &self.payload {
            Payload::Whole(bytes) => bytes.as_ref().map_or(0, Bytes::len),
            Payload::Unread(body) | Payload::Stream(body) => body.buffered(),
            Payload::Sent(_) => 0,
        }
    }

    /// Its method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Whether it could be sent once more, from its beginning, as of now.
    pub(super) fn is_replayable(&self) -> bool {
        match &self.payload {
            Payload::Whole(_) | Payload::Unread(_) | Payload::Stream(_) => true,
            Payload::Sent(back) => back.is_kept(),
        }
    }

    /// Whether its body is read from the caller while it is sent.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self.payload, Payload::Stream(_) | Payload::Unread(_))
    }

    /// Takes back a body that is not to be sent any further. Whether it can be sent once more,
    /// from its beginning.
    pub(super) fn rewind(&mut self) -> bool {
        if let Payload::Sent(back) = &self.payload {
            let Some(body) = back.take().and_then(PeekableBody::rewound) else {
                return false;
            };
            self.payload = Payload::Stream(body);
        }
        true
    }
}

/// Names the host as the replica's server wants it. HTTP/1.0 needs none, which HTTP/1.1 does
/// (RFC 9112, 3.2).
fn write_host(headers: &mut HeaderMap, policy: &HostHeader, authority: &str) {
    let host = match policy {
        HostHeader::Pass if headers.contains_key(HOST) => return,
        HostHeader::Pass | HostHeader::Upstream => authority,
        HostHeader::Given(host) => host,
    };
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(HOST, host);
    }
}

/// All of a body whose length is known and small.
async fn gather(
    body: &mut PeekableBody,
    state: &StreamState,
    reservation: &mut BufferReservation<'_>,
) -> Result<Bytes, ProxyError> {
    state.body.set(RequestBodyState::Awaited);
    let whole = match body.only_piece().await? {
        Some(whole) => whole,
        None => {
            state.enter(Phase::Body);
            while !body.has_ended() && body.look_further(reservation).await?.is_some() {
                state.enter(Phase::Body);
            }
            body.take_read()
        }
    };
    state.body.set(RequestBodyState::Ended);
    Ok(whole)
}

/// The form that a request to a server has (RFC 9112, 3.2.1).
fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    path.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

/// The form that it has in HTTP/2 (RFC 9113, 8.3.1): the host is in the target.
fn to_http2(request: &mut Request<RequestBody>, scheme: &Scheme) {
    let host = request.headers_mut().remove(HOST);
    let authority = host
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .unwrap_or_else(|| Authority::from_static("localhost"));
    let path = request.uri().path_and_query().cloned();
    let mut target = http::uri::Parts::default();
    target.scheme = Some(scheme.clone());
    target.authority = Some(authority);
    target.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(target) {
        *request.uri_mut() = uri;
    }
}
