//! The request that is sent to a replica: its header, and the part of its body that is kept for a
//! retry.

use std::{future::pending, rc::Rc};

use bytes::Bytes;
use http::{HeaderValue, Method, Uri, header::HOST};
use http_body::Body;
use tailback_config::HostHeader;

use super::{
    fields::Fields,
    headers::{self, Added},
    read_model::BodyReader,
};
use crate::{
    exchange::{
        BodyReturn, Phase, RequestBody, RequestBodyState, StreamState, StreamedBody,
        body::{BufferReservation, LookError, PeekableBody},
    },
    http1::client::RequestHead,
    message::{HeaderMap, RequestParts},
    net::HttpVersion,
    protocol::{error::ProxyError, json_follower::media_type},
    status::MethodType,
    telemetry::traces::TRACEPARENT,
};

/// Bodies of known length up to this many bytes are read completely before they are sent. They are
/// sent together with the header, and can be sent again.
const WHOLE: usize = 64 * 1024;

enum Payload {
    Unread(PeekableBody),
    Whole(Option<Bytes>),
    Stream(PeekableBody),
    /// The body is being sent, and returns here when its sender drops it.
    Sent(Rc<BodyReturn>),
}

/// When the body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Before a permit is taken, so that a slow caller does not occupy one.
    Early,
    /// After a permit was taken, because the caller waits for `100 Continue`, or is a gRPC client
    /// that may send the rest only after the response has started.
    Late,
}

pub(super) struct UpstreamRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Additional fields.
    added: Added,
    payload: Payload,
    reading: Reading,
    /// Whether the request may be held.
    pub may_wait: bool,
    /// The request id, which also goes into the response.
    pub request_id: HeaderValue,
}

impl UpstreamRequest {
    pub(super) fn new(
        (head, fields): (RequestParts, Fields),
        body: PeekableBody,
        state: &StreamState,
        may_wait: bool,
    ) -> Self {
        let mut headers = head.headers;
        // RFC 9112, 3.2.2: the target's authority takes precedence over Host. HTTP/2 often sends it
        // in the target only.
        if let Some(authority) = head.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            headers.insert(HOST, host);
        }
        let method = state.api.get().method_type();
        let connection = state.connection();
        // On HTTP/2, `100 Continue` has been sent already.
        let asks = connection.version == HttpVersion::Http1 && fields.has(Fields::EXPECT);
        let reading = if asks || method == MethodType::Grpc {
            Reading::Late
        } else {
            Reading::Early
        };
        state
            .upgrade
            .replace(headers::wanted_upgrade(&headers, fields, head.version));
        let (added, request_id) = headers::to_upstream(&mut headers, fields, connection, method);
        let payload = if body.is_end_stream() {
            Payload::Whole(None)
        } else {
            Payload::Unread(body)
        };
        Self {
            method: head.method,
            uri: head.uri,
            headers,
            added,
            payload,
            reading,
            may_wait,
            request_id,
        }
    }

    /// Before a permit is taken: reads the body if it is small, or its first piece, unless it must
    /// be read later.
    pub(super) async fn read_early(
        &mut self,
        state: &Rc<StreamState>,
        reservation: &mut BufferReservation<'_>,
    ) -> Result<(), ProxyError> {
        match self.reading {
            Reading::Early => self.read_body(state, reservation).await,
            Reading::Late => Ok(()),
        }
    }

    /// Reads the body if it is small, or prepares it for streaming. Meanwhile `reservation` covers
    /// its buffered part.
    pub(super) async fn read_body(
        &mut self,
        state: &Rc<StreamState>,
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
        if self.reading == Reading::Early {
            if body.buffered() == 0 {
                let mut reader = BodyReader {
                    body,
                    reservation,
                    state,
                };
                reader.next().await?;
            }
            // Whoever sends a byte of a large body, and no more, is to take no permit. Other bodies may
            // be streams of which each piece is meant to be answered.
            if body.size_hint().exact().is_some() || is_json(&self.headers) {
                fill(body, WHOLE, state, reservation).await?;
            }
        }
        if let Payload::Unread(body) = std::mem::replace(&mut self.payload, Payload::Whole(None)) {
            self.payload = Payload::Stream(body);
        }
        Ok(())
    }

    /// Reads ahead while the request is held, up to the limit for buffered bodies. On HTTP/1.1,
    /// this notices a caller that has left. Returns only if the request fails.
    pub(super) async fn read_ahead(
        &mut self,
        reservation: &mut BufferReservation<'_>,
        grown: impl Fn(usize),
    ) -> ProxyError {
        if let (Reading::Early, Payload::Stream(body)) = (self.reading, &mut self.payload) {
            while body.buffered() < WHOLE {
                match body.look_further(reservation).await {
                    Ok(Some(_)) => grown(body.buffered()),
                    Ok(None) | Err(LookError::NoRoom(_)) => break,
                    Err(error) => return error.into(),
                }
            }
        }
        pending().await
    }

    /// The body to send. If it is small, a copy is kept for a retry; of a streamed body, only if
    /// `may_keep`.
    pub(super) fn body(&mut self, state: &Rc<StreamState>, may_keep: bool) -> RequestBody {
        match std::mem::replace(&mut self.payload, Payload::Whole(None)) {
            Payload::Whole(bytes) => {
                self.payload = Payload::Whole(bytes.clone());
                state.enter(Phase::Response);
                RequestBody::Whole(bytes)
            }
            Payload::Stream(mut body) | Payload::Unread(mut body) => {
                state.enter(Phase::Body);
                if may_keep {
                    body.keep(WHOLE);
                }
                let back = Rc::<BodyReturn>::default();
                self.payload = Payload::Sent(back.clone());
                RequestBody::Stream(StreamedBody::new(body, state.clone(), back))
            }
            Payload::Sent(_) => RequestBody::Whole(None),
        }
    }

    /// The header to send to a replica at `authority`; `policy` decides the host in it.
    pub(super) fn head<'a>(
        &'a self,
        upgrade: Option<&'a HeaderValue>,
        policy: &'a HostHeader,
        authority: &'a str,
    ) -> RequestHead<'a> {
        RequestHead {
            method: &self.method,
            target: self
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str()),
            headers: &self.headers,
            added: &self.added,
            host: host(&self.headers, policy, authority),
            upgrade,
        }
    }

    /// The first `most` bytes of the body, if it was read completely; nothing if it must not be
    /// read yet.
    pub(super) fn whole(&self, most: usize) -> Option<Bytes> {
        match &self.payload {
            Payload::Whole(Some(bytes)) => Some(bytes.slice(..bytes.len().min(most))),
            Payload::Whole(None) | Payload::Unread(_) | Payload::Sent(_) => Some(Bytes::new()),
            Payload::Stream(_) => None,
        }
    }

    /// The first `most` bytes of the body, which stay part of it; fewer if the body is shorter or
    /// the buffer budget is used up.
    pub(super) async fn look(
        &mut self,
        most: usize,
        state: &Rc<StreamState>,
        reservation: &mut BufferReservation<'_>,
    ) -> Result<Bytes, ProxyError> {
        let Payload::Stream(body) = &mut self.payload else {
            return Ok(Bytes::new());
        };
        fill(body, most, state, reservation).await?;
        Ok(body.start(most))
    }

    /// Sets the span that is the parent at the next replica.
    pub(super) fn set_trace_parent(&mut self, parent: HeaderValue) {
        self.headers.insert(TRACEPARENT, parent);
    }

    /// Its header fields.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Buffered bytes of the body.
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

    /// Whether the request could be sent again from its beginning now.
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

    /// Takes back a body whose sending has ended. Returns whether it can be sent again from its
    /// beginning.
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

