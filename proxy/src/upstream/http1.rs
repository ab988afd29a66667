//! One HTTP/1.1 connection to a replica.

use std::{
    cell::Cell,
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

use super::{io::ReadTrackingIo, send_error::SendError};
use crate::{
    exchange::{RequestBody, body::Received},
    net::{HYPER_HEADER_FIELDS, Transport},
};

/// A connection, and the means to send requests on it.
#[derive(Debug)]
pub struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    connection: Pin<Box<http1::Connection<TokioIo<ReadTrackingIo>, RequestBody>>>,
    closed: bool,
    /// Whether it has carried a request before.
    reused: bool,
    /// A close so soon after a request was under way before that arrived.
    race: Duration,
    /// Whether anything was received since the request was sent.
    answered: Rc<Cell<bool>>,
}

/// Bounds of the time within which a close is taken for one that was under way already.
const SHORTEST_RACE: Duration = Duration::from_millis(20);
const LONGEST_RACE: Duration = Duration::from_millis(100);

/// A request on a connection that has been used before, which the replica may be closing.
#[derive(Clone, Copy, Debug)]
struct Race {
    begun: Nanos,
    /// The request may be run twice (RFC 9110, 9.2.2).
    harmless: bool,
}

impl Race {
    /// Whether it may be sent once more, as the connection closed at `now` without a byte.
    fn is_lost(self, within: Duration, now: Nanos) -> bool {
        self.harmless || now.since(self.begun) <= within
    }
}

impl Http1 {
    /// Speaks HTTP/1.1 on `io`, which it took `connecting` to open.
    pub(super) async fn open(
        io: Transport<TcpStream>,
        limits: &Limits,
        connecting: Duration,
    ) -> io::Result<Self> {
        let answered = Rc::new(Cell::new(false));
        let io = TokioIo::new(ReadTrackingIo::new(io, answered.clone()));
        let mut builder = http1::Builder::new();
        if limits.header_fields > HYPER_HEADER_FIELDS {
            builder.max_headers(limits.header_fields);
        }
        let (sender, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            closed: false,
            reused: false,
            race: (2 * connecting).clamp(SHORTEST_RACE, LONGEST_RACE),
            answered,
        })
    }

    /// Whether it has carried a request before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Lets the connection make what progress it can. `cx` is woken when it
    /// can make more.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && self.connection.as_mut().poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// The bytes of the connection after it has been upgraded.
    ///
    /// # Errors
    /// If it broke.
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

    /// Whether a request can be sent now: it is open, and has ended the last one.
    pub fn is_ready(&mut self) -> bool {
        // Nobody needs to be woken: it is looked at before each use.
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.closed && self.sender.is_ready()
    }

    /// Sends `request` and waits for the response's head.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may be sent again.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Received>, SendError>> {
        self.answered.set(false);
        let race = std::mem::replace(&mut self.reused, true).then(|| Race {
            begun: Nanos::now(),
            harmless: request.method().is_idempotent(),
        });
        // Handed over before there is a future, which would keep room for it.
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
            self.understood(result, race)
        }
    }

    /// What came of a request; `None`: nothing before the connection closed.
    fn understood(
        &self,
        result: Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
        race: Option<Race>,
    ) -> Result<Response<Received>, SendError> {
        // A replica that has worked on it, and died of it, closes later than that.
        let unprocessed = || {
            let lost = race.is_some_and(|race| race.is_lost(self.race, Nanos::now()));
            lost && !self.answered.get()
        };
        match result {
            Some(Ok(response)) => Ok(response.map(Received::Http1)),
            Some(Err(mut error)) => match error.take_message() {
                Some(request) => Err(SendError::NotSent(Box::new(request))),
                None if error.error().is_parse_too_large() => Err(SendError::HeaderTooLarge),
                None if unprocessed() => Err(SendError::Unprocessed(None)),
                None => Err(SendError::Broken),
            },
            None if unprocessed() => Err(SendError::Unprocessed(None)),
            None => Err(SendError::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_processed_is_sent_again_only_if_that_does_no_harm() {
        let within = SHORTEST_RACE;
        for (milliseconds, harmless, again) in [
            (0, false, true),
            (20, false, true),
            (21, false, false),
            (1000, false, false),
            (1000, true, true),
        ] {
            let begun = Nanos(5);
            let race = Race { begun, harmless };
            let now = begun + Duration::from_millis(milliseconds);
            assert_eq!(race.is_lost(within, now), again, "{milliseconds} ms");
        }
    }
}
