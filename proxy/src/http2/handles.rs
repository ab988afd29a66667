//! The two directions of a stream, for whoever uses it.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;

use super::{
    Reason,
    error::Http2Error,
    session::Http2Session,
    streams::{ReceiveState, SendState, StreamKey},
};
use crate::message::{HeaderMap, Trailers};

/// A share in a stream. When the last one is dropped, the stream is reset if it has not ended.
#[derive(Debug)]
pub(super) struct Handle {
    session: Rc<RefCell<Http2Session>>,
    key: StreamKey,
}

impl Handle {
    pub(super) fn new(session: Rc<RefCell<Http2Session>>, key: StreamKey) -> Self {
        session.borrow_mut().add_handle(key);
        Self { session, key }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Http2Session, StreamKey) -> T) -> T {
        act(&mut self.session.borrow_mut(), self.key)
    }

    pub(super) fn another(&self) -> Self {
        Self::new(self.session.clone(), self.key)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.session.borrow_mut().drop_handle(self.key);
    }
}

/// The body that the peer sends. The peer may send more only as its pieces are taken, so a slow
/// consumer slows the sender.
#[derive(Debug)]
pub struct ReceiveStream(pub(super) Handle);

impl ReceiveStream {
    /// The next piece of the body, or its trailers. `None`: the body has ended.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http2Error>>> {
        self.0.with(|session, key| {
            if let Some(data) = session.take_data(key) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            let stream = session.streams.get(key);
            if let Some(trailers) = stream.arrived.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
            }
            match stream.inbound {
                ReceiveState::Ended => Poll::Ready(None),
                ReceiveState::Failed(error) => Poll::Ready(Some(Err(error))),
                ReceiveState::Head | ReceiveState::Body => {
                    stream.reader.add(cx);
                    Poll::Pending
                }
            }
        })
    }

    /// Whether all of the body was taken.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.0.with(|session, key| {
            let stream = session.streams.get(key);
            stream.inbound == ReceiveState::Ended && stream.arrived.is_empty()
        })
    }

    /// How many bytes of the body are to come, taken ones apart. `None`: the peer has not announced
    /// a length.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.0.with(|session, key| {
            let stream = session.streams.get(key);
            let to_arrive = match stream.inbound {
                ReceiveState::Ended => Some(0),
                _ => stream.left,
            };
            to_arrive.map(|left| left + stream.arrived.bytes as u64)
        })
    }
}

impl Drop for ReceiveStream {
    fn drop(&mut self) {
        self.0.with(|session, key| session.drop_reader(key));
    }
}

/// The message that this side sends.
#[derive(Debug)]
pub struct SendStream(pub(super) Handle);

impl SendStream {
    /// Sends the head of a response. `is_end`: it has no body.
    ///
    /// # Errors
    /// If the stream has ended.
    pub fn send_head(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        is_end: bool,
    ) -> Result<(), Http2Error> {
        self.0.with(|session, key| {
            session.send_block(key, is_end, |encoder, out| {
                encoder.status(status, out);
                for (name, value) in headers {
                    encoder.field(name, value, out);
                }
            })
        })
    }

    /// Ready with how many bytes can be sent now, of `wanted`; at least 1.
    ///
    /// # Errors
    /// If the stream has ended.
    pub fn poll_capacity(
        &mut self,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Http2Error>> {
        (self.0).with(|session, key| session.poll_capacity(key, wanted, cx))
    }

    /// Sends a piece of the body, of no more bytes than there is [capacity](Self::poll_capacity)
    /// for. `is_end`: it is the last one.
    ///
    /// # Errors
    /// If the stream has ended.
    pub fn send_data(&mut self, data: Bytes, is_end: bool) -> Result<(), Http2Error> {
        (self.0).with(|session, key| session.send_data(key, data, is_end))
    }

    /// Sends trailers, which end the stream.
    ///
    /// # Errors
    /// If the stream has ended.
    pub fn send_trailers(&mut self, trailers: &Trailers) -> Result<(), Http2Error> {
        (self.0).with(|session, key| session.send_trailers(key, trailers))
    }

    /// Resets the stream, unless it has ended.
    pub fn reset(&mut self, reason: Reason) {
        self.0.with(|session, key| session.reset(key, reason));
    }

    /// Ready once the stream has ended early: it was reset, or the connection broke.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Http2Error> {
        self.0.with(|session, key| {
            let stream = session.streams.get(key);
            match (stream.outbound, stream.inbound) {
                (SendState::Failed(error), _) | (_, ReceiveState::Failed(error)) => {
                    Poll::Ready(error)
                }
                _ => {
                    stream.writer.add(cx);
                    Poll::Pending
                }
            }
        })
    }
}
