//! A connection of a caller, with the state of its present request.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    request::{self, RequestHeadError},
    response::Asked,
    writer::{DeliveryError, ResponseWriter},
};
use crate::{
    http1::{
        Http1Body, Http1BodyError,
        body::FrameBuffer,
        decoder::{BodyDecoder, DecodedFrame, Framing, Malformed},
        input::Input,
    },
    message::{Request, ResponseParts},
};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How many reads are made to skip the rest of a body that is not consumed, so that the connection
/// can serve another request.
const MOST_READS: u32 = 4;

/// Bounds of a request's header.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Most fields.
    pub header_fields: usize,
    /// Most bytes.
    pub header_bytes: usize,
}

/// A connection of a caller. It is a state machine: the request's task reads a header from it,
/// sends the answer, and meanwhile polls it for the rest of the request and for the caller's end.
#[derive(Debug)]
pub struct ServerConnection<S> {
    io: S,
    limits: ServerLimits,
    input: Input,
    reading: Reading,
    frames: Rc<FrameBuffer>,
    /// Whether the caller waits for `100 Continue`.
    awaits_continue: bool,
    asked: Asked,
    /// Whether another request may follow.
    keep_alive: bool,
    writer: ResponseWriter,
}

#[derive(Debug)]
enum Reading {
    /// The header of a request is expected. `seen`: the first bytes, which are known not to
    /// contain its end.
    Head {
        seen: usize,
    },
    Body(BodyDecoder),
    /// The request is complete. The caller may send the next one.
    Ended,
    /// Nothing more is read.
    Closed,
}

