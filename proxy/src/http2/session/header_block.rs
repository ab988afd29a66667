//! Header blocks: requests, responses and trailers.

use http::StatusCode;

use super::{Http2Session, Role, receive::depends_on_itself};
use crate::http2::{
    Reason,
    error::{ConnectionError, Http2Error},
    fields::{self, MessageFields},
    frame::{self, END_HEADERS, END_STREAM, FrameHead, PRIORITISED},
    streams::{Http2Stream, ReceiveState, StreamKey},
};

/// A header block that comes in several frames.
#[derive(Debug)]
pub(super) struct HeaderBlock {
    stream: u32,
    read: Read,
    bytes: Vec<u8>,
    /// How many frames of it have come.
    frames: usize,
}

/// Most frames of a header block, besides those that its size needs.
const FRAMES: usize = 16;

impl Http2Session {
    /// Whether a header block has begun. Nothing else may come before its end (RFC 9113, 6.10).
    pub(super) fn expects_continuation(&self) -> bool {
        self.block.is_some()
    }

    pub(super) fn headers(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let mut payload = head.unpadded(payload)?;
        let mut is_malformed = false;
        if head.has(PRIORITISED) {
            let (priority, rest) = (payload.split_first_chunk::<5>())
                .ok_or(ConnectionError(Reason::FRAME_SIZE_ERROR))?;
            payload = rest;
            is_malformed = depends_on_itself(head.stream, priority);
        }
        let read = Read {
            is_end: head.has(END_STREAM),
            is_malformed,
            is_too_large: false,
        };
        if head.has(END_HEADERS) {
            return self.block(head.stream, read, payload);
        }
        self.block = Some(Box::new(HeaderBlock {
            stream: head.stream,
            read,
            bytes: payload.to_vec(),
            frames: 1,
        }));
        Ok(())
    }

