//! Sends a body on an HTTP/2 stream, as fast as the peer's flow-control window allows.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;

use crate::{http2::SendStream, message::Trailers};

/// Sends `body` on `stream`. When it is done, the bytes may still be in the connection's buffer.
#[derive(Debug)]
pub struct BodyForwarder<B> {
    stream: SendStream,
    body: B,
    next: Next,
    /// Bytes passed to the stream.
    sent: u64,
}

/// What is sent next.
#[derive(Debug)]
enum Next {
    /// The next frame of the body.
    Ask,
    /// The rest of a piece that exceeded the window.
    Piece(Bytes),
    /// The end of the stream.
    End,
    /// Trailers, which end the stream.
    Trailers(Trailers),
    /// Nothing: everything was sent.
    Done,
}

/// Why a body was not sent completely.
#[derive(Debug)]
pub enum ForwardError<E> {
    /// The body failed.
    Body(E),
    /// The peer has reset the stream, or the connection is gone.
    Stream,
}

impl<B: Body<Data = Bytes> + Unpin> BodyForwarder<B> {
    /// Sends `body` on `stream`, whose header was sent already.
    #[must_use]
    pub fn new(stream: SendStream, body: B) -> Self {
        Self {
            stream,
            body,
            next: Next::Ask,
            sent: 0,
        }
    }

    /// The number of bytes passed to the stream.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The body.
    pub fn body(&mut self) -> &mut B {
        &mut self.body
    }

    /// The stream, for example to reset it.
    pub fn stream(&mut self) -> &mut SendStream {
        &mut self.stream
    }

    /// Stops sending.
    pub fn give_up(&mut self) {
        self.next = Next::Done;
    }

    /// Whether it waits for the peer to enlarge its window, or for its turn on the connection.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(self.next, Next::Piece(_))
    }

    /// Whether everything was sent, or sending was given up.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.next, Next::Done)
    }

    /// Sends as much as possible. Ready once everything was passed to the stream.
    ///
    /// # Errors
    /// [`ForwardError`]; nothing more can be sent afterwards.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError<B::Error>>> {
        loop {
            match std::mem::replace(&mut self.next, Next::Done) {
                Next::Done => return Poll::Ready(Ok(())),
                Next::Ask => {
                    self.next = Next::Ask;
                    // Also notices a reset while the body has nothing to send.
                    if self.stream.poll_reset(cx).is_ready() {
                        return Poll::Ready(Err(ForwardError::Stream));
                    }
                    self.next = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                        None => Next::End,
                        Some(Err(error)) => return Poll::Ready(Err(ForwardError::Body(error))),
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) if data.is_empty() => Next::Ask,
                            Ok(data) => Next::Piece(data),
                            Err(frame) => frame.into_trailers().map_or(Next::Ask, Next::Trailers),
                        },
                    };
                }
                Next::Piece(mut piece) => {
                    let Poll::Ready(capacity) = self.stream.poll_capacity(piece.len(), cx) else {
                        self.next = Next::Piece(piece);
                        return Poll::Pending;
                    };
                    let part = piece.split_to(capacity.map_err(|_| ForwardError::Stream)?);
                    self.next = if !piece.is_empty() {
                        Next::Piece(piece)
                    } else if self.body.is_end_stream() {
                        Next::Done
                    } else {
                        Next::Ask
                    };
                    let end = matches!(self.next, Next::Done);
                    self.send(part, end)?;
                }
                Next::End => self.send(Bytes::new(), true)?,
                Next::Trailers(trailers) => self
                    .stream
                    .send_trailers(&trailers)
                    .map_err(|_| ForwardError::Stream)?,
            }
        }
    }

    fn send(&mut self, part: Bytes, end: bool) -> Result<(), ForwardError<B::Error>> {
        self.sent += part.len() as u64;
        self.stream
            .send_data(part, end)
            .map_err(|_| ForwardError::Stream)
    }
}
