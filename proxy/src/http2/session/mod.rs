//! The state of a connection, apart from its bytes: frames go in, and frames come out.
//!
//! It is shared by the connection and the handles of its streams, all on one thread.

mod go_away;
mod header_block;
mod receive;
mod send;
#[cfg(test)]
pub(super) mod tests;

use std::{collections::VecDeque, task::Context};

use bytes::Bytes;

use self::{go_away::GoAway, header_block::HeaderBlock};
use super::{
    Reason,
    control_frames::ControlFrames,
    error::{ConnectionError, Http2Error},
    frame::{self, MOST},
    hpack::{HeaderDecoder, HeaderEncoder},
    output::Output,
    settings::{
        ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE,
        PeerSettings,
    },
    streams::{Http2Stream, ReceiveState, SendState, StreamKey, Streams, Waiting},
    window::{InboundWindow, OutboundWindow},
};
use crate::message::Request;

/// Once so many bytes wait to be written, streams wait.
pub(super) const ENOUGH: usize = 64 * 1024;
/// Streams that this side has ended, of which frames may still be on their way.
const REMEMBERED: usize = 64;

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// The bounds of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Most open streams, of which a client announces none.
    pub streams: u32,
    /// The receive window of a stream, and of the connection at first, in bytes.
    pub stream_window: u32,
    /// See `stream_window`.
    pub window: u32,
    /// Largest header list that is read, in bytes (RFC 9113, 6.5.2).
    pub header_bytes: usize,
    /// Most fields in a header.
    pub header_fields: usize,
    /// Most streams at a time that the peer has reset before they were accepted (rapid reset,
    /// CVE-2023-44487).
    pub early_resets: usize,
    /// Most streams that are reset because the peer broke a rule.
    pub errors: usize,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Http2Session {
    pub(super) role: Role,
    pub(super) limits: Http2Limits,
    decoder: HeaderDecoder,
    encoder: HeaderEncoder,
    /// A header block whose end has not arrived.
    block: Option<Box<HeaderBlock>>,
    pub(super) streams: Streams,
    pub(super) output: Output,
    /// `None` before the peer's first SETTINGS.
    pub(super) peer: Option<PeerSettings>,
    inbound_window: InboundWindow,
    outbound_window: OutboundWindow,
    /// Streams that wait until the connection can send more, in turn.
    queue: VecDeque<StreamKey>,
    /// The number of the present round of turns, and how many of its turns are left.
    round: u32,
    turns: usize,
    /// Requests that nobody has accepted yet.
    accepted: VecDeque<(StreamKey, Request<()>)>,
    early_resets: usize,
    errors: usize,
    /// The highest number of a stream that the peer has opened, and the next of this side.
    last_peer_id: u32,
    next_id: u32,
    /// Numbers of streams of which frames are ignored, and a number below which all are.
    ignored: VecDeque<u32>,
    ignored_up_to: u32,
    control_frames: ControlFrames,
    go_away: GoAway,
    /// Why the connection has ended.
    pub(super) ended: Option<Http2Error>,
    /// The connection's task.
    task: Waiting,
    /// Whether that task will write without being woken.
    is_woken: bool,
}

impl Http2Session {
    pub(super) fn new(role: Role, limits: Http2Limits) -> Self {
        let mut session = Self {
            role,
            limits,
            decoder: HeaderDecoder::new(),
            encoder: HeaderEncoder::new(),
            block: None,
            streams: Streams::default(),
            output: Output::default(),
            peer: None,
            // What the peer may send before it has read the announcement.
            inbound_window: InboundWindow::new(65_535),
            outbound_window: OutboundWindow::new(PeerSettings::default().window),
            queue: VecDeque::new(),
            round: 1,
            turns: 0,
            accepted: VecDeque::new(),
            early_resets: 0,
            errors: 0,
            last_peer_id: 0,
            next_id: 1,
            ignored: VecDeque::new(),
            ignored_up_to: 0,
            control_frames: ControlFrames::default(),
            go_away: GoAway::default(),
            ended: None,
            task: Waiting::default(),
            is_woken: false,
        };
        session.announce();
        session
    }

