//! A caller's bytes, watched: the connection's state hears of what moves.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use pingora_core::protocols::Stream;

use super::Connection;
use crate::coalesce;

pub(super) struct WatchedIo {
    io: TokioIo<Stream>,
    state: Rc<Connection>,
}

impl WatchedIo {
    pub(super) fn new(stream: Stream, state: Rc<Connection>) -> Self {
        Self {
            io: TokioIo::new(stream),
            state,
        }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.state.write_blocked.set(result.is_pending());
        result
    }
}

impl Read for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        // Also at the end of the stream, which hyper takes from there.
        if let Poll::Ready(Ok(())) = result {
            self.state.received();
        }
        result
    }
}

impl Write for WatchedIo {
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
        let result = coalesce::poll_write(
            Pin::new(&mut self.io),
            cx,
            slices,
            |io, cx, bytes| io.poll_write(cx, bytes),
            |io, cx, slices| io.poll_write_vectored(cx, slices),
        );
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        if let Poll::Ready(Ok(())) = result {
            // hyper flushes when it has written all it had.
            self.state.flushed();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
