//! One connection, with the state of the request that it serves.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    request::{RequestHead, write_head},
    response::{self, Head, HeadError},
};
use crate::http1::{
    Http1Body, Http1BodyError,
    body::FrameBuffer,
    decoder::{BodyDecoder, DecodedFrame},
    encoding::Encoding,
    input::Input,
    outbox::Outbox,
};

/// A connection. One request at a time.
#[derive(Debug)]
pub struct Http1Connection<S, B> {
    io: S,
    /// Fields of an answer's head at most.
    fields: usize,
    sending: Sending<B>,
    outbox: Outbox,
    /// What is below may keep some of what was written.
    needs_flush: bool,
    reading: Reading,
    input: Input,
    /// The last answer allows another request.
    keep_alive: bool,
    frames: Rc<FrameBuffer>,
}

#[derive(Debug)]
enum Sending<B> {
    /// More of the body may come.
    Body(B, Encoding),
    /// The body is in the outbox, or beyond.
    Flush,
    /// All has gone out.
    Done,
    /// The replica takes nothing more. It may have answered.
    Refused,
}

#[derive(Debug)]
enum Reading {
    /// Nothing is awaited.
    Idle,
    /// The head of an answer to a request by this method. `seen`: bytes in which its end is not.
    Head {
        method: Method,
        seen: usize,
    },
    Body(BodyDecoder),
    /// Another protocol follows.
    Upgraded,
    /// Nothing more is read.
    Closed,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The replica closed the connection.
    #[error("the replica closed the connection")]
    Closed,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is no answer, or more than is read.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The request's body broke off, or is not as long as its head says.
    #[error("the body of the request broke off")]
    Request,
}

impl<S, B> Http1Connection<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
{
    /// Speaks HTTP/1.1 on `io`. Answers may have so many `fields`.
    #[must_use]
    pub fn new(io: S, fields: usize) -> Self {
        Self {
            io,
            fields,
            sending: Sending::Done,
            outbox: Outbox::default(),
            needs_flush: false,
            reading: Reading::Idle,
            input: Input::default(),
            keep_alive: true,
            frames: Rc::default(),
        }
    }

