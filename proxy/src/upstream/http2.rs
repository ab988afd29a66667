//! HTTP/2 to a replica: connections that requests share, and the stream of one request.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{
    Reason,
    client::{Builder, SendRequest},
};
use http::{HeaderMap, Request, Response, Version, header::CONTENT_LENGTH};
use http_body::Body;
use send_wrapper::SendWrapper;
use tailback_config::Limits;
use tailback_scaler::clock::Nanos;

use super::{
    connector::ConnectError,
    io::{Observed, ReadTrackingIo},
    lifetime::Lifetime,
    send_error::SendError,
    socket::Socket,
};
use crate::{
    exchange::{
        RequestBody,
        body::{BodyForwarder, ForwardError, Received},
    },
    net::{
        Cork, Transport,
        keep_alive::{Pinger, REPLICA_SILENCE},
    },
};

/// Most streams on a connection, if the replica allows as many.
const STREAMS: u32 = 100;
/// Flow-control windows for responses, in bytes. The connection's window has room for all streams'
/// windows, so that a slow caller does not block other streams.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// Most bytes buffered for sending on a stream.
const SEND_BUFFER: usize = 64 * 1024;

/// A worker's HTTP/2 connections to one address.
#[derive(Debug, Default)]
pub(super) struct Multiplexed(RefCell<Vec<Rc<SharedConnection>>>);

/// One connection.
#[derive(Debug)]
pub(super) struct SharedConnection {
    sender: SendRequest<Bytes>,
    /// Number of requests with a stream on it.
    open: Rc<Cell<u32>>,
    closed: Rc<Cell<bool>>,
    lifetime: Lifetime,
}

impl Multiplexed {
    /// Drops closed connections.
    pub(super) fn drop_closed(&self) {
        self.0
            .borrow_mut()
            .retain(|connection| !connection.closed.get());
    }

    /// Opens no further stream on connections that have been used for long enough. They close when
    /// their last stream has ended.
    pub(super) fn drop_worn(&self) {
        let now = Nanos::now();
        self.0
            .borrow_mut()
            .retain(|connection| !connection.lifetime.is_over(now));
    }

    /// A stream on a connection that has room for one. Closed connections are dropped on the way.
    pub(super) fn take(&self) -> Option<Http2> {
        self.drop_closed();
        let connections = self.0.borrow();
        let free = |connection: &&Rc<SharedConnection>| {
            let most = connection.sender.current_max_send_streams();
            connection.open.get() < STREAMS.min(u32::try_from(most).unwrap_or(STREAMS))
        };
        connections.iter().find(free).cloned().map(Http2::on)
    }

    /// Starts HTTP/2 on `io`. Returns its first stream after the replica's SETTINGS have arrived.
    pub(super) async fn open(
        &self,
        io: Transport<Socket>,
        limits: &Limits,
    ) -> Result<Http2, ConnectError> {
        let seen = Rc::<Observed>::default();
        let received = seen.received.clone();
        let io = Cork::new(ReadTrackingIo::new(io, seen));
        let header_bytes = u32::try_from(limits.header_bytes).unwrap_or(u32::MAX);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(header_bytes.max(64 * 1024))
            .max_send_buffer_size(SEND_BUFFER)
            // No stream may be opened before the replica's SETTINGS are known.
            .initial_max_send_streams(0);
        let opening = async {
            let handshake = builder.handshake::<_, Bytes>(io.clone());
            let (sender, mut connection) = handshake.await.map_err(refused)?;
            poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(refused(error))),
                Poll::Ready(Ok(())) => Poll::Ready(Err(going())),
                Poll::Pending if sender.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            })
            .await?;
            Ok::<_, ConnectError>((sender, connection))
        };
        let (sender, mut connection) = io.run(opening).await??;
        let ping = connection.ping_pong();
        let mut pinger = ping.map(|ping| Pinger::new(ping, REPLICA_SILENCE, received));
        let closed = Rc::new(Cell::new(false));
        let shared = Rc::new(SharedConnection {
            sender,
            open: Rc::default(),
            closed: closed.clone(),
            lifetime: Lifetime::begin(Nanos::now()),
        });
        self.0.borrow_mut().push(shared.clone());
        let open = shared.open.clone();
        // The task ends when the connection's last handle is dropped: the worker has dropped the
        // replica, and the last stream has ended. Workers do not steal tasks, so it stays on this
        // thread.
        tokio::spawn(SendWrapper::new(async move {
            let served = poll_fn(|cx| {
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                // No PING while the connection is idle.
                match &mut pinger {
                    Some(pinger) if open.get() > 0 => pinger.poll(cx).map(|()| None),
                    _ => Poll::Pending,
                }
            });
            match io.run(served).await {
                Ok(Some(Ok(()))) => {}
                Ok(None) => {
                    tracing::debug!("a replica did not answer an HTTP/2 PING: connection closed")
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a replica's HTTP/2 connection ended")
                }
                Err(error) => tracing::debug!(%error, "a replica's HTTP/2 connection broke"),
            }
            closed.set(true);
        }));
        Ok(Http2::on(shared))
    }
}

