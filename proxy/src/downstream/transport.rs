//! A caller's connection below HTTP: clear or encrypted, with its first bytes
//! looked at.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::Version;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4). No HTTP/1.1
/// request does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Read at once to look at: most first requests fit.
const FIRST: usize = 2048;

/// See the [module](self).
pub(super) struct Transport {
    /// Read, and not passed on yet.
    first: Bytes,
    io: Io,
}

enum Io {
    Clear(Stream),
    Tls(Box<TlsStream<Stream>>),
}

impl Transport {
    pub(super) fn clear(stream: Stream) -> Self {
        Self {
            first: Bytes::new(),
            io: Io::Clear(stream),
        }
    }

    pub(super) fn tls(stream: TlsStream<Stream>) -> Self {
        Self {
            first: Bytes::new(),
            io: Io::Tls(Box::new(stream)),
        }
    }

    /// Bytes that were read of it come first again.
    pub(super) fn unread(mut self, bytes: Bytes) -> Self {
        self.first = bytes;
        self
    }

    /// Which HTTP the caller speaks, by its first bytes. It costs no round trip
    /// and no further system call: what is read is kept.
    pub(super) async fn version(&mut self) -> io::Result<Version> {
        let mut first = BytesMut::with_capacity(FIRST);
        loop {
            if let Some(version) = version_of(&first) {
                self.first = first.freeze();
                return Ok(version);
            }
            let read = match &mut self.io {
                Io::Clear(stream) => stream.read_buf(&mut first).await?,
                Io::Tls(stream) => stream.read_buf(&mut first).await?,
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// `None`: too short to tell.
fn version_of(first: &[u8]) -> Option<Version> {
    let length = first.len().min(PREFACE.len());
    if first[..length] != PREFACE[..length] {
        return Some(Version::Http1);
    }
    (length == PREFACE.len()).then_some(Version::Http2)
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let length = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..length]);
            self.first.advance(length);
            if self.first.is_empty() {
                self.first = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        match &mut self.io {
            Io::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Clear(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Clear(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_version_as_soon_as_they_can() {
        for (first, expected) in [
            (&b""[..], None),
            (b"P", None),
            (b"PO", Some(Version::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(Version::Http1)),
            (b"PRI * HTTP/2.0\r\n", None),
            (b"PRI * HTTP/1.1\r\n", Some(Version::Http1)),
            (PREFACE, Some(Version::Http2)),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0",
                Some(Version::Http2),
            ),
            (b"\x16\x03\x01", Some(Version::Http1)),
        ] {
            assert_eq!(version_of(first), expected, "{first:?}");
        }
    }
}
