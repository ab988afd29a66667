//! The streams of a connection.

use std::{
    collections::VecDeque,
    task::{Context, Waker},
};

use bytes::{Bytes, BytesMut};
use slab::Slab;

use super::{
    error::Http2Error,
    window::{InboundWindow, OutboundWindow},
};
use crate::message::{Response, Trailers};

/// One stream.
#[derive(Debug)]
pub(super) struct Http2Stream {
    pub(super) id: u32,
    pub(super) inbound: ReceiveState,
    pub(super) inbound_window: InboundWindow,
    /// Announced bytes of the body that have not arrived; `None`: no length was announced.
    pub(super) left: Option<u64>,
    /// What has arrived and was not taken.
    pub(super) arrived: ArrivedBody,
    /// Whether somebody takes what arrives.
    pub(super) is_read: bool,
    /// Whether a response's body is empty whatever its header says: of HEAD.
    pub(super) is_bodiless: bool,
    /// A response's header, until it is taken.
    pub(super) response: Option<Response<()>>,
    pub(super) outbound: SendState,
    pub(super) outbound_window: OutboundWindow,
    /// Whether it waits until the connection can send more.
    pub(super) is_queued: bool,
    /// The round in which it may send a frame before those that wait.
    pub(super) turn: u32,
    /// Whether it counts as open: neither closed by both sides nor reset.
    pub(super) is_open: bool,
    /// The values that refer to it. It is forgotten when there are none.
    pub(super) handles: u8,
    /// The tasks that wait for what the peer sends, and to send.
    pub(super) reader: Waiting,
    pub(super) writer: Waiting,
}

/// A task that waits.
#[derive(Debug, Default)]
pub(super) struct Waiting(Option<Waker>);

/// The part of a message's body that waits to be taken. Few bodies have more than one piece waiting.
#[derive(Debug, Default)]
pub(super) struct ArrivedBody {
    first: Bytes,
    more: VecDeque<Bytes>,
    /// Small pieces together: each by itself would take many times its length.
    last: BytesMut,
    pub(super) trailers: Option<Box<Trailers>>,
    /// Bytes in all pieces.
    pub(super) bytes: usize,
}

/// What the peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiveState {
    /// A response's header is still to come.
    Head,
    /// More of the body may come.
    Body,
    /// Everything has arrived.
    Ended,
    /// It ended early.
    Failed(Http2Error),
}

/// What this side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendState {
    /// More may be sent.
    Open,
    /// All was sent.
    Ended,
    /// It ended early.
    Failed(Http2Error),
}

/// Pieces of a body below this size, in bytes, are put together while they wait.
const SMALL: usize = 4 * 1024;

/// Names a stream of its connection for as long as it has handles.
pub(super) type StreamKey = usize;

impl ArrivedBody {
    /// Adds a piece, which is not empty.
    pub(super) fn put(&mut self, data: &[u8]) {
        self.bytes += data.len();
        if self.first.is_empty() {
            self.first = Bytes::copy_from_slice(data);
        } else if data.len() < SMALL {
            self.last.extend_from_slice(data);
            if self.last.len() >= SMALL {
                self.more.push_back(self.last.split().freeze());
            }
        } else {
            if !self.last.is_empty() {
                self.more.push_back(self.last.split().freeze());
            }
            self.more.push_back(Bytes::copy_from_slice(data));
        }
    }

    pub(super) fn take(&mut self) -> Option<Bytes> {
        let next = match self.more.pop_front() {
            Some(next) => next,
            None => std::mem::take(&mut self.last).freeze(),
        };
        let data = std::mem::replace(&mut self.first, next);
        self.bytes -= data.len();
        (!data.is_empty()).then_some(data)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0 && self.trailers.is_none()
    }
}

impl Http2Stream {
    /// A stream that waits for the peer's message: its head, or what follows that.
    pub(super) fn new(id: u32, inbound: ReceiveState, receive: u32, send: u32) -> Self {
        Self {
            id,
            inbound,
            inbound_window: InboundWindow::new(receive),
            left: None,
            arrived: ArrivedBody::default(),
            is_read: true,
            is_bodiless: false,
            response: None,
            outbound: SendState::Open,
            outbound_window: OutboundWindow::new(send),
            is_queued: false,
            turn: 0,
            is_open: true,
            handles: 0,
            reader: Waiting::default(),
            writer: Waiting::default(),
        }
    }

    /// Whether both sides have ended it.
    pub(super) fn has_ended(&self) -> bool {
        let is_over = !matches!(self.inbound, ReceiveState::Head | ReceiveState::Body);
        is_over && self.outbound != SendState::Open
    }

    /// Ends what has not ended.
    pub(super) fn fail(&mut self, error: Http2Error) {
        if matches!(self.inbound, ReceiveState::Head | ReceiveState::Body) {
            self.inbound = ReceiveState::Failed(error);
        }
        if self.outbound == SendState::Open {
            self.outbound = SendState::Failed(error);
        }
        self.wake();
    }

    fn wake(&mut self) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Waiting {
    /// `cx` waits.
    pub(super) fn add(&mut self, cx: &Context<'_>) {
        match &mut self.0 {
            Some(task) => task.clone_from(cx.waker()),
            None => self.0 = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(task) = self.0.take() {
            task.wake();
        }
    }
}

/// All streams that have handles.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: Slab<Http2Stream>,
    /// The key of each, by its number, in ascending order.
    by_id: Vec<(u32, StreamKey)>,
    /// How many are open.
    pub(super) open: usize,
}

impl Streams {
    /// Adds a stream. Its number is higher than all others'.
    pub(super) fn add(&mut self, stream: Http2Stream) -> StreamKey {
        let id = stream.id;
        let key = self.all.insert(stream);
        self.by_id.push((id, key));
        self.open += 1;
        key
    }

    pub(super) fn find(&self, id: u32) -> Option<StreamKey> {
        let place = self.by_id.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        Some(self.by_id[place].1)
    }

    /// A stream that has handles.
    pub(super) fn get(&mut self, key: StreamKey) -> &mut Http2Stream {
        &mut self.all[key]
    }

    /// Counts it as closed if both sides have ended it.
    pub(super) fn close_if_ended(&mut self, key: StreamKey) {
        let stream = &mut self.all[key];
        if stream.is_open && stream.has_ended() {
            stream.is_open = false;
            self.open -= 1;
        }
    }

    pub(super) fn remove(&mut self, key: StreamKey) -> Http2Stream {
        let stream = self.all.remove(key);
        if let Ok(place) = self.by_id.binary_search_by_key(&stream.id, |&(id, _)| id) {
            self.by_id.remove(place);
        }
        stream
    }

    /// Whether there are no streams that have handles.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Frees the memory for streams, of which there are none.
    pub(super) fn rest(&mut self) {
        (self.all, self.by_id) = (Slab::new(), Vec::new());
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = (StreamKey, &mut Http2Stream)> {
        self.all.iter_mut()
    }
}
