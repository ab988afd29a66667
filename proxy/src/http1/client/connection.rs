//! A connection to a replica, with the state of its present request.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    request::{RequestHead, write_head},
    response::{self, Head, HeadError},
};
use crate::{
    http1::{
        Http1Body, Http1BodyError,
        body::FrameBuffer,
        decoder::{BodyDecoder, DecodedFrame},
        encoding::Encoding,
        input::Input,
        outbox::Outbox,
    },
    message::Response,
};

/// A connection to a replica. It serves one request at a time.
#[derive(Debug)]
pub struct Http1Connection<S, B> {
    io: S,
    /// Most fields in the header of an answer.
    fields: usize,
    sending: Sending<B>,
    outbox: Outbox,
    /// Whether the byte stream may have buffered some of what was written.
    needs_flush: bool,
    reading: Reading,
    input: Input,
    /// Whether the last answer allows another request.
    keep_alive: bool,
    frames: Rc<FrameBuffer>,
}

#[derive(Debug)]
enum Sending<B> {
    /// More of the body may follow.
    Body(B, Encoding),
    /// The whole request is in the outbox, or in the byte stream's buffer.
    Flush,
    /// Everything was sent.
    Done,
    /// The replica closed its receiving side. It may have answered before.
    Refused,
}

#[derive(Debug)]
enum Reading {
    /// No answer is expected.
    Idle,
    /// The header of the answer to a request by this method is expected. `seen`: the first bytes,
    /// which are known not to contain its end. `interim`: the number of interim answers before it.
    Head {
        method: Method,
        seen: usize,
        interim: usize,
    },
    Body(BodyDecoder),
    /// The connection has changed to another protocol.
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
    /// The bytes received are no answer, or its header is too large.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The request's body failed, or its length is not the announced one.
    #[error("the body of the request broke off")]
    Request,
}

impl<S, B> Http1Connection<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
{
    /// Speaks HTTP/1.1 on `io`. The header of an answer may have up to `fields` fields.
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

    /// Whether a request can be sent now: the last exchange has ended, and the connection is open.
    pub fn is_ready(&mut self) -> bool {
        // No task needs to be woken, because this is called before each use.
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx);
        let is_idle = matches!(self.reading, Reading::Idle);
        if !is_idle || !matches!(self.sending, Sending::Done) {
            return false;
        }
        // Either the end of the stream, or bytes that belong to no answer: the connection cannot
        // be used.
        let mut byte = [0];
        let read = Pin::new(&mut self.io).poll_read(&mut cx, &mut ReadBuf::new(&mut byte));
        if read.is_ready() {
            self.close();
        }
        read.is_pending()
    }

    /// Begins to send a request, which [`poll_response`](Self::poll_response) continues. Only for
    /// a connection that [`is_ready`](Self::is_ready).
    pub fn begin(&mut self, head: RequestHead<'_>, body: B) {
        let encoding = write_head(head, &body, self.outbox.head());
        self.sending = if body.is_end_stream() {
            Sending::Flush
        } else {
            Sending::Body(body, encoding)
        };
        let method = head.method.clone();
        self.reading = Reading::Head {
            method,
            seen: 0,
            interim: 0,
        };
    }

    /// Sends the request and reads until the header of the answer is complete.
    ///
    /// # Errors
    /// [`ResponseError`]; the connection cannot be used afterwards.
    pub fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Http1Body>, ResponseError>> {
        let result = match self.poll_send(cx) {
            // The replica may have answered before it closed its receiving side.
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
        // The body of the last answer may still have a consumer.
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

    /// Continues to send the request and to read the answer's body, as far as possible without
    /// waiting. `cx` is woken when more is possible.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(ResponseError::Request)) = self.poll_send(cx) {
            // The request's body has failed. Closing the connection tells the replica, which waits
            // for the rest.
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

    /// The byte stream, and the bytes that were read from it and belong to no message.
    #[must_use]
    pub fn into_parts(self) -> (S, Bytes) {
        (self.io, self.input.unread.freeze())
    }

    /// Sends the request as far as it is available. Ready when all of it was sent.
    ///
    /// # Errors
    /// If it cannot be sent.
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

    /// Moves available frames of the body into the outbox, as far as it has room.
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
            if let Reading::Head {
                method,
                seen,
                interim,
            } = &mut self.reading
                && self.input.may_have_head(*seen, response::HEAD_BYTES)
            {
                match response::parse(&mut self.input.unread, method, self.fields, interim) {
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

    /// Decodes the next part of the answer's body, if its consumer waits for one and it has been
    /// read. Returns whether the body has ended.
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

    /// Handles the end of an answer.
    fn end_response(&mut self) {
        self.frames.end();
        if self.keep_alive && self.input.unread.is_empty() {
            self.reading = Reading::Idle;
        } else {
            self.close();
        }
        // An idle connection keeps no buffer.
        self.input = Input::default();
    }

    fn close(&mut self) {
        self.reading = Reading::Closed;
        self.sending = Sending::Refused;
    }
}
