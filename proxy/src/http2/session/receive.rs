//! What a session does with the frames that it receives.

use tailback_scaler::clock::Nanos;

use super::{Http2Session, Role};
use crate::http2::{
    Reason,
    control_frames::is_control,
    error::{ConnectionError, Http2Error},
    frame::{self, ACK, END_STREAM, FrameHead, MOST},
    streams::{ReceiveState, StreamKey},
};

type Received = Result<(), ConnectionError>;

impl Http2Session {
    /// Takes the complete frames in `bytes`. Returns how many bytes they are.
    pub(in crate::http2) fn receive(&mut self, bytes: &[u8]) -> Result<usize, ConnectionError> {
        let mut rest = bytes;
        while let Some((head, behind)) = rest.split_first_chunk() {
            let head = FrameHead::parse(head);
            if head.length > MOST {
                return Err(ConnectionError(Reason::FRAME_SIZE_ERROR));
            }
            let Some((payload, next)) = behind.split_at_checked(head.length) else {
                break;
            };
            self.frame(head, payload)?;
            rest = next;
        }
        Ok(bytes.len() - rest.len())
    }

    fn frame(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        let violation = Err(ConnectionError(Reason::PROTOCOL_ERROR));
        // A replica may go away at once.
        let may_be_first = match head.kind {
            frame::SETTINGS => !head.has(ACK),
            frame::GOAWAY => self.role == Role::Client,
            _ => false,
        };
        if self.peer.is_none() && !may_be_first {
            return violation;
        }
        if self.expects_continuation() && head.kind != frame::CONTINUATION {
            return violation;
        }
        if is_control(head) {
            self.count_control_frame()?;
        }
        let is_of_stream = matches!(
            head.kind,
            frame::DATA
                | frame::HEADERS
                | frame::PRIORITY
                | frame::RST_STREAM
                | frame::PUSH_PROMISE
                | frame::CONTINUATION
        );
        let is_of_connection = matches!(head.kind, frame::SETTINGS | frame::PING | frame::GOAWAY);
        if is_of_stream && head.stream == 0 || is_of_connection && head.stream != 0 {
            return violation;
        }
        match head.kind {
            frame::DATA => self.data(head, payload),
            frame::HEADERS => self.headers(head, payload),
            frame::CONTINUATION => self.continuation(head, payload),
            frame::PRIORITY => match payload.first_chunk() {
                Some(priority) if payload.len() == 5 => {
                    match depends_on_itself(head.stream, priority) && !self.is_idle(head.stream) {
                        true => self.stream_error(head.stream, Reason::PROTOCOL_ERROR),
                        false => Ok(()),
                    }
                }
                _ if self.is_idle(head.stream) => Err(ConnectionError(Reason::FRAME_SIZE_ERROR)),
                _ => self.stream_error(head.stream, Reason::FRAME_SIZE_ERROR),
            },
            frame::RST_STREAM => self.was_reset(head, payload),
            frame::SETTINGS => self.settings(head, payload),
            // Push was not allowed.
            frame::PUSH_PROMISE => violation,
            frame::PING => self.pinged(head, payload),
            frame::GOAWAY => self.gone_away(payload),
            frame::WINDOW_UPDATE => self.window_update(head, payload),
            _ => Ok(()),
        }
    }

