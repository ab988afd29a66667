//! A caller's byte stream that reports reads, blocked writes and flushes to the state of its
//! connection.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    exchange::{Connection, StreamState},
    net::Transport,
};

pub(super) struct WatchedIo {
    io: Transport<Stream>,
    connection: Rc<Connection>,
    /// The stream state of an HTTP/1.1 connection; `None` on HTTP/2.
    state: Option<Rc<StreamState>>,
}

impl WatchedIo {
    pub(super) fn http1(io: Transport<Stream>, state: Rc<StreamState>) -> Self {
        Self {
            io,
            connection: state.connection().clone(),
            state: Some(state),
        }
    }

    pub(super) fn http2(io: Transport<Stream>, connection: Rc<Connection>) -> Self {
        Self {
            io,
            connection,
            state: None,
        }
    }

    pub(super) fn into_inner(self) -> Transport<Stream> {
        self.io
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.write_blocked.set(result.is_pending());
        result
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        // Also at the end of the stream: hyper handles that.
        if result.is_ready() {
            match &self.state {
                Some(state) => state.received(),
                None => self.connection.received_bytes.set(true),
            }
        }
        result
    }
}

impl AsyncWrite for WatchedIo {
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
        let result = Pin::new(&mut self.io).poll_flush(cx);
        // hyper and h2 flush after they have written everything they had.
        if let Poll::Ready(Ok(())) = result
            && self.connection.flushed()
            && let Some(state) = &self.state
        {
            state.flushed();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
