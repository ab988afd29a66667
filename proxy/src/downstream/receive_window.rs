//! How much callers may send on an HTTP/2 connection before it is read.
//!
//! The streams of a connection share its window. If the connection's window covers the windows of
//! all its streams, a body that is not read, such as that of a held request, blocks no other
//! stream. A caller can fill a window, and so the proxy's memory: beyond the [least](LEAST), all
//! connections share one budget, of which each gets a part at most. A window that was granted
//! cannot be taken back (RFC 9113, 6.9.3), so a connection keeps it until it ends.

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    exchange::body::BufferReservation,
    http2::Http2Server,
    overload::{Level, Overload},
};

/// The window of one stream, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The least window of a connection, in bytes: that of a stream, and the one that HTTP/2 begins with
/// (RFC 9113, 6.9.2).
const LEAST: u32 = STREAM_WINDOW + 65_535;
/// The windows of a stream and of a connection that begins while memory is short.
const SCARCE: u32 = 65_535;
/// One connection gets at most the budget divided by this.
const CONNECTIONS: usize = 16;

/// The first windows of a connection: of a stream, and its own.
pub(super) fn first(overload: &Overload) -> (u32, u32) {
    match overload.is_at(Level::Scarce) {
        true => (SCARCE, SCARCE),
        false => (STREAM_WINDOW, LEAST),
    }
}

/// The window of one connection.
pub(super) struct ReceiveWindow<'a> {
    /// The part of its window beyond [`LEAST`].
    room: BufferReservation<'a>,
    /// The number of streams that the window covers.
    streams: u32,
}

impl<'a> ReceiveWindow<'a> {
    pub(super) fn new(room: BufferReservation<'a>) -> Self {
        Self { room, streams: 1 }
    }

    /// Enlarges the window for this many open streams, as far as the budget allows.
    pub(super) fn make_room<T>(&mut self, streams: usize, http: &mut Http2Server<T>)
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
            http.enlarge_window(LEAST + bytes);
        }
    }
}
