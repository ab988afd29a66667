//! An HTTP/1.1 connection to a replica.

use std::{
    future::{Future, poll_fn},
    io,
    rc::Rc,
    task::Context,
    time::Duration,
};

use tailback_config::Limits;
use tailback_scaler::clock::Nanos;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    io::{Observed, ReadTrackingIo},
    lifetime::Lifetime,
    send_error::SendError,
};
use crate::{
    exchange::{RequestBody, body::Received},
    http1::client::{Http1Connection, RequestHead, ResponseError, response::HeadError},
    message::Response,
    net::{Socket, Transport},
};

/// A connection, and what was observed on it.
#[derive(Debug)]
pub struct Http1 {
    /// Boxed, because it is passed from request to request.
    connection: Box<Http1Connection<ReadTrackingIo, RequestBody>>,
    /// When the last request was sent on it, if one was.
    last_sent: Option<Nanos>,
    lifetime: Lifetime,
    seen: Rc<Observed>,
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
    /// Speaks HTTP/1.1 on `io`.
    pub(super) fn new(io: Transport<Socket>, limits: &Limits) -> Self {
        let seen = Rc::<Observed>::default();
        let io = ReadTrackingIo::new(io, seen.clone());
        Self {
            connection: Box::new(Http1Connection::new(io, limits.header_fields)),
            last_sent: None,
            lifetime: Lifetime::begin(Nanos::now()),
            seen,
        }
    }

    /// Whether the last request was sent on it within `time`.
    pub(super) fn was_used_within(&self, time: Duration) -> bool {
        let since = |sent| Nanos::now().since(sent);
        self.last_sent.is_some_and(|sent| since(sent) <= time)
    }

    /// Whether it has been used for so long that it must take no further request.
    pub(super) fn is_worn(&self) -> bool {
        self.last_sent
            .is_some_and(|sent| self.lifetime.is_over(sent))
    }

    /// Drives the connection. `cx` is woken when it can make more progress.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.connection.drive(cx);
    }

    /// The byte stream of the connection after an upgrade.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn into_io(mut self) -> io::Result<impl AsyncRead + AsyncWrite> {
        let sent = poll_fn(|cx| self.connection.poll_send(cx)).await;
        sent.map_err(io::Error::other)?;
        let (io, unread) = self.connection.into_parts();
        Ok(io.into_unread(unread))
    }

    /// Whether it can take a request now: it is open, and its last response is complete.
    pub fn is_ready(&mut self) -> bool {
        self.connection.is_ready()
    }

    /// Like [`is_ready`](Self::is_ready), but asks the kernel now whether the replica has closed
    /// the connection. Otherwise that is noticed only when the runtime has polled the socket.
    pub(super) fn is_still_open(&mut self) -> bool {
        self.seen.probe.set(true);
        self.is_ready()
    }

    /// Sends a request and waits for the response's head.
    ///
    /// # Errors
    /// [`SendError`], which says whether the request may be retried.
    pub fn send(
        &mut self,
        head: RequestHead<'_>,
        body: RequestBody,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> + use<'_> {
        self.seen.received.set(false);
        self.seen.written.set(0);
        let begun = Nanos::now();
        let reused = self.last_sent.replace(begun).is_some();
        self.lifetime.request();
        let idempotent = head.method.is_idempotent();
        self.connection.begin(head, body);
        async move {
            let failure = match poll_fn(|cx| self.connection.poll_response(cx)).await {
                Ok(response) => return Ok(response.map(Received::Http1)),
                Err(failure) => failure,
            };
            tracing::debug!(%failure, "no answer of a replica");
            Err(match failure {
                ResponseError::Head(HeadError::TooLarge) => SendError::HeaderTooLarge,
                ResponseError::Head(HeadError::Malformed) | ResponseError::Request => {
                    SendError::Broken
                }
                ResponseError::Closed | ResponseError::Io(_) if self.seen.received.get() => {
                    SendError::Broken
                }
                ResponseError::Closed | ResponseError::Io(_) if self.seen.written.get() == 0 => {
                    SendError::NotSent
                }
                ResponseError::Closed | ResponseError::Io(_) => {
                    let unanswered = Unanswered {
                        after: Nanos::now().since(begun),
                        reused,
                        idempotent,
                        written: self.seen.written.get(),
                        unacknowledged: self.seen.unacknowledged.get(),
                    };
                    match unanswered.is_unprocessed() {
                        true => SendError::Unprocessed,
                        false => SendError::Broken,
                    }
                }
            })
        }
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
