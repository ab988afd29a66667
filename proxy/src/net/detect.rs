//! What a caller's first bytes tell.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::HttpVersion;
use crate::net::Transport;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4). No HTTP/1.1
/// request does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Read at once to look at: most first requests fit.
const FIRST: usize = 2048;

/// Which HTTP the caller speaks, by its first bytes. It costs no round trip and
/// no further system call: what is read is kept.
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

/// `None`: too short to tell.
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
    fn first_bytes_tell_the_version_as_soon_as_they_can() {
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
