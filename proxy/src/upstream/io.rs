//! A replica's bytes; tells whether any came, and what of a request has got through.

use std::{
    cell::Cell,
    io,
    os::fd::AsRawFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::net::{Transport, unacknowledged};

/// The bytes of one connection.
#[derive(Debug)]
pub(super) struct ReadTrackingIo {
    io: Transport<TcpStream>,
    seen: Rc<Seen>,
}

/// What has been seen on a connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Bytes have come, since somebody looked last.
    pub received: Rc<Cell<bool>>,
    /// Bytes that were written, since somebody looked last.
    pub written: Cell<u64>,
    /// The next read asks the kernel, also where nothing has been told of it.
    pub probe: Cell<bool>,
    /// Once the connection has ended: bytes that the replica's host had not acknowledged then.
    pub unacknowledged: Cell<Option<u64>>,
}

impl ReadTrackingIo {
    /// `seen` is told what is seen.
    pub(super) fn new(io: Transport<TcpStream>, seen: Rc<Seen>) -> Self {
        Self { io, seen }
    }

    /// The bytes alone. `bytes`, which were read of them, come first again.
    pub(super) fn into_unread(self, bytes: Bytes) -> Transport<TcpStream> {
        self.io.unread(bytes)
    }

    /// What was still under way is known as of now: what ends the connection acknowledges what it
    /// follows.
    fn ended(&self) {
        if self.seen.unacknowledged.get().is_none() {
            let left = unacknowledged(self.io.carrier());
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

/// Whether a connection that is to be silent is not: its end has come, or bytes have, after which it
/// cannot be used either.
fn has_more(tcp: &TcpStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(tcp.as_raw_fd(), &mut [0], flags) != Err(Errno::EAGAIN)
}

impl AsyncRead for ReadTrackingIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.probe.take() && has_more(self.io.carrier()) {
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