    /// Whether a request can be begun now: all before it is over, and the connection is open.
    pub fn is_ready(&mut self) -> bool {
        // Nobody needs to be woken: it is looked at before each use.
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx);
        let is_idle = matches!(self.reading, Reading::Idle);
        if !is_idle || !matches!(self.sending, Sending::Done) {
            return false;
        }
        // Its end, or bytes that nobody asked for: it cannot be used either way.
        let mut byte = [0];
        let read = Pin::new(&mut self.io).poll_read(&mut cx, &mut ReadBuf::new(&mut byte));
        if read.is_ready() {
            self.close();
        }
        read.is_pending()
    }

    /// Begins to send a request; [`poll_response`](Self::poll_response) goes on. To be called when
    /// the connection [`is_ready`](Self::is_ready).
    pub fn begin(&mut self, head: RequestHead<'_>, body: B) {
        let encoding = write_head(head, &body, self.outbox.head());
        self.sending = if body.is_end_stream() {
            Sending::Flush
        } else {
            Sending::Body(body, encoding)
        };
        let method = head.method.clone();
        self.reading = Reading::Head { method, seen: 0 };
    }

    /// Sends the request and reads, until the head of the answer is there.
    ///
    /// # Errors
    /// [`ResponseError`]; the connection cannot be used any more.
    pub fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Http1Body>, ResponseError>> {
        let result = match self.poll_send(cx) {
            // An answer may have come before the replica refused the rest.
            Poll::Ready(Ok(()) | Err(ResponseError::Io(_))) | Poll::Pending => {
                ready!(self.poll_head(cx))
            }
            Poll::Ready(Err(failure)) => Err(failure),
        };
        let head = match result {
            Ok(head) => head,
            Err(failure) => {
                self.close();
                return Poll::Ready(Err(failure));
            }
        };
        self.keep_alive = head.keep_alive;
        let decoder = BodyDecoder::new(head.framing);
        // The last answer's body may still be with somebody.
        if Rc::strong_count(&self.frames) > 1 {
            self.frames = Rc::default();
        }
        self.frames.renew(decoder.left());
        if head.is_upgrade {
            self.reading = Reading::Upgraded;
            self.frames.end();
        } else {
            self.reading = Reading::Body(decoder);
            if self.decode() {
                self.end_response();
            }
        }
        let body = Http1Body(self.frames.clone());
        Poll::Ready(Ok(head.response.map(|()| body)))
    }

    /// Makes what progress can be made with the rest of the request and the answer's body. `cx` is
    /// woken when there can be more.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(ResponseError::Request)) = self.poll_send(cx) {
            // The replica would wait for the rest: it is told by the connection's end.
            if matches!(self.reading, Reading::Body(_)) {
                self.frames.fail(Http1BodyError::Request);
            }
            self.close();
        }
        // No more than somebody asks for: the caller may be slower than the replica.
        while matches!(self.reading, Reading::Body(_)) && self.frames.is_asked() {
            if self.decode() {
                return self.end_response();
            }
            if !self.frames.is_asked() {
                return;
            }
            let Poll::Ready(read) = self.input.poll_fill(&mut self.io, cx) else {
                return;
            };
            let Reading::Body(decoder) = &mut self.reading else {
                return;
            };
            let ended = match read {
                Ok(0) => decoder.end_of_input().map_err(Http1BodyError::Malformed),
                Ok(_) => continue,
                Err(error) => Err(Http1BodyError::Io(error)),
            };
            match ended {
                Ok(()) => self.frames.end(),
                Err(error) => self.frames.fail(error),
            }
            self.close();
        }
    }

    /// What is below, with the bytes that were read of it and belong to nobody yet.
    #[must_use]
    pub fn into_parts(self) -> (S, Bytes) {
        (self.io, self.input.unread.freeze())
    }

    /// Sends what there is of the request. Ready when all has gone out.
    ///
    /// # Errors If it cannot.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ResponseError>> {
        if matches!(self.sending, Sending::Done | Sending::Refused) {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.gather(cx)?;
            self.needs_flush |= !self.outbox.is_empty();
            if !self.needs_flush && matches!(self.sending, Sending::Body(..)) {
                return Poll::Pending;
            }
            let io = &mut self.io;
            let mut written = self.outbox.poll_write(io, cx);
            if matches!(written, Poll::Ready(Ok(()))) {
                written = Pin::new(io).poll_flush(cx);
            }
            match ready!(written) {
                Ok(()) => {
                    self.needs_flush = false;
                    if matches!(self.sending, Sending::Flush) {
                        self.sending = Sending::Done;
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(error) => {
                    self.sending = Sending::Refused;
                    self.outbox.release();
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }

    /// Takes what there is of the body into the outbox, as far as that has room.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), ResponseError> {
        while let Sending::Body(body, encoding) = &mut self.sending
            && self.outbox.takes_more()
        {
            let ended = match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(Err(_))) => None,
                Poll::Ready(Some(Ok(frame))) => match self.outbox.frame(frame, encoding) {
                    Some(false) if body.is_end_stream() => self.outbox.end(encoding).map(|()| true),
                    ended => ended,
                },
                Poll::Ready(None) => self.outbox.end(encoding).map(|()| true),
            };
            match ended {
                Some(false) => {}
                Some(true) => self.sending = Sending::Flush,
                None => {
                    self.sending = Sending::Refused;
                    return Err(ResponseError::Request);
                }
            }
        }
        Ok(())
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, ResponseError>> {
        loop {
            if let Reading::Head { method, seen } = &mut self.reading
                && self.input.may_have_head(*seen, response::HEAD_BYTES)
            {
                match response::parse(&mut self.input.unread, method, self.fields) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => *seen = self.input.unread.len(),
                    Err(error) => return Poll::Ready(Err(error.into())),
                }
            }
            match ready!(self.input.poll_fill(&mut self.io, cx)) {
                Ok(0) => return Poll::Ready(Err(ResponseError::Closed)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Puts the next part of the body, if it has been read, where it is asked for. Whether the body
    /// has ended.
    fn decode(&mut self) -> bool {
        let Reading::Body(decoder) = &mut self.reading else {
            return false;
        };
        match decoder.decode(&mut self.input.unread) {
            Ok(None) => {}
            Ok(Some(DecodedFrame::Data(data))) => {
                self.frames.put(Frame::data(data), decoder.left())
            }
            Ok(Some(DecodedFrame::Trailers(fields))) => {
                self.frames.put(Frame::trailers(fields), None)
            }
            Err(error) => {
                self.frames.fail(error.into());
                self.close();
                return false;
            }
        }
        decoder.is_ended()
    }

    /// The answer has come to its end.
    fn end_response(&mut self) {
        self.frames.end();
        if self.keep_alive && self.input.unread.is_empty() {
            self.reading = Reading::Idle;
        } else {
            self.close();
        }
        // An idle connection needs no memory but its own.
        self.input = Input::default();
    }

    fn close(&mut self) {
        self.reading = Reading::Closed;
        self.sending = Sending::Refused;
    }
}