/// The result of reading while a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// There is a new frame of the request's body, or its end, or an error.
    Body,
    /// The caller has closed the connection, or the connection broke.
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerConnection<S> {
    /// Speaks HTTP/1.1 on `io`.
    #[must_use]
    pub fn new(io: S, limits: ServerLimits) -> Self {
        Self {
            io,
            limits,
            input: Input::default(),
            reading: Reading::Head { seen: 0 },
            frames: Rc::default(),
            awaits_continue: false,
            asked: Asked::new(Version::HTTP_11, &Method::GET, false),
            keep_alive: true,
            writer: ResponseWriter::default(),
        }
    }

    /// The connection's byte stream.
    pub fn io(&mut self) -> &mut S {
        &mut self.io
    }

    /// The byte stream, and the bytes that were read from it and belong to no message.
    #[must_use]
    pub fn into_parts(mut self) -> (S, Bytes) {
        if matches!(self.reading, Reading::Body(_)) {
            // Nobody reads the rest, and somebody may wait for it.
            self.fail_request(Malformed::Incomplete.into());
        }
        (self.io, self.input.unread.freeze())
    }

    /// Whether bytes of a following request were read.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        !self.input.unread.is_empty()
    }

    /// Whether all of the present request was read.
    #[must_use]
    pub fn has_whole_request(&self) -> bool {
        matches!(self.reading, Reading::Ended)
    }

    /// Reads until the header of a request is complete. `None`: the caller has closed the
    /// connection.
    ///
    /// # Errors
    /// [`RequestHeadError`], for the caller to be [told](Self::reject).
    pub fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Request<Http1Body>>, RequestHeadError>> {
        loop {
            let Reading::Head { seen } = &mut self.reading else {
                return Poll::Ready(Ok(None));
            };
            let ServerLimits {
                header_fields,
                header_bytes,
            } = self.limits;
            if *seen == 0 {
                self.input.skip_empty_lines();
            }
            if self.input.may_have_head(*seen, header_bytes) {
                match request::parse(&mut self.input.unread, header_fields, header_bytes) {
                    Ok(Some(head)) => return Poll::Ready(Ok(Some(self.begin_request(head)))),
                    Ok(None) => *seen = self.input.unread.len(),
                    Err(error) => {
                        self.reading = Reading::Closed;
                        return Poll::Ready(Err(error));
                    }
                }
            }
            match ready!(self.input.poll_fill(&mut self.io, cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    self.reading = Reading::Closed;
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }

    fn begin_request(&mut self, head: request::IncomingHead) -> Request<Http1Body> {
        // The body of the last request may still have a consumer.
        if Rc::strong_count(&self.frames) > 1 {
            self.frames = Rc::default();
        }
        let version = head.request.version();
        self.asked = Asked::new(version, head.request.method(), head.takes_trailers);
        self.keep_alive &= head.keep_alive;
        let decoder = BodyDecoder::new(head.framing);
        self.frames.renew(decoder.left());
        if head.framing == Framing::Length(0) {
            self.end_request();
        } else {
            self.awaits_continue = head.expects_continue;
            self.reading = Reading::Body(decoder);
            self.decode();
        }
        let body = Http1Body(self.frames.clone());
        head.request.map(|()| body)
    }

    /// Makes the connection close after the present request.
    pub fn close_after_this(&mut self) {
        self.keep_alive = false;
    }

    /// Whether another request may follow: the last one was read and answered completely.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.reading, Reading::Head { .. }) && self.keep_alive
    }

    /// Reads while a request is answered: its body, if the consumer waits for more of it, and
    /// after its end whether the caller closes the connection. Pending if there is nothing of
    /// either.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        match &mut self.reading {
            Reading::Body(_) if self.frames.is_asked() => self.poll_body(cx),
            // Unread bytes would be those of the next request.
            Reading::Ended if self.input.unread.is_empty() => {
                match ready!(self.input.poll_fill(&mut self.io, cx)) {
                    Ok(1..) => Poll::Pending,
                    Ok(0) | Err(_) => Poll::Ready(Read::Closed),
                }
            }
            _ => Poll::Pending,
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if std::mem::take(&mut self.awaits_continue) {
            self.writer.interim(CONTINUE);
        }
        self.writer.flush_interim(&mut self.io, cx);
        loop {
            self.decode();
            let Reading::Body(decoder) = &mut self.reading else {
                return Poll::Ready(Read::Body);
            };
            if !self.frames.is_asked() {
                return Poll::Ready(Read::Body);
            }
            let error = match ready!(self.input.poll_fill(&mut self.io, cx)) {
                Ok(1..) => continue,
                Ok(0) => match decoder.end_of_input() {
                    Ok(()) => continue,
                    Err(malformed) => malformed.into(),
                },
                Err(error) => Http1BodyError::Io(error),
            };
            self.fail_request(error);
        }
    }

    /// Decodes the next part of the body, if its consumer waits for one and it has been read.
    fn decode(&mut self) {
        let Reading::Body(decoder) = &mut self.reading else {
            return;
        };
        match decoder.decode(&mut self.input.unread) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                // A caller that sends the body already needs no `100 Continue`.
                self.awaits_continue = false;
                match frame {
                    DecodedFrame::Data(data) => self.frames.put(Frame::data(data), decoder.left()),
                    DecodedFrame::Trailers(fields) => {
                        self.frames.put(Frame::trailers(fields), None)
                    }
                }
            }
            Err(error) => return self.fail_request(error.into()),
        }
        if decoder.is_ended() {
            self.end_request();
        }
    }

    fn end_request(&mut self) {
        self.awaits_continue = false;
        self.frames.end();
        self.reading = Reading::Ended;
    }

    fn fail_request(&mut self, error: Http1BodyError) {
        self.frames.fail(error);
        self.reading = Reading::Closed;
    }

    /// Begins to send a response, which [`poll_send`](Self::poll_send) continues. Returns whether
    /// there is a body to send.
    pub fn begin<B: Body>(&mut self, head: &ResponseParts, body: &B, cx: &mut Context<'_>) -> bool {
        if !self.is_read(cx) {
            self.keep_alive = false;
        }
        self.keep_alive = (self.writer).begin(head, body, self.asked, self.keep_alive);
        self.writer.has_body()
    }

    /// Whether the request was read completely, or its body still has a consumer that may do so.
    /// The rest of a body without a consumer is skipped if it has arrived, so that a small body
    /// does not cost the connection.
    fn is_read(&mut self, cx: &mut Context<'_>) -> bool {
        let is_dropped = Rc::strong_count(&self.frames) == 1;
        for _ in 0..MOST_READS {
            if !is_dropped || !matches!(self.reading, Reading::Body(_)) {
                break;
            }
            if self.input.unread.is_empty() {
                let filled = self.input.poll_fill(&mut self.io, cx);
                if !matches!(filled, Poll::Ready(Ok(1..))) {
                    break;
                }
            }
            self.decode();
        }
        match self.reading {
            Reading::Ended => true,
            Reading::Body(_) => !is_dropped,
            Reading::Head { .. } | Reading::Closed => false,
        }
    }

    /// Writes the response to a header that could not be read.
    pub fn reject(&mut self, status: StatusCode, json: Bytes) {
        self.keep_alive = false;
        self.writer.reject(status, &json);
    }

    /// Sends the response. `body` becomes `None` once all of it was taken. Ready when everything
    /// was sent.
    ///
    /// # Errors
    /// [`DeliveryError`]; the connection cannot be used afterwards.
    pub fn poll_send<B: Body<Data = Bytes> + Unpin>(
        &mut self,
        body: &mut Option<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), DeliveryError<B::Error>>> {
        ready!(self.writer.poll_send(&mut self.io, body, cx))?;
        self.end_response(cx);
        Poll::Ready(Ok(()))
    }

    /// Writes everything, through all layers.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(&mut self.io, cx)
    }

    /// Handles the end of a response.
    fn end_response(&mut self, cx: &mut Context<'_>) {
        let may_follow =
            self.is_read(cx) && matches!(self.reading, Reading::Ended) && self.keep_alive;
        if Rc::strong_count(&self.frames) == 1 {
            // What nobody has taken of the body is not kept.
            self.frames.renew(None);
        }
        if may_follow {
            self.reading = Reading::Head { seen: 0 };
            self.input.next_message();
        } else {
            self.keep_alive = false;
        }
    }
}
