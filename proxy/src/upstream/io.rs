//! A replica's bytes; tells whether any came.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::net::Transport;

/// The bytes of one connection.
#[derive(Debug)]
pub(super) struct ReadTrackingIo {
    io: Transport<TcpStream>,
    received: Rc<Cell<bool>>,
}

impl ReadTrackingIo {
    /// `received` is set when bytes come.
    pub(super) fn new(io: Transport<TcpStream>, received: Rc<Cell<bool>>) -> Self {
        Self { io, received }
    }

    /// The bytes alone. `bytes`, which were read of them, come first again.
    pub(super) fn into_unread(self, bytes: Bytes) -> Transport<TcpStream> {
        self.io.unread(bytes)
    }
}

impl AsyncRead for ReadTrackingIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.received.set(true);
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
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
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
