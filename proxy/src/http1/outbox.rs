//! Bytes that are to be written to a connection.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::Frame;
use tokio::io::AsyncWrite;

use super::encoding::Encoding;

/// Largest piece of a body, in bytes, that is copied behind the header, so that both are one slice
/// in one write.
pub(super) const SMALL: usize = 2 * 1024;
/// Once so many bytes are gathered, nothing is added before they are written.
const ENOUGH: usize = 16 * 1024;

thread_local! {
    /// A spare buffer of this thread, because most outboxes need one only from a header to its
    /// write.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes in the order in which they are sent: the outbox's own buffer, then a piece of a body,
/// then the framing after that piece.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    own: Vec<u8>,
    /// Bytes of `own` that were written.
    gone: usize,
    piece: Bytes,
    behind: &'static [u8],
}

impl Outbox {
    /// The buffer for a header.
    pub(super) fn head(&mut self) -> &mut Vec<u8> {
        if self.own.capacity() == 0 {
            self.own = SPARE.take();
        }
        &mut self.own
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone == self.own.len() && self.piece.is_empty() && self.behind.is_empty()
    }

    /// Whether more should be gathered before the next write.
    pub(super) fn takes_more(&self) -> bool {
        self.piece.is_empty() && self.behind.is_empty() && self.own.len() < ENOUGH
    }

    /// Adds a frame of a body, with the framing by `encoding`. Returns whether it ends the body.
    /// `None`: the body is longer or shorter than announced.
    pub(super) fn frame(&mut self, frame: Frame<Bytes>, encoding: &mut Encoding) -> Option<bool> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => Some(false),
            Ok(data) => {
                encoding.before(data.len(), self.head())?;
                if data.len() <= SMALL {
                    self.own.extend_from_slice(&data);
                    self.own.extend_from_slice(encoding.behind());
                } else {
                    self.piece = data;
                    self.behind = encoding.behind();
                }
                Some(false)
            }
            Err(frame) => {
                let trailers = frame.into_trailers().ok();
                encoding.end(trailers.as_ref(), self.head())?;
                Some(true)
            }
        }
    }

    /// Adds the end of a body. `None`: the body is shorter than announced.
    pub(super) fn end(&mut self, encoding: &Encoding) -> Option<()> {
        if self.piece.is_empty() && self.behind.is_empty() {
            return encoding.end(None, self.head());
        }
        match encoding {
            Encoding::Length(left) => (*left == 0).then_some(()),
            // The end of the piece and the end of the body together.
            Encoding::Chunked(_) => {
                self.behind = b"\r\n0\r\n\r\n";
                Some(())
            }
            Encoding::Close => Some(()),
        }
    }

    /// Writes everything.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let own = &self.own[self.gone..];
            let written = if self.piece.is_empty() && self.behind.is_empty() {
                Pin::new(&mut *io).poll_write(cx, own)
            } else {
                let slices = [own, &self.piece, self.behind].map(IoSlice::new);
                Pin::new(&mut *io).poll_write_vectored(cx, &slices)
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        let own = written.min(self.own.len() - self.gone);
        self.gone += own;
        let piece = (written - own).min(self.piece.len());
        self.piece.advance(piece);
        self.behind = &self.behind[written - own - piece..];
    }

    /// Drops its content, and frees its memory.
    pub(super) fn release(&mut self) {
        let mut own = std::mem::take(self).own;
        if (1..=2 * ENOUGH).contains(&own.capacity()) {
            own.clear();
            SPARE.set(own);
        }
    }
}
