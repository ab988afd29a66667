//! Bytes that were read from a connection and not yet consumed.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::read_size::{self, ReadSize};

thread_local! {
    /// The buffer into which all connections of a thread read, except for large messages. So a
    /// waiting connection has no buffer, and a message one of its own length.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; read_size::SMALL].into());
}

#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) unread: BytesMut,
    read_size: ReadSize,
}

impl Input {
    /// Reads more from `io`. 0 bytes mean its end.
    pub(super) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Self { unread, read_size } = self;
        if read_size.is_small() {
            return SCRATCH.with_borrow_mut(|scratch| {
                let room = scratch.len();
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(io).poll_read(cx, &mut read))?;
                read_size.adapt(read.filled().len(), room);
                unread.extend_from_slice(read.filled());
                Poll::Ready(Ok(read.filled().len()))
            });
        }
        if unread.is_empty() {
            // The allocator gives the memory that was freed last, which is likely to be in the
            // processor's cache. What this connection used last may not be there anymore.
            *unread = BytesMut::with_capacity(read_size.bytes());
        } else {
            unread.reserve(read_size.bytes());
        }
        let room = unread.capacity() - unread.len();
        let read = poll_read_buf(Pin::new(io), cx, unread);
        if unread.is_empty() {
            // A waiting connection has no buffer.
            *unread = BytesMut::new();
        }
        let read = ready!(read)?;
        read_size.adapt(read, room);
        Poll::Ready(Ok(read))
    }

    /// Whether the unread bytes may contain a complete header, or more than `most` bytes, if the
    /// header does not end in the first `seen` bytes. It avoids parsing again and again a header
    /// that arrives byte by byte.
    pub(super) fn may_have_head(&self, seen: usize, most: usize) -> bool {
        let unread = &self.unread;
        if unread.is_empty() {
            return false;
        }
        // The header ends with an empty line; a CR may precede its line feed.
        let fresh = &unread[seen.saturating_sub(2).min(unread.len())..];
        seen == 0
            || unread.len() >= most
            || memchr::memchr_iter(b'\n', fresh)
                .any(|at| matches!(fresh[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
    }

    /// Drops empty lines before a message (RFC 9112, 2.2).
    pub(super) fn skip_empty_lines(&mut self) {
        let is_part = |bytes: &[u8]| matches!(bytes, [b'\n', ..] | [b'\r', b'\n', ..]);
        while is_part(&self.unread) {
            let length = 1 + usize::from(self.unread[0] == b'\r');
            self.unread.advance(length);
        }
    }

    /// The message has ended: what follows is another one.
    pub(super) fn next_message(&mut self) {
        self.read_size = ReadSize::default();
        if self.unread.is_empty() {
            // An idle connection keeps no buffer.
            self.unread = BytesMut::new();
        }
    }
}
