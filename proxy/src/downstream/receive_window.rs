//! How much callers may send on an HTTP/2 connection before it is read.
//!
//! The streams of a connection share its window. Where it has room for all of their own windows, a
//! body that nobody reads, as of a held request, blocks no other stream. That room is memory that a
//! caller can fill: beyond the [least](LEAST), all connections together get it from one budget, and
//! none of them more than a part. What a caller was once granted cannot be taken back (RFC 9113,
//! 6.9.3), so that a connection keeps its room until it ends.

use bytes::Bytes;
use h2::server;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    exchange::body::BufferReservation,
    overload::{Level, Overload},
};

/// The window of one stream, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The least window of a connection, in bytes: that of a stream, and the one that HTTP/2 begins with
/// (RFC 9113, 6.9.2).
const LEAST: u32 = STREAM_WINDOW + 65_535;
/// Both, of a connection that begins while memory is short.
const SCARCE: u32 = 65_535;
/// One connection gets at most the budget divided by this.
const CONNECTIONS: usize = 16;

/// The windows that a connection begins with: of a stream, and its own.
pub(super) fn first(overload: &Overload) -> (u32, u32) {
    match overload.is_at(Level::Scarce) {
        true => (SCARCE, SCARCE),
        false => (STREAM_WINDOW, LEAST),
    }
}

/// The window of one connection.
pub(super) struct ReceiveWindow<'a> {
    /// What it has beyond [`LEAST`].
    room: BufferReservation<'a>,
    /// Streams that there is room for.
    streams: u32,
}

impl<'a> ReceiveWindow<'a> {
    pub(super) fn new(room: BufferReservation<'a>) -> Self {
        Self { room, streams: 1 }
    }

    /// Makes room for so many open streams, as far as there is as much left.
    pub(super) fn make_room<T>(&mut self, streams: usize, h2: &mut server::Connection<T, Bytes>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let streams = u32::try_from(streams).unwrap_or(u32::MAX);
        let bytes = streams.saturating_sub(1).saturating_mul(STREAM_WINDOW);
        if streams > self.streams
            && bytes as usize <= self.room.most() / CONNECTIONS
            && self.room.cover(bytes as usize).is_ok()
        {
            self.streams = streams;
            h2.set_target_window_size(LEAST + bytes);
        }
    }
}
