//! Sends a body on an HTTP/2 stream, as fast as the peer's flow-control window allows.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http_body::Body;

/// Sends `body` on `stream`. It passes h2 no more than the window allows, so that nothing queues
/// there. When it is done, the bytes may still be in the connection's buffer.
#[derive(Debug)]
pub struct BodyForwarder<B> {
    stream: SendStream<Bytes>,
    body: B,
    next: Next,
    /// Bytes passed to h2.
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
    Trailers(HeaderMap),
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
    pub fn new(stream: SendStream<Bytes>, body: B) -> Self {
        Self {
            stream,
            body,
            next: Next::Ask,
            sent: 0,
        }
    }

    /// The number of bytes passed to h2.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The body.
    pub fn body(&mut self) -> &mut B {
        &mut self.body
    }

    /// The stream, for example to reset it.
    pub fn stream(&mut self) -> &mut SendStream<Bytes> {
        &mut self.stream
    }

    /// Stops sending.
    pub fn give_up(&mut self) {
        self.next = Next::Done;
    }

    /// Whether it waits for the peer to enlarge its window.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(self.next, Next::Piece(_))
    }

    /// Whether everything was sent, or sending was given up.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.next, Next::Done)
    }

    /// Sends as much as possible. Ready once everything was passed to h2.
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
                            Ok(data) => {
                                self.stream.reserve_capacity(data.len());
                                Next::Piece(data)
                            }
                            Err(frame) => frame.into_trailers().map_or(Next::Ask, Next::Trailers),
                        },
                    };
                }
                Next::Piece(mut piece) => {
                    let room = match self.room(cx) {
                        Poll::Ready(room) => room?,
                        Poll::Pending => {
                            self.next = Next::Piece(piece);
                            return Poll::Pending;
                        }
                    };
                    let part = piece.split_to(room.min(piece.len()));
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
                    .send_trailers(trailers)
                    .map_err(|_| ForwardError::Stream)?,
            }
        }
    }

    /// How many of the reserved bytes the window allows; at least 1.
    fn room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, ForwardError<B::Error>>> {
        loop {
            match self.stream.capacity() {
                0 => match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(Err(ForwardError::Stream)),
                },
                room => return Poll::Ready(Ok(room)),
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
