//! How much callers may send on an HTTP/2 connection before it is read.
//!
//! The streams of a connection share its window. Where it has room for all of their own windows, a
//! body that nobody reads, as of a held request, blocks no other stream. That room is memory that a
//! caller can fill: all connections together get it from one budget. Once that is used up, a
//! connection keeps the window that it has.

use bytes::Bytes;
use h2::server;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::exchange::body::BufferReservation;

/// The window of one stream, in bytes.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
/// The least window of a connection, in bytes: the one that HTTP/2 begins with (RFC 9113, 6.9.2).
pub(super) const LEAST: u32 = 65_535;

/// The window of one connection.
pub(super) struct ReceiveWindow<'a> {
    /// What it has beyond [`LEAST`].
    room: BufferReservation<'a>,
    /// Streams that there is room for.
    streams: u32,
}

impl<'a> ReceiveWindow<'a> {
    pub(super) fn new(room: BufferReservation<'a>) -> Self {
        Self { room, streams: 0 }
    }

    /// Makes room for so many open streams, if there is as much left.
    pub(super) fn make_room<T>(&mut self, streams: usize, h2: &mut server::Connection<T, Bytes>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let streams = u32::try_from(streams).unwrap_or(u32::MAX);
        let bytes = streams.saturating_mul(STREAM_WINDOW);
        if streams > self.streams && self.room.cover(bytes as usize) {
            self.streams = streams;
            h2.set_target_window_size(LEAST + bytes);
        }
    }

    /// Gives the room back: no stream is open.
    pub(super) fn give_back<T>(&mut self, h2: &mut server::Connection<T, Bytes>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        if self.streams > 0 {
            self.streams = 0;
            self.room.clear();
            h2.set_target_window_size(LEAST);
        }
    }
}