    /// Writes the first frames.
    fn announce(&mut self) {
        let Http2Limits {
            streams,
            stream_window,
            window,
            header_bytes,
            ..
        } = self.limits;
        let out = self.output.frames();
        let which = match self.role {
            Role::Client => {
                out.extend_from_slice(frame::PREFACE);
                (ENABLE_PUSH, 0)
            }
            Role::Server => (MAX_CONCURRENT_STREAMS, streams),
        };
        let header_bytes = u32::try_from(header_bytes).unwrap_or(u32::MAX);
        let mut payload = Vec::with_capacity(18);
        for (id, value) in [
            which,
            (INITIAL_WINDOW_SIZE, stream_window),
            (MAX_HEADER_LIST_SIZE, header_bytes),
        ] {
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        frame::write(out, frame::SETTINGS, 0, 0, &[&payload]);
        self.enlarge_window(window);
    }

    /// The connection's receive window is to have at least `bytes`.
    pub(super) fn enlarge_window(&mut self, bytes: u32) {
        if let Some(more) = self.inbound_window.enlarge(bytes) {
            frame::write_window_update(self.output.frames(), 0, more);
        }
    }

    /// The peer's settings; the defaults before they have arrived.
    fn peer(&self) -> PeerSettings {
        self.peer.unwrap_or_default()
    }

    /// The connection's task begins to work, and will write.
    pub(super) fn begin(&mut self, cx: &Context<'_>) {
        self.task.add(cx);
        self.is_woken = true;
    }

    /// The connection's task has written what there is.
    pub(super) fn end_of_turn(&mut self) {
        self.is_woken = false;
    }

    /// There may be something to write.
    fn wake(&mut self) {
        if !std::mem::replace(&mut self.is_woken, true) {
            self.task.wake();
        }
    }

    /// The next request.
    pub(super) fn accept(&mut self) -> Option<(StreamKey, Request<()>)> {
        let next = self.accepted.pop_front();
        if next.is_none() {
            self.early_resets = 0;
        }
        next
    }

    /// Opens a stream for a request.
    ///
    /// # Errors
    /// Nothing was sent, because the connection takes no further stream.
    pub(super) fn open(&mut self) -> Result<StreamKey, Http2Error> {
        if let Some(error) = self.ended {
            return Err(error);
        }
        if !self.takes_streams() || self.streams.open >= self.peer().streams as usize {
            return Err(Http2Error::Unprocessed(Reason::NO_ERROR));
        }
        let id = self.next_id;
        self.next_id += 2;
        let (receive, send) = (self.limits.stream_window, self.peer().window);
        let stream = Http2Stream::new(id, ReceiveState::Head, receive, send);
        Ok(self.streams.add(stream))
    }

    /// The connection has ended, and all streams with it.
    pub(super) fn end(&mut self, error: Http2Error) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(error);
        self.accepted.clear();
        self.queue.clear();
        for (_, stream) in self.streams.all() {
            stream.fail(error);
            (stream.is_open, stream.is_queued) = (false, false);
        }
        self.streams.open = 0;
        self.wake();
    }

    /// Ends the connection, because the peer broke a rule, and tells it so.
    pub(super) fn violated(&mut self, ConnectionError(reason): ConnectionError) {
        if self.ended.is_none() {
            // Requests that nobody has accepted were not processed.
            let last = match self.accepted.front() {
                Some(&(key, _)) => self.streams.get(key).id.saturating_sub(2),
                None => self.last_peer_id,
            };
            frame::write_go_away(self.output.frames(), last, reason);
            self.end(Http2Error::Violation(reason));
        }
    }