    fn data(&mut self, head: FrameHead, padded: &[u8]) -> Received {
        let overrun = Err(ConnectionError(Reason::FLOW_CONTROL_ERROR));
        if self.is_idle(head.stream) {
            return Err(ConnectionError(Reason::PROTOCOL_ERROR));
        }
        let data = head.unpadded(padded)?;
        if data.is_empty() && !head.has(END_STREAM) {
            self.count_control_frame()?;
        }
        if self.inbound_window.arrived(padded.len()).is_err() {
            return overrun;
        }
        let Some(key) = self.streams.find(head.stream) else {
            self.consumed_of_connection(padded.len());
            return self.on_closed(head.stream);
        };
        let stream = self.streams.get(key);
        match stream.inbound {
            ReceiveState::Body => {}
            ReceiveState::Head => {
                self.consumed_of_connection(padded.len());
                return self.violated_on(key, Reason::PROTOCOL_ERROR);
            }
            ReceiveState::Ended => {
                self.consumed_of_connection(padded.len());
                return self.after_end(key);
            }
            // The peer may not know of this side's reset yet.
            ReceiveState::Failed(_) => {
                self.consumed_of_connection(padded.len());
                return self.count_control_frame();
            }
        }
        if stream.inbound_window.arrived(padded.len()).is_err() {
            self.consumed_of_connection(padded.len());
            return self.violated_on(key, Reason::FLOW_CONTROL_ERROR);
        }
        let is_end = head.has(END_STREAM);
        let left = (stream.left).map(|left| left.checked_sub(data.len() as u64));
        let is_other_length =
            matches!(left, Some(None)) || is_end && matches!(left, Some(Some(1..)));
        if is_other_length {
            self.consumed_of_connection(padded.len());
            return self.violated_on(key, Reason::PROTOCOL_ERROR);
        }
        stream.left = left.flatten();
        if is_end {
            self.ended_inbound(key);
        }
        let stream = self.streams.get(key);
        if !stream.is_read {
            self.consumed_of_connection(padded.len());
        } else if data.is_empty() {
            stream.reader.wake();
            self.consumed(key, padded.len());
        } else {
            stream.arrived.put(data);
            stream.reader.wake();
            if padded.len() > data.len() {
                self.consumed(key, padded.len() - data.len());
            }
        }
        Ok(())
    }

    /// The peer has sent all of a message.
    pub(super) fn ended_inbound(&mut self, key: StreamKey) {
        self.streams.get(key).inbound = ReceiveState::Ended;
        self.streams.close_if_ended(key);
    }

    fn was_reset(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        let reason = frame::number(payload).ok_or(ConnectionError(Reason::FRAME_SIZE_ERROR))?;
        if self.is_idle(head.stream) {
            return Err(ConnectionError(Reason::PROTOCOL_ERROR));
        }
        let Some(key) = self.streams.find(head.stream) else {
            return self.count_control_frame();
        };
        let stream = self.streams.get(key);
        stream.fail(Http2Error::Reset(Reason(reason)));
        let has_handles = stream.handles > 0;
        self.streams.close_if_ended(key);
        if !has_handles {
            // Nobody has accepted it.
            self.accepted.retain(|(accepted, _)| *accepted != key);
            self.drop_unread(key);
            self.streams.remove(key);
            self.early_resets += 1;
            if self.early_resets > self.limits.early_resets {
                return Err(ConnectionError(Reason::ENHANCE_YOUR_CALM));
            }
        }
        Ok(())
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        if head.has(ACK) {
            return match payload {
                [] => Ok(()),
                _ => Err(ConnectionError(Reason::FRAME_SIZE_ERROR)),
            };
        }
        let before = self.peer();
        let peer = before.with(payload)?;
        let more = i64::from(peer.window) - i64::from(before.window);
        if more != 0 {
            for (_, stream) in self.streams.all() {
                if stream.outbound_window.changed(more).is_err() {
                    return Err(ConnectionError(Reason::FLOW_CONTROL_ERROR));
                }
                stream.writer.wake();
            }
        }
        if peer.header_table_size != before.header_table_size {
            self.encoder.set_table_size(peer.header_table_size);
        }
        self.peer = Some(peer);
        frame::write(self.output.frames(), frame::SETTINGS, ACK, 0, &[]);
        Ok(())
    }

    fn pinged(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        if payload.len() != 8 {
            return Err(ConnectionError(Reason::FRAME_SIZE_ERROR));
        }
        if head.has(ACK) {
            self.pong(payload);
        } else {
            frame::write(self.output.frames(), frame::PING, ACK, 0, &[payload]);
        }
        Ok(())
    }

