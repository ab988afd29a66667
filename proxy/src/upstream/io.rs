//! A replica's byte stream that records whether bytes arrived, and how much of a request was
//! written and acknowledged.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{Socket, Transport};

/// The byte stream of one connection.
#[derive(Debug)]
pub(super) struct ReadTrackingIo {
    io: Transport<Socket>,
    seen: Rc<Observed>,
}

/// What was observed on a connection.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Whether bytes have arrived since this was reset.
    pub received: Rc<Cell<bool>>,
    /// Bytes written since this was reset.
    pub written: Cell<u64>,
    /// Makes the next read ask the kernel, even if the runtime knows of nothing to read.
    pub probe: Cell<bool>,
    /// Set once the connection has ended: bytes that the replica's host had not acknowledged by
    /// then.
    pub unacknowledged: Cell<Option<u64>>,
}

impl ReadTrackingIo {
    /// Records what happens on `io` in `seen`.
    pub(super) fn new(io: Transport<Socket>, seen: Rc<Observed>) -> Self {
        Self { io, seen }
    }

    /// The byte stream alone, with `bytes` that were read ahead put back.
    pub(super) fn into_unread(self, bytes: Bytes) -> Transport<Socket> {
        self.io.unread(bytes)
    }

    /// Records the unacknowledged bytes. They are final now: a FIN acknowledges everything that was
    /// received before it.
    fn ended(&self) {
        if self.seen.unacknowledged.get().is_none() {
            let left = self.io.carrier().unacknowledged();
            self.seen.unacknowledged.set(left);
        }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(bytes)) => {
                let before = self.seen.written.get();
                self.seen.written.set(before + *bytes as u64);
            }
            Poll::Ready(Err(_)) => self.ended(),
            Poll::Pending => {}
        }
        result
    }
}

impl AsyncRead for ReadTrackingIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.probe.take() && self.io.carrier().has_more() {
            self.ended();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.seen.received.set(true);
        } else if result.is_ready() {
            self.ended();
        }
        result
    }
}

impl AsyncWrite for ReadTrackingIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