    /// Resets a stream that is not closed.
    pub(super) fn reset(&mut self, key: StreamKey, reason: Reason) {
        let stream = self.streams.get(key);
        if !stream.is_open {
            return;
        }
        let id = stream.id;
        // What has arrived completely stays complete.
        let has_ended = stream.inbound == ReceiveState::Ended;
        stream.fail(Http2Error::Cancelled(reason));
        self.streams.close_if_ended(key);
        self.write_reset(id, reason);
        if !has_ended {
            self.drop_unread(key);
        }
        self.wake();
    }

    fn write_reset(&mut self, id: u32, reason: Reason) {
        frame::write_reset(self.output.frames(), id, reason);
        self.ignore(id);
    }

    /// Frames that the peer has sent on a stream before it knew of its end are ignored.
    fn ignore(&mut self, id: u32) {
        if self.ignored.len() == REMEMBERED
            && let Some(oldest) = self.ignored.pop_front()
        {
            self.ignored_up_to = self.ignored_up_to.max(oldest);
        }
        self.ignored.push_back(id);
    }

    /// What has arrived on a stream will not be taken: the connection's window has room for as much
    /// again.
    fn drop_unread(&mut self, key: StreamKey) {
        let unread = std::mem::take(&mut self.streams.get(key).arrived);
        self.consumed_of_connection(unread.bytes);
    }

    fn consumed_of_connection(&mut self, bytes: usize) {
        if self.ended.is_none()
            && let Some(more) = self.inbound_window.consumed(bytes)
        {
            frame::write_window_update(self.output.frames(), 0, more);
            self.wake();
        }
    }

    /// `bytes` of a stream's body were taken.
    fn consumed(&mut self, key: StreamKey, bytes: usize) {
        let stream = self.streams.get(key);
        if stream.inbound == ReceiveState::Body
            && let Some(more) = stream.inbound_window.consumed(bytes)
        {
            let id = stream.id;
            frame::write_window_update(self.output.frames(), id, more);
            self.wake();
        }
        self.consumed_of_connection(bytes);
    }

    /// Takes the next piece of a body. `None`: nothing has arrived.
    pub(super) fn take_data(&mut self, key: StreamKey) -> Option<Bytes> {
        let data = self.streams.get(key).arrived.take()?;
        self.consumed(key, data.len());
        Some(data)
    }

    /// A stream has one more handle.
    pub(super) fn add_handle(&mut self, key: StreamKey) {
        self.streams.get(key).handles += 1;
    }

    /// A handle of the stream was dropped. With the last one, the stream ends.
    pub(super) fn drop_handle(&mut self, key: StreamKey) {
        let stream = self.streams.get(key);
        stream.handles -= 1;
        if stream.handles > 0 {
            return;
        }
        // RFC 9113, 8.1: the response is complete, and the rest of the request is not needed.
        let reason = match (self.role, stream.outbound) {
            (Role::Server, SendState::Ended) => Reason::NO_ERROR,
            _ => Reason::CANCEL,
        };
        self.reset(key, reason);
        self.drop_unread(key);
        let stream = self.streams.remove(key);
        if stream.is_queued {
            self.queue.retain(|&queued| queued != key);
        }
        // A connection that takes no more streams may have waited for this one.
        self.wake();
    }

    /// Nobody takes what still arrives on a stream.
    pub(super) fn drop_reader(&mut self, key: StreamKey) {
        self.streams.get(key).is_read = false;
        self.drop_unread(key);
    }

    /// Frees memory that an idle connection does not need.
    pub(super) fn rest(&mut self) {
        if self.streams.is_empty() {
            self.streams.rest();
            self.decoder.rest();
            self.queue = VecDeque::new();
            self.accepted = VecDeque::new();
            self.ignored = VecDeque::new();
            self.ignored_up_to = self.last_peer_id.max(self.next_id.saturating_sub(1));
        }
    }

    /// Whether so much waits to be written that nothing more is to be read: bodies take no more than
    /// [`ENOUGH`], so the peer causes more answers than it reads.
    pub(super) fn is_full(&self) -> bool {
        self.output.bytes() >= 2 * ENOUGH
    }
}

const _: () = assert!(MOST <= ENOUGH);
