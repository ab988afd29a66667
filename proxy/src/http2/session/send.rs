//! What a session sends on its streams.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{ENOUGH, Http2Session};
use crate::{
    http2::{
        error::Http2Error,
        frame::{self, END_STREAM, MOST},
        hpack::HeaderEncoder,
        streams::{SendState, StreamKey},
    },
    message::Trailers,
};

impl Http2Session {
    /// Whether more can be sent on a stream.
    ///
    /// # Errors
    /// Why not.
    fn is_open(&mut self, key: StreamKey) -> Result<(), Http2Error> {
        match self.streams.get(key).outbound {
            SendState::Open => Ok(()),
            // Whoever has ended it sends nothing more.
            SendState::Ended => Err(Http2Error::Cancelled(super::Reason::NO_ERROR)),
            SendState::Failed(error) => Err(error),
        }
    }

    /// Sends a header block. `encode` appends its fields.
    pub(in crate::http2) fn send_block(
        &mut self,
        key: StreamKey,
        is_end: bool,
        encode: impl FnOnce(&mut HeaderEncoder, &mut Vec<u8>),
    ) -> Result<(), Http2Error> {
        self.is_open(key)?;
        let id = self.streams.get(key).id;
        let encoder = &mut self.encoder;
        frame::write_block(self.output.frames(), id, is_end, |out| {
            encoder.begin(out);
            encode(encoder, out);
        });
        self.has_sent(key, is_end);
        Ok(())
    }

    /// Sends trailers, which end the stream.
    pub(in crate::http2) fn send_trailers(
        &mut self,
        key: StreamKey,
        trailers: &Trailers,
    ) -> Result<(), Http2Error> {
        self.send_block(key, true, |encoder, out| {
            for (name, value) in trailers {
                encoder.field(name, value, out);
            }
        })
    }

    /// Ready with how many bytes can be sent on a stream now, of `wanted`; at least 1.
    pub(in crate::http2) fn poll_capacity(
        &mut self,
        key: StreamKey,
        wanted: usize,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, Http2Error>> {
        if let Err(error) = self.is_open(key) {
            return Poll::Ready(Err(error));
        }
        let capacity = self.capacity();
        let stream = self.streams.get(key);
        let of_stream = stream.outbound_window.bytes();
        if of_stream == 0 {
            // Until the peer enlarges its window.
            stream.writer.add(cx);
            return Poll::Pending;
        }
        let has_turn = std::mem::take(&mut stream.turn) == self.round;
        let bytes = wanted.min(MOST).min(of_stream).min(capacity);
        if has_turn {
            self.turns -= 1;
        }
        if bytes > 0 && (has_turn || self.turns == 0 && self.queue.is_empty()) {
            return Poll::Ready(Ok(bytes));
        }
        stream.writer.add(cx);
        if !std::mem::replace(&mut stream.is_queued, true) {
            self.queue.push_back(key);
            // The next round is for it, too.
            self.wake();
        }
        Poll::Pending
    }

    /// Sends a piece of a body, for which there must be capacity. An empty one only ends the stream.
    pub(in crate::http2) fn send_data(
        &mut self,
        key: StreamKey,
        data: Bytes,
        is_end: bool,
    ) -> Result<(), Http2Error> {
        self.is_open(key)?;
        let stream = self.streams.get(key);
        stream.outbound_window.sent(data.len());
        self.outbound_window.sent(data.len());
        self.control_frames.sent_data(data.len());
        let head = frame::FrameHead {
            length: data.len(),
            kind: frame::DATA,
            flags: if is_end { END_STREAM } else { 0 },
            stream: stream.id,
        };
        (self.output.frames()).extend_from_slice(&head.to_bytes());
        self.output.piece(data);
        self.has_sent(key, is_end);
        Ok(())
    }

    fn has_sent(&mut self, key: StreamKey, is_end: bool) {
        if is_end {
            self.streams.get(key).outbound = SendState::Ended;
            self.streams.close_if_ended(key);
        }
        self.wake();
    }

    /// Sends a PING.
    pub(in crate::http2) fn ping(&mut self) {
        if self.ended.is_none() {
            frame::write(self.output.frames(), frame::PING, 0, 0, &[&[0; 8]]);
            self.wake();
        }
    }

    /// How many bytes of bodies the connection can take now.
    fn capacity(&self) -> usize {
        let spare = ENOUGH.saturating_sub(self.output.bytes());
        spare.min(self.outbound_window.bytes())
    }

    /// Begins a round: it wakes streams that wait for the connection, as many as it can serve now.
    /// Each may send one frame. Returns whether there are others.
    pub(in crate::http2) fn serve_queue(&mut self) -> bool {
        // A stream that has not used its turn has none any more.
        self.turns = 0;
        self.round = self.round.wrapping_add(1).max(1);
        let capacity = self.capacity();
        if capacity == 0 {
            return false;
        }
        for _ in 0..capacity.div_ceil(MOST) {
            let Some(key) = self.queue.pop_front() else {
                break;
            };
            let stream = self.streams.get(key);
            stream.is_queued = false;
            stream.turn = self.round;
            stream.writer.wake();
            self.turns += 1;
        }
        !self.queue.is_empty()
    }
}
