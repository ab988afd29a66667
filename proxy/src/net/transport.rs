//! A connection's byte stream below HTTP: clear text or TLS, with coalesced writes. Bytes that were
//! read ahead can be put back.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;
use tokio_util::either::Either;

use crate::net::coalesce;

/// The byte stream of one connection, over the socket type `S`.
#[derive(Debug)]
pub(crate) struct Transport<S> {
    /// Bytes that were put back, to be read first.
    first: Bytes,
    io: Either<S, Box<TlsStream<S>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    pub(crate) fn clear(stream: S) -> Self {
        Self {
            first: Bytes::new(),
            io: Either::Left(stream),
        }
    }

    pub(crate) fn tls(stream: impl Into<TlsStream<S>>) -> Self {
        Self {
            first: Bytes::new(),
            io: Either::Right(Box::new(stream.into())),
        }
    }

    /// The socket below TLS.
    pub(crate) fn carrier(&self) -> &S {
        match &self.io {
            Either::Left(stream) => stream,
            Either::Right(tls) => tls.get_ref().0,
        }
    }

    /// Puts back `bytes` that were read ahead: the next read returns them first.
    pub(crate) fn unread(mut self, bytes: Bytes) -> Self {
        self.put_back(bytes);
        self
    }

    /// As [`unread`](Self::unread).
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.first = match self.first.is_empty() {
            true => bytes,
            false => [&bytes[..], &self.first].concat().into(),
        };
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(length));
        if self.first.is_empty() {
            // Frees the buffer.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
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
        coalesce::poll_write(Pin::new(&mut self.io), cx, slices)
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn what_is_put_back_comes_before_all_else_also_in_parts() {
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut io = Transport::clear(ours).unread(Bytes::from_static(b"abcdef"));
        let mut start = [0; 2];
        io.read_exact(&mut start).await.unwrap();
        io = io.unread(Bytes::copy_from_slice(&start));
        let mut all = [0; 6];
        io.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"abcdef");
    }
}