/// One request's stream. Dropping it before its end resets it.
#[derive(Debug)]
pub struct Http2 {
    connection: Rc<SharedConnection>,
    /// Sends the request's body; `None` when that is done.
    forwarder: Option<BodyForwarder<RequestBody>>,
}

impl Http2 {
    fn on(connection: Rc<SharedConnection>) -> Self {
        connection.open.set(connection.open.get() + 1);
        Self {
            connection,
            forwarder: None,
        }
    }

    /// Sends more of the request's body, if there is any.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(forwarder) = self
            .forwarder
            .as_mut()
            .filter(|forwarder| !forwarder.is_done())
        else {
            return;
        };
        match forwarder.poll(cx) {
            Poll::Pending => return,
            Poll::Ready(Err(ForwardError::Body(_))) => {
                forwarder.stream().send_reset(Reason::CANCEL)
            }
            // The response carries the error, or has arrived already.
            Poll::Ready(Ok(()) | Err(ForwardError::Stream)) => {}
        }
        forwarder.give_up();
    }

    /// Sends `request` and waits for the response's head.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Received>, SendError> {
        let mut sender = self.connection.sender.clone();
        if poll_fn(|cx| sender.poll_ready(cx)).await.is_err() {
            self.connection.closed.set(true);
            return Err(SendError::NotSent);
        }
        let (mut parts, body) = request.into_parts();
        parts.version = Version::HTTP_2;
        let end = body.is_end_stream();
        let sent = sender.send_request(Request::from_parts(parts, ()), end);
        let (mut response, stream) = match sent {
            Ok(sent) => sent,
            Err(_) => return Err(SendError::Unprocessed),
        };
        if !end {
            self.forwarder = Some(BodyForwarder::new(stream, body));
        }
        let response = poll_fn(|cx| {
            self.drive(cx);
            Pin::new(&mut response).poll(cx)
        })
        .await;
        match response {
            Ok(response) => {
                // The body was sent completely; free its forwarder.
                self.forwarder.take_if(|forwarder| forwarder.is_done());
                let (mut parts, stream) = response.into_parts();
                one_length(&mut parts.headers);
                let body = Received::http2(stream, &parts.headers, None);
                Ok(Response::from_parts(parts, body))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Keeps one of several lengths. h2 has checked the body against the first one, and the caller
/// might refuse duplicates (RFC 9110, 8.6).
fn one_length(headers: &mut HeaderMap) {
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some()
        && let Some(first) = headers.get(CONTENT_LENGTH).cloned()
    {
        headers.insert(CONTENT_LENGTH, first);
    }
}

/// Classifies the error of a stream that got no response.
fn failed(error: &h2::Error) -> SendError {
    let reason = error.reason();
    if error.is_remote()
        && (error.is_reset() && reason == Some(Reason::REFUSED_STREAM)
            || error.is_go_away() && reason == Some(Reason::NO_ERROR))
    {
        // Not processed: the stream is above the last one that the GOAWAY names.
        return SendError::Unprocessed;
    }
    SendError::Broken
}

/// The replica is shutting down (GOAWAY without an error): another replica may take the request.
fn going() -> ConnectError {
    ConnectError::Io(io::Error::new(
        io::ErrorKind::ConnectionRefused,
        "the replica is going away",
    ))
}

/// Why the HTTP/2 handshake failed.
fn refused(error: h2::Error) -> ConnectError {
    if error.is_remote() && error.is_go_away() && error.reason() == Some(Reason::NO_ERROR) {
        return going();
    }
    match error.into_io() {
        Some(error) => ConnectError::Io(error),
        // The replica did not answer in HTTP/2.
        None => ConnectError::NoHttp2,
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.open.set(self.connection.open.get() - 1);
    }
}
