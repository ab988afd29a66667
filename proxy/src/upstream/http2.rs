//! HTTP/2 to a replica: connections that requests share, and the stream of one request.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    rc::Rc,
    task::{Context, Poll},
};

use http::{HeaderName, HeaderValue, header::HOST, uri::Scheme};
use http_body::Body;
use send_wrapper::SendWrapper;
use tailback_config::Limits;
use tailback_scaler::clock::Nanos;

use super::{
    connector::ConnectError,
    io::{Observed, ReadTrackingIo},
    lifetime::Lifetime,
    send_error::SendError,
};
use crate::{
    exchange::{
        RequestBody,
        body::{BodyForwarder, ForwardError, Received},
    },
    http1::client::RequestHead,
    http2::{Http2Client, Http2Error, Http2Limits, Http2RequestHead, Http2Sender, Reason},
    message::Response,
    net::{
        Socket, Transport,
        keep_alive::{Pinger, REPLICA_SILENCE, Silence},
    },
};

/// Most streams on a connection, if the replica allows as many.
const STREAMS: u32 = 100;
/// Flow-control windows for responses, in bytes. The connection's window has room for all streams'
/// windows, so that a slow caller does not block other streams.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// A connection is closed after this many streams on which the replica broke a rule.
const ERRORS: usize = 1024;

/// A worker's HTTP/2 connections to one address.
#[derive(Debug, Default)]
pub(super) struct Multiplexed(RefCell<Vec<Rc<SharedConnection>>>);

/// One connection.
#[derive(Debug)]
pub(super) struct SharedConnection {
    sender: Http2Sender,
    /// Number of requests with a stream on it.
    open: Rc<Cell<u32>>,
    lifetime: Lifetime,
}

impl Multiplexed {
    /// Drops closed connections.
    pub(super) fn drop_closed(&self) {
        self.0
            .borrow_mut()
            .retain(|connection| !connection.sender.is_closed());
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
            connection.sender.has_capacity(connection.open.get())
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
        let bounds = Http2Limits {
            streams: STREAMS,
            stream_window: STREAM_WINDOW,
            window: CONNECTION_WINDOW,
            header_bytes: limits.header_bytes.max(64 * 1024),
            header_fields: limits.header_fields,
            early_resets: usize::MAX,
            errors: ERRORS,
        };
        let (mut connection, sender) = Http2Client::new(ReadTrackingIo::new(io, seen), bounds);
        // No stream may be opened before the replica's SETTINGS are known.
        poll_fn(|cx| match connection.poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(why_not_opened(error))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(going())),
            Poll::Pending if sender.is_ready() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        if sender.is_closed() {
            return Err(going());
        }
        let mut pinger = Pinger::new(REPLICA_SILENCE, received);
        let shared = Rc::new(SharedConnection {
            sender,
            open: Rc::default(),
            lifetime: Lifetime::begin(Nanos::now()),
        });
        self.0.borrow_mut().push(shared.clone());
        let open = shared.open.clone();
        // The task ends when the connection's last handle is dropped: the worker has dropped the
        // replica, and the last stream has ended. Workers do not steal tasks, so it stays on this
        // thread.
        tokio::spawn(SendWrapper::new(async move {
            let served = poll_fn(|cx| {
                if let Poll::Ready(ended) = connection.poll(cx) {
                    return Poll::Ready(Some(ended));
                }
                // No PING while the connection is idle.
                if open.get() > 0
                    && let Poll::Ready(silence) = pinger.poll(cx)
                {
                    match silence {
                        Silence::Ask => connection.ping(),
                        Silence::GiveUp => return Poll::Ready(None),
                    }
                }
                Poll::Pending
            });
            match served.await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%error, "a replica's HTTP/2 connection ended"),
                None => {
                    tracing::debug!("a replica did not answer an HTTP/2 PING: connection closed");
                }
            }
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
                forwarder.stream().reset(Reason::CANCEL);
            }
            // The response carries the error, or has arrived already.
            Poll::Ready(Ok(()) | Err(ForwardError::Stream)) => {}
        }
        forwarder.give_up();
    }

    /// Sends a request and waits for the response's head. `scheme` is the scheme by which the
    /// replica is reached. The head is sent at once.
    pub(super) fn send(
        &mut self,
        head: RequestHead<'_>,
        scheme: &Scheme,
        body: RequestBody,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> + use<'_> {
        let is_end = body.is_end_stream();
        let sent = (self.connection.sender).send(to_http2(&head, scheme), is_end);
        let sent = sent.map(|(response, stream)| {
            if !is_end {
                self.forwarder = Some(BodyForwarder::new(stream, body));
            }
            response
        });
        async move {
            let mut response = sent.map_err(|_| SendError::NotSent)?;
            let response = poll_fn(|cx| {
                self.drive(cx);
                response.poll(cx)
            })
            .await;
            // Once the body was sent completely, its forwarder is not needed.
            self.forwarder.take_if(|forwarder| forwarder.is_done());
            match response {
                Ok(response) => Ok(response.map(|stream| Received::http2(stream, None))),
                Err(error) => Err(failed(error)),
            }
        }
    }
}

/// A request in its form in HTTP/2 (RFC 9113, 8.3.1), with the host in the target.
fn to_http2<'a>(
    head: &RequestHead<'a>,
    scheme: &'a Scheme,
) -> Http2RequestHead<'a, impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> + use<'a>> {
    let authority = match head.host {
        Some(host) => Some(host.as_bytes()),
        None => head.headers.get(HOST).map(HeaderValue::as_bytes),
    };
    let added = head.added.iter().map(|(name, value)| (name, value));
    Http2RequestHead {
        method: head.method,
        scheme,
        authority: authority
            .filter(|host| !host.is_empty())
            .unwrap_or(b"localhost"),
        target: head.target,
        fields: head
            .headers
            .iter()
            .filter(|(name, _)| *name != HOST)
            .chain(added),
    }
}

/// Classifies the error of a stream that got no response.
fn failed(error: Http2Error) -> SendError {
    match error {
        Http2Error::Unprocessed(Reason::NO_ERROR) | Http2Error::Reset(Reason::REFUSED_STREAM) => {
            SendError::Unprocessed
        }
        Http2Error::HeaderTooLarge => SendError::HeaderTooLarge,
        Http2Error::Unprocessed(_)
        | Http2Error::Reset(_)
        | Http2Error::Cancelled(_)
        | Http2Error::Violation(_)
        | Http2Error::Io(_) => SendError::Broken,
    }
}

/// The replica is shutting down (GOAWAY without an error): another replica may take the request.
fn going() -> ConnectError {
    ConnectError::Io(io::Error::new(
        io::ErrorKind::ConnectionRefused,
        "the replica is going away",
    ))
}

/// Why HTTP/2 could not begin.
fn why_not_opened(error: Http2Error) -> ConnectError {
    match error {
        Http2Error::Io(kind) => ConnectError::Io(kind.into()),
        // The replica did not answer in HTTP/2.
        _ => ConnectError::NoHttp2,
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.open.set(self.connection.open.get() - 1);
    }
}
