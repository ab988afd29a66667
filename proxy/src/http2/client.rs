//! HTTP/2 towards replicas.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll},
};

use http::{HeaderName, HeaderValue, Method, uri::Scheme};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    driver::Driver,
    error::Http2Error,
    handles::{Handle, ReceiveStream, SendStream},
    session::{Http2Limits, Http2Session, Role},
    streams::ReceiveState,
};
use crate::message::Response;

/// A replica's connection, which its own task drives.
#[derive(Debug)]
pub struct Http2Client<T>(Driver<T>);

/// Opens streams on a connection. When it is dropped, the connection closes after its last stream.
#[derive(Debug)]
pub struct Http2Sender(Rc<RefCell<Http2Session>>);

/// The head of a request.
#[derive(Debug)]
pub struct Http2RequestHead<'a, F> {
    /// The method.
    pub method: &'a Method,
    /// The scheme.
    pub scheme: &'a Scheme,
    /// The host, and the port if there is one.
    pub authority: &'a [u8],
    /// The path, and the query if there is one. A query alone gets the path `/`.
    pub target: &'a str,
    /// All other fields.
    pub fields: F,
}

/// A response that is to come.
#[derive(Debug)]
pub struct PendingResponse(Handle);

impl<T: AsyncRead + AsyncWrite + Unpin> Http2Client<T> {
    /// Speaks HTTP/2 on `io`.
    #[must_use]
    pub fn new(io: T, limits: Http2Limits) -> (Self, Http2Sender) {
        let driver = Driver::new(io, Role::Client, limits);
        let sender = Http2Sender(driver.session.clone());
        (Self(driver), sender)
    }

    /// Reads and writes. Ready when the connection has ended.
    ///
    /// # Errors
    /// If it ended other than in an orderly way.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Http2Error>> {
        self.0.begin(cx);
        let mut polled = Poll::Ready(());
        while polled.is_ready() && self.0.session.borrow().ended.is_none() {
            polled = self.0.poll_read(cx);
        }
        let _ = self.0.poll_write(cx);
        let ended = {
            let session = self.0.session.borrow();
            match session.ended {
                Some(error) => Err(error),
                None if session.is_over() => Ok(()),
                None => return Poll::Pending,
            }
        };
        self.0
            .session
            .borrow_mut()
            .end(Http2Error::Io(std::io::ErrorKind::NotConnected));
        // As far as is possible at once: nobody waits for it.
        let _ = self.0.poll_close(cx);
        Poll::Ready(ended)
    }

    /// Sends a PING.
    pub fn ping(&mut self) {
        self.0.session.borrow_mut().ping();
    }
}

impl Http2Sender {
    /// Whether the replica's settings are known and allow a stream. Nothing is sent before that.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.borrow().peer.is_some_and(|peer| peer.streams > 0)
    }

    /// Whether one more stream can be opened beside `others`, some of which may not be open yet.
    #[must_use]
    pub fn has_capacity(&self, others: u32) -> bool {
        let session = self.0.borrow();
        let most = (session.peer).map_or(0, |peer| peer.streams.min(session.limits.streams));
        others < most && session.streams.open < most as usize && session.takes_streams()
    }

    /// Whether it takes no further stream.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let session = self.0.borrow();
        session.peer.is_some() && !session.takes_streams() || session.ended.is_some()
    }

    /// Sends the head of a request. `is_end`: it has no body.
    ///
    /// # Errors
    /// If the connection takes no stream. Nothing was sent.
    pub fn send<'a, F>(
        &self,
        head: Http2RequestHead<'a, F>,
        is_end: bool,
    ) -> Result<(PendingResponse, SendStream), Http2Error>
    where
        F: Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    {
        let key = self.0.borrow_mut().open()?;
        let handle = Handle::new(self.0.clone(), key);
        handle.with(|session, key| {
            session.streams.get(key).is_bodiless = head.method == Method::HEAD;
            session.send_block(key, is_end, |encoder, out| {
                encoder.method(head.method, out);
                encoder.scheme(*head.scheme == Scheme::HTTPS, out);
                encoder.authority(head.authority, out);
                match head.target.starts_with('?') {
                    true => encoder.path(format!("/{}", head.target).as_bytes(), out),
                    false => encoder.path(head.target.as_bytes(), out),
                }
                for (name, value) in head.fields {
                    encoder.field(name, value, out);
                }
            })
        })?;
        Ok((PendingResponse(handle.another()), SendStream(handle)))
    }
}

impl Drop for Http2Sender {
    fn drop(&mut self) {
        self.0.borrow_mut().go_away();
    }
}

impl PendingResponse {
    /// Ready with the response, once.
    ///
    /// # Errors
    /// If the stream ended before.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ReceiveStream>, Http2Error>> {
        let head = self.0.with(|session, key| {
            let stream = session.streams.get(key);
            if let Some(response) = stream.response.take() {
                return Poll::Ready(Ok(response));
            }
            if let ReceiveState::Failed(error) = stream.inbound {
                return Poll::Ready(Err(error));
            }
            stream.reader.add(cx);
            Poll::Pending
        });
        head.map_ok(|head| head.map(|()| ReceiveStream(self.0.another())))
    }
}