    fn gone_away(&mut self, payload: &[u8]) -> Received {
        let (last, rest) =
            (payload.split_first_chunk()).ok_or(ConnectionError(Reason::FRAME_SIZE_ERROR))?;
        let (reason, _) =
            (rest.split_first_chunk()).ok_or(ConnectionError(Reason::FRAME_SIZE_ERROR))?;
        let last = u32::from_be_bytes(*last) & 0x7fff_ffff;
        self.peer_goes_away(last, Reason(u32::from_be_bytes(*reason)));
        Ok(())
    }

    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Received {
        let more = frame::number(payload).ok_or(ConnectionError(Reason::FRAME_SIZE_ERROR))?;
        let more = i64::from(more & 0x7fff_ffff);
        if !self.control_frames.is_due() {
            self.count_control_frame()?;
        }
        if head.stream == 0 {
            return if more == 0 {
                Err(ConnectionError(Reason::PROTOCOL_ERROR))
            } else if self.outbound_window.changed(more).is_err() {
                Err(ConnectionError(Reason::FLOW_CONTROL_ERROR))
            } else {
                Ok(())
            };
        }
        if self.is_idle(head.stream) {
            return Err(ConnectionError(Reason::PROTOCOL_ERROR));
        }
        let Some(key) = self.streams.find(head.stream) else {
            return Ok(());
        };
        let stream = self.streams.get(key);
        if !stream.is_open {
            return Ok(());
        }
        let reason = if more == 0 {
            Reason::PROTOCOL_ERROR
        } else if stream.outbound_window.changed(more).is_err() {
            Reason::FLOW_CONTROL_ERROR
        } else {
            stream.writer.wake();
            return Ok(());
        };
        self.violated_on(key, reason)
    }

    /// Whether neither side has opened a stream of this number (RFC 9113, 5.1).
    fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id > self.last_peer_id && !self.is_ignored(id) || id.is_multiple_of(2),
            Role::Client => id >= self.next_id || id.is_multiple_of(2),
        }
    }

    /// A frame has come for a stream that is forgotten.
    pub(super) fn on_closed(&mut self, id: u32) -> Received {
        if self.is_idle(id) {
            return Err(ConnectionError(Reason::PROTOCOL_ERROR));
        }
        if self.is_ignored(id) || id <= self.ignored_up_to || self.ignored.contains(&id) {
            return self.count_control_frame();
        }
        self.stream_error(id, Reason::STREAM_CLOSED)
    }

    /// A frame has come for a stream that the peer has ended.
    pub(super) fn after_end(&mut self, key: StreamKey) -> Received {
        self.violated_on(key, Reason::STREAM_CLOSED)
    }

    /// The peer broke a rule on a stream.
    pub(super) fn stream_error(&mut self, id: u32, reason: Reason) -> Received {
        if let Some(key) = self.streams.find(id) {
            return self.violated_on(key, reason);
        }
        self.write_reset(id, reason);
        self.count_error()
    }

    /// The peer broke a rule on a stream that is known. The stream is reset, unless it has ended.
    pub(super) fn violated_on(&mut self, key: StreamKey, reason: Reason) -> Received {
        self.reset(key, reason);
        self.count_error()
    }

    /// Counts a frame that costs work and brings nothing.
    pub(super) fn count_control_frame(&mut self) -> Received {
        let counted = self.control_frames.count(Nanos::now());
        counted.map_err(|_| ConnectionError(Reason::ENHANCE_YOUR_CALM))
    }

    pub(super) fn count_error(&mut self) -> Received {
        self.errors += 1;
        match self.errors > self.limits.errors {
            true => Err(ConnectionError(Reason::ENHANCE_YOUR_CALM)),
            false => Ok(()),
        }
    }
}

/// Whether a stream has itself as the one on which its priority depends, which is an error (RFC 7540,
/// 5.3.1). Otherwise priorities are ignored.
pub(super) fn depends_on_itself(id: u32, priority: &[u8; 5]) -> bool {
    let [a, b, c, d, _] = *priority;
    u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff == id
}