    pub(super) fn continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let block = self
            .block
            .as_mut()
            .filter(|block| block.stream == head.stream);
        let block = block.ok_or(ConnectionError(Reason::PROTOCOL_ERROR))?;
        block.bytes.extend_from_slice(payload);
        block.frames += 1;
        // A header that is somewhat too large is answered, but not kept without a bound.
        let most = 2 * self.limits.header_bytes + frame::MOST;
        if block.bytes.len() > most || block.frames > FRAMES + most / frame::MOST {
            return Err(ConnectionError(Reason::ENHANCE_YOUR_CALM));
        }
        if head.has(END_HEADERS)
            && let Some(block) = self.block.take()
        {
            return self.block(block.stream, block.read, &block.bytes);
        }
        Ok(())
    }

    /// Reads a complete block.
    fn block(&mut self, id: u32, read: Read, bytes: &[u8]) -> Result<(), ConnectionError> {
        let mut fields = MessageFields::new(self.limits.header_fields);
        let most = self.limits.header_bytes;
        let block = (self.decoder)
            .decode(bytes, most, |field| fields.add(field))
            .map_err(|_| ConnectionError(Reason::COMPRESSION_ERROR))?;
        let read = Read {
            is_malformed: read.is_malformed || block.is_malformed || fields.is_malformed,
            is_too_large: block.is_too_large || fields.is_too_many,
            ..read
        };
        match (self.streams.find(id), self.role) {
            (Some(key), _) if self.streams.get(key).inbound == ReceiveState::Head => {
                self.response(key, read, fields)
            }
            (Some(key), _) => self.trailers(key, read, fields),
            (None, Role::Server) if id > self.last_peer_id => self.request(id, read, fields),
            (None, _) => self.on_closed(id),
        }
    }

    fn request(
        &mut self,
        id: u32,
        read: Read,
        fields: MessageFields,
    ) -> Result<(), ConnectionError> {
        if id.is_multiple_of(2) {
            return Err(ConnectionError(Reason::PROTOCOL_ERROR));
        }
        if self.is_ignored(id) {
            return self.count_control_frame();
        }
        self.last_peer_id = id;
        if self.streams.open >= self.limits.streams as usize {
            self.write_reset(id, Reason::REFUSED_STREAM);
            return self.count_control_frame();
        }
        if read.is_too_large && !read.is_malformed {
            self.answer_too_large(id);
            return Ok(());
        }
        let left = fields.content_length();
        let request = (!read.is_malformed)
            .then(|| fields.into_request())
            .flatten();
        let (Some(request), Ok(left)) = (request, left) else {
            return self.stream_error(id, Reason::PROTOCOL_ERROR);
        };
        if read.is_end && left.is_some_and(|left| left > 0) {
            return self.stream_error(id, Reason::PROTOCOL_ERROR);
        }
        let inbound = if read.is_end {
            ReceiveState::Ended
        } else {
            ReceiveState::Body
        };
        let (receive, send) = (self.limits.stream_window, self.peer().window);
        let mut stream = Http2Stream::new(id, inbound, receive, send);
        stream.left = left;
        let key = self.streams.add(stream);
        self.accepted.push_back((key, request));
        Ok(())
    }

    /// Answers a request whose header is larger than the limits allow, without a stream. A body that
    /// follows is ignored: a reset could cost the caller the answer.
    fn answer_too_large(&mut self, id: u32) {
        let encoder = &mut self.encoder;
        frame::write_block(self.output.frames(), id, true, |out| {
            encoder.begin(out);
            encoder.status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, out);
        });
        self.ignore(id);
    }

    fn response(
        &mut self,
        key: StreamKey,
        read: Read,
        fields: MessageFields,
    ) -> Result<(), ConnectionError> {
        let is_bodiless = self.streams.get(key).is_bodiless;
        let left = fields.content_length();
        let response = fields.into_response();
        let (Some(response), Ok(left), false) = (response, left, read.is_malformed) else {
            return self.violated_on(key, Reason::PROTOCOL_ERROR);
        };
        if read.is_too_large {
            self.reset(key, Reason::CANCEL);
            self.streams.get(key).inbound = ReceiveState::Failed(Http2Error::HeaderTooLarge);
            return Ok(());
        }
        let status = response.status();
        if status.is_informational() {
            // Interim responses are for the connection, such as 100 (Continue).
            if read.is_end || status == StatusCode::SWITCHING_PROTOCOLS {
                return self.violated_on(key, Reason::PROTOCOL_ERROR);
            }
            return self.count_control_frame();
        }
        let has_none = is_bodiless || fields::has_no_body(status);
        if read.is_end && !has_none && left.is_some_and(|left| left > 0) {
            return self.violated_on(key, Reason::PROTOCOL_ERROR);
        }
        let stream = self.streams.get(key);
        stream.left = if has_none { Some(0) } else { left };
        stream.response = Some(response);
        stream.inbound = ReceiveState::Body;
        if read.is_end {
            stream.left = Some(0);
            self.ended_inbound(key);
        }
        self.streams.get(key).reader.wake();
        Ok(())
    }

    fn trailers(
        &mut self,
        key: StreamKey,
        read: Read,
        fields: MessageFields,
    ) -> Result<(), ConnectionError> {
        let stream = self.streams.get(key);
        match stream.inbound {
            ReceiveState::Body => {}
            ReceiveState::Ended => return self.after_end(key),
            // The peer may not know of this side's reset yet.
            ReceiveState::Head | ReceiveState::Failed(_) => return self.count_control_frame(),
        }
        let is_bad = !read.is_end
            || read.is_malformed
            || fields.has_pseudo_fields()
            || stream.left.is_some_and(|left| left > 0);
        if is_bad || read.is_too_large {
            return self.violated_on(key, Reason::PROTOCOL_ERROR);
        }
        if stream.is_read {
            stream.arrived.trailers = Some(Box::new(fields.into_trailers()));
        }
        self.ended_inbound(key);
        self.streams.get(key).reader.wake();
        Ok(())
    }
}

/// What is known of a header block besides its fields.
#[derive(Clone, Copy, Debug)]
struct Read {
    is_end: bool,
    is_malformed: bool,
    is_too_large: bool,
}