/// The host for a replica at `authority`, in place of the one in `headers`, as the server's
/// configuration wants it. A caller by HTTP/1.0 may send none, but HTTP/1.1 requires it (RFC 9112,
/// 3.2).
pub(super) fn host<'a>(
    headers: &HeaderMap,
    policy: &'a HostHeader,
    authority: &'a str,
) -> Option<&'a str> {
    match policy {
        HostHeader::Pass if headers.contains_key(HOST) => None,
        HostHeader::Pass | HostHeader::Upstream => Some(authority),
        HostHeader::Given(host) => Some(host.as_str()),
    }
}

/// Whether the body is JSON, of which nothing can be used before its end.
fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|name| name.eq_ignore_ascii_case("application/json"))
}

/// Reads a body up to so many bytes, or fewer if it is shorter or the buffer budget is used up.
async fn fill(
    body: &mut PeekableBody,
    most: usize,
    state: &Rc<StreamState>,
    reservation: &mut BufferReservation<'_>,
) -> Result<(), ProxyError> {
    let mut reader = BodyReader {
        body,
        reservation,
        state,
    };
    while reader.body.buffered() < most && !reader.body.has_ended() {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) | Err(LookError::NoRoom(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads a whole body whose length is known to be small.
async fn gather(
    body: &mut PeekableBody,
    state: &StreamState,
    reservation: &mut BufferReservation<'_>,
) -> Result<Bytes, ProxyError> {
    state.await_body();
    let whole = match body.only_piece().await? {
        Some(whole) => whole,
        None => {
            state.body_came(body.buffered());
            while !body.has_ended()
                && let Some(piece) = body.look_further(reservation).await?
            {
                state.body_came(piece.len());
            }
            body.take_read()
        }
    };
    state.body.set(RequestBodyState::Ended);
    Ok(whole)
}
