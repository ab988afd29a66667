//! An HTTP/1.1 connection to a replica.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tailback_config::Limits;
use tailback_scaler::clock::Nanos;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    io::{ReadTrackingIo, Seen},
    send_error::SendError,
};
use crate::{
    exchange::{RequestBody, body::Received},
    net::{HYPER_HEADER_FIELDS, Transport},
};

/// A connection, driven by the request that holds it.
#[derive(Debug)]
pub struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    connection: Pin<Box<http1::Connection<TokioIo<ReadTrackingIo>, RequestBody>>>,
    closed: bool,
    /// When the last request was sent on it; `None` if it is unused.
    last_sent: Option<Nanos>,
    seen: Rc<Seen>,
}

/// If a reused connection closes within this time of a request, the replica was closing it already,
/// although its host took the request's bytes. A server that has read the request takes longer to
/// fail.
const CLOSING: Duration = Duration::from_millis(5);

/// A request whose connection ended before any byte of a response.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    /// From its first byte sent to the end of the connection.
    after: Duration,
    /// The connection had carried a request before, so the replica may have been closing it as
    /// idle.
    reused: bool,
    /// The request's method is idempotent (RFC 9110, 9.2.2).
    idempotent: bool,
    /// Bytes of the request that were written.
    written: u64,
    /// Bytes that the replica's host never acknowledged, if known. With TLS, this includes TLS
    /// overhead and may exceed `written`.
    unacknowledged: Option<u64>,
}

impl Unanswered {
    /// Whether the request may be retried: the replica has not read it, or very likely has not, or
    /// processing it twice does no harm.
    ///
    /// A FIN acknowledges everything received before it. A reset does not, and is sent when a
    /// process closes its socket with unread bytes. So unacknowledged bytes were not read.
    fn is_unprocessed(self) -> bool {
        let untouched = self
            .unacknowledged
            .is_some_and(|bytes| bytes >= self.written);
        untouched || self.reused && (self.idempotent || self.after <= CLOSING)
    }
}

impl Http1 {
    /// Starts HTTP/1.1 on `io`.
    pub(super) async fn open(io: Transport<TcpStream>, limits: &Limits) -> io::Result<Self> {
        let seen = Rc::<Seen>::default();
        let io = TokioIo::new(ReadTrackingIo::new(io, seen.clone()));
        let mut builder = http1::Builder::new();
        if limits.header_fields > HYPER_HEADER_FIELDS {
            builder.max_headers(limits.header_fields);
        }
        let (sender, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            closed: false,
            last_sent: None,
            seen,
        })
    }

    /// Whether the last request was sent on it within `time`.
    pub(super) fn was_used_within(&self, time: Duration) -> bool {
        let since = |sent| Nanos::now().since(sent);
        self.last_sent.is_some_and(|sent| since(sent) <= time)
    }

    /// Drives the connection. `cx` is woken when it can make more progress.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && self.connection.as_mut().poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// The byte stream of the connection after an upgrade.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn into_io(mut self) -> io::Result<impl AsyncRead + AsyncWrite> {
        poll_fn(|cx| {
            self.drive(cx);
            if self.closed {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let parts = Pin::into_inner(self.connection).into_parts();
        Ok(parts.io.into_inner().into_unread(parts.read_buf))
    }

    /// Whether it can take a request now: it is open, and its last response is complete.
    pub fn is_ready(&mut self) -> bool {
        // No waker needed: it is checked before each use.
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.closed && self.sender.is_ready()
    }

    /// Like [`is_ready`](Self::is_ready), but asks the kernel now whether the replica has closed
    /// the connection. Otherwise that is noticed only when the runtime has polled the socket.
    pub(super) fn is_still_open(&mut self) -> bool {
        self.seen.probe.set(true);
        self.is_ready()
    }

    /// Sends `request` and waits for the response's head.
    ///
    /// # Errors
    /// [`SendError`], which says whether the request may be retried.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> {
        self.seen.received.set(false);
        self.seen.written.set(0);
        let begun = Nanos::now();
        let reused = self.last_sent.replace(begun).is_some();
        let idempotent = request.method().is_idempotent();
        // Sent here, not inside the future, whose size the request would add to.
        let response = self.sender.try_send_request(request);
        async move {
            let mut response = pin!(response);
            let result = poll_fn(|cx| {
                let first = response.as_mut().poll(cx);
                if first.is_ready() {
                    return first.map(Some);
                }
                self.drive(cx);
                match response.as_mut().poll(cx) {
                    Poll::Pending if self.closed => Poll::Ready(None),
                    polled => polled.map(Some),
                }
            })
            .await;
            let unanswered = || {
                (!self.seen.received.get()).then(|| Unanswered {
                    after: Nanos::now().since(begun),
                    reused,
                    idempotent,
                    written: self.seen.written.get(),
                    unacknowledged: self.seen.unacknowledged.get(),
                })
            };
            understood(result, unanswered)
        }
    }
}

/// Classifies the result of a request. `None`: the connection closed first.
fn understood(
    result: Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
    unanswered: impl Fn() -> Option<Unanswered>,
) -> Result<Response<Received>, SendError> {
    let unprocessed = || unanswered().is_some_and(Unanswered::is_unprocessed);
    match result {
        Some(Ok(response)) => Ok(response.map(Received::Http1)),
        Some(Err(mut error)) => match error.take_message() {
            Some(_) => Err(SendError::NotSent),
            None if error.error().is_parse_too_large() => Err(SendError::HeaderTooLarge),
            None if unprocessed() => Err(SendError::Unprocessed),
            None => Err(SendError::Broken),
        },
        None if unprocessed() => Err(SendError::Unprocessed),
        None => Err(SendError::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_sent_again_only_if_unread_or_harmless_twice() {
        const NONE: Option<u64> = None;
        for (milliseconds, reused, idempotent, unacknowledged, again) in [
            // Nothing was acknowledged.
            (1000, false, false, Some(300), true),
            (1000, true, false, Some(322), true),
            // Some or all was acknowledged.
            (1000, true, false, Some(299), false),
            (1000, true, false, Some(0), false),
            (6, true, false, Some(0), false),
            (5, true, false, Some(0), true),
            (5, false, false, Some(0), false),
            (1000, true, true, Some(0), true),
            (1000, false, true, Some(0), false),
            // It is unknown what was acknowledged.
            (0, true, false, NONE, true),
            (6, true, false, NONE, false),
            (0, false, false, NONE, false),
        ] {
            let unanswered = Unanswered {
                after: Duration::from_millis(milliseconds),
                reused,
                idempotent,
                written: 300,
                unacknowledged,
            };
            assert_eq!(unanswered.is_unprocessed(), again, "{unanswered:?}");
        }
    }
}
