//! Bytes that are to be written to a connection.

use std::{
    cell::Cell,
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Largest piece of a body, in bytes, that is copied between the frames' headers.
const COPIED: usize = 4 * 1024;
/// Most slices of one write.
const SLICES: usize = 16;
/// Largest buffer, in bytes, that a thread keeps for the next connection.
const KEPT: usize = 128 * 1024;

thread_local! {
    /// A spare buffer of this thread: a connection has one only until its frames are written.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Frames in the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Output {
    own: Vec<u8>,
    /// Bytes of `own` that were written.
    gone: usize,
    /// Large pieces of bodies, each with the place in `own` before which it is sent.
    pieces: VecDeque<(usize, Bytes)>,
    /// Bytes of `pieces`.
    pieces_bytes: usize,
}

impl Output {
    /// The buffer to which frames are appended.
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        if self.own.capacity() == 0 {
            self.own = SPARE.take();
        }
        &mut self.own
    }

    /// Adds a piece of a body behind its frame's header.
    pub(super) fn piece(&mut self, piece: Bytes) {
        if piece.len() <= COPIED {
            self.own.extend_from_slice(&piece);
        } else {
            self.pieces_bytes += piece.len();
            self.pieces.push_back((self.own.len(), piece));
        }
    }

    /// Bytes that were not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.own.len() - self.gone + self.pieces_bytes
    }

    /// Writes everything.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.bytes() > 0 {
            let written = if self.pieces.is_empty() {
                Pin::new(&mut *io).poll_write(cx, &self.own[self.gone..])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = self.slices(&mut slices);
                Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count])
            };
            if written.is_pending() {
                self.forget_written();
            }
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let (mut from, mut count) = (self.gone, 0);
        for (at, piece) in self.pieces.iter().take(SLICES / 2) {
            for slice in [&self.own[from..*at], piece] {
                if !slice.is_empty() {
                    slices[count] = IoSlice::new(slice);
                    count += 1;
                }
            }
            from = *at;
        }
        if self.pieces.len() < SLICES / 2 && from < self.own.len() {
            slices[count] = IoSlice::new(&self.own[from..]);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut written: usize) {
        while written > 0 {
            let next = self.pieces.front().map_or(self.own.len(), |(at, _)| *at);
            let own = written.min(next - self.gone);
            self.gone += own;
            written -= own;
            let Some((_, piece)) = self.pieces.front_mut().filter(|_| written > 0) else {
                return;
            };
            let taken = written.min(piece.len());
            piece.advance(taken);
            self.pieces_bytes -= taken;
            written -= taken;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Frees the memory of what was written, of a connection that always has more to write.
    fn forget_written(&mut self) {
        if self.gone >= COPIED && self.gone >= self.own.len() / 2 {
            self.own.drain(..self.gone);
            for (at, _) in &mut self.pieces {
                *at -= self.gone;
            }
            self.gone = 0;
        }
    }

    /// Drops its content, and gives its memory back.
    pub(super) fn release(&mut self) {
        let mut own = std::mem::take(self).own;
        if (1..=KEPT).contains(&own.capacity()) {
            own.clear();
            SPARE.set(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, task::Waker};
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn pieces_are_sent_in_their_places_however_little_is_taken() {
        let (mut near, mut far) = tokio::io::duplex(777);
        let mut output = Output::default();
        let mut expected = Vec::new();
        for i in 0..60_u8 {
            let head = vec![i; usize::from(i % 5)];
            let piece = vec![100 + i; usize::from(i) * 150];
            output.frames().extend_from_slice(&head);
            output.piece(piece.clone().into());
            expected.extend([head, piece].concat());
        }
        output.frames().extend_from_slice(b"the end");
        expected.extend_from_slice(b"the end");
        assert_eq!(output.bytes(), expected.len());
        let sending = async {
            poll_fn(|cx| output.poll_write(&mut near, cx))
                .await
                .unwrap();
            drop(near);
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(sending, far.read_to_end(&mut got));
        read.unwrap();
        assert!(got == expected, "{} of {}", got.len(), expected.len());
        assert_eq!((output.bytes(), output.own.capacity()), (0, 0));
    }

    #[tokio::test]
    async fn what_was_written_is_freed_while_there_is_always_more() {
        let (mut near, mut far) = tokio::io::duplex(1000);
        let mut output = Output::default();
        let cx = &mut Context::from_waker(Waker::noop());
        output.frames().extend_from_slice(&[7; 500]);
        tokio::task::unconstrained(async {
            for _ in 0..1000 {
                output.frames().extend_from_slice(&[7; 1000]);
                assert!(output.poll_write(&mut near, cx).is_pending());
                far.read_exact(&mut [0; 1000]).await.unwrap();
                assert_eq!(output.bytes(), 500);
            }
        })
        .await;
        assert!(output.own.capacity() < 4 * COPIED);
    }
}
