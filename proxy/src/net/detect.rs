//! Detects the HTTP version from a connection's first bytes.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::HttpVersion;
use crate::net::Transport;

/// The HTTP/2 connection preface (RFC 9113, 3.4). No HTTP/1.1 request starts with it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Size of the first read: most first requests fit.
const FIRST: usize = 2048;

/// Determines the HTTP version that the caller speaks. It needs no extra round trip or system
/// call: the bytes that it reads are put back for the parser.
pub(crate) async fn version<S: AsyncRead + AsyncWrite + Unpin>(
    mut io: Transport<S>,
) -> io::Result<(Transport<S>, HttpVersion)> {
    let mut first = BytesMut::with_capacity(FIRST);
    loop {
        if let Some(version) = version_of(&first) {
            return Ok((io.unread(first.freeze()), version));
        }
        if io.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// `None`: more bytes are needed to decide.
fn version_of(first: &[u8]) -> Option<HttpVersion> {
    let length = first.len().min(PREFACE.len());
    if first[..length] != PREFACE[..length] {
        return Some(HttpVersion::Http1);
    }
    (length == PREFACE.len()).then_some(HttpVersion::Http2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_detected_from_as_few_bytes_as_possible() {
        for (first, expected) in [
            (&b""[..], None),
            (b"P", None),
            (b"PO", Some(HttpVersion::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(HttpVersion::Http1)),
            (b"PRI * HTTP/2.0\r\n", None),
            (b"PRI * HTTP/1.1\r\n", Some(HttpVersion::Http1)),
            (PREFACE, Some(HttpVersion::Http2)),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0",
                Some(HttpVersion::Http2),
            ),
            (b"\x16\x03\x01", Some(HttpVersion::Http1)),
        ] {
            assert_eq!(version_of(first), expected, "{first:?}");
        }
    }
}
