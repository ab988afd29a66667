//! What has been read of a connection and not taken yet.

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
    /// Where a thread's connections read to, unless they read a lot. So a connection that waits
    /// has no buffer, and a message has one of its own length.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; read_size::SMALL].into());
}

#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) unread: BytesMut,
    read_size: ReadSize,
}

impl Input {
    /// Reads some more of `io`; 0 bytes are its end.
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
        unread.reserve(read_size.bytes());
        let room = unread.capacity() - unread.len();
        let read = ready!(poll_read_buf(Pin::new(io), cx, unread))?;
        read_size.adapt(read, room);
        Poll::Ready(Ok(read))
    }

    /// Whether a head, which does not end in the first `seen` bytes, may be there, or is longer than
    /// `most`. Who sends a head byte by byte does not have it read as often.
    pub(super) fn may_have_head(&self, seen: usize, most: usize) -> bool {
        let unread = &self.unread;
        if unread.is_empty() {
            return false;
        }
        // The end is a line without anything; before the second line feed there may be a CR.
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
            // An idle connection needs no memory but its own.
            self.unread = BytesMut::new();
        }
    }
}
