//! A body into an HTTP/2 stream, as fast as the other side's window lets it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http_body::Body;

/// Sends `body`. No more is handed to the stream than its window takes, so
/// nothing waits there unseen, and what has ended has gone out but for the
/// connection's own buffer.
#[derive(Debug)]
pub struct BodyForwarder<B> {
    stream: SendStream<Bytes>,
    body: B,
    next: Next,
}

/// What is to be sent next.
#[derive(Debug)]
enum Next {
    /// Whatever the body has.
    Ask,
    /// The rest of a piece.
    Piece(Bytes),
    /// The end.
    End,
    /// Trailers, and with them the end.
    Trailers(HeaderMap),
    /// Nothing: all is sent.
    Done,
}

/// Why a body was not sent to its end.
#[derive(Debug)]
pub enum ForwardError<E> {
    /// It broke off itself.
    Body(E),
    /// The other side does not want it, or is gone.
    Stream,
}

impl<B: Body<Data = Bytes> + Unpin> BodyForwarder<B> {
    /// Sends `body` on `stream`, whose head has been sent.
    #[must_use]
    pub fn new(stream: SendStream<Bytes>, body: B) -> Self {
        Self {
            stream,
            body,
            next: Next::Ask,
        }
    }

    /// The body.
    pub fn body(&mut self) -> &mut B {
        &mut self.body
    }

    /// The stream, to be ended in another way.
    pub fn stream(&mut self) -> &mut SendStream<Bytes> {
        &mut self.stream
    }

    /// Sends nothing more.
    pub fn give_up(&mut self) {
        self.next = Next::Done;
    }

    /// Whether it is the other side's window that is waited for.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        matches!(self.next, Next::Piece(_))
    }

    /// Whether all has been sent.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.next, Next::Done)
    }

    /// Sends what can be sent. Ready once all is handed over.
    ///
    /// # Errors
    /// [`ForwardError`]; nothing more can be sent then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError<B::Error>>> {
        loop {
            match std::mem::replace(&mut self.next, Next::Done) {
                Next::Done => return Poll::Ready(Ok(())),
                Next::Ask => {
                    self.next = Next::Ask;
                    // Who leaves is noticed while the body has nothing, too.
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

    /// How much the window takes of what was reserved; at least 1.
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
        self.stream
            .send_data(part, end)
            .map_err(|_| ForwardError::Stream)
    }
}
