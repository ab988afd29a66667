//! Writes the framing of a body (RFC 9112, 6 and 7).

use std::io::Write as _;

use http::{
    HeaderName,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING,
    },
};
use http_body::Body;

use crate::message::{HeaderMap, Trailers};

/// The framing of a body that is sent.
#[derive(Debug, PartialEq)]
pub(super) enum Encoding {
    /// By its length; the bytes that are still to be sent.
    Length(u64),
    /// By chunks. Trailers with these names may follow.
    Chunked(Vec<HeaderName>),
    /// By the end of the connection: for a caller by HTTP/1.0, if the length is not known.
    Close,
}

/// Writes a field line.
pub(super) fn put_field(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    // One by one: a copy whose length is known here costs no call.
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The names of allowed trailers: those that the header announces (RFC 9110, 6.6.2).
fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(TRAILER);
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(may_trail)
        .collect()
}

/// Whether a field may be a trailer: it must not concern framing, routing or authorisation (RFC
/// 9110, 6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 12] = [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        HOST,
        MAX_FORWARDS,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
    ];
    !NEVER.contains(name)
}

impl Encoding {
    /// The encoding of `body`: by its known or announced length, or else by chunks, with the
    /// trailers that `headers` announce.
    pub(super) fn of<B: Body>(body: &B, headers: &HeaderMap) -> Self {
        let announced = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        match body.size_hint().exact().or_else(announced) {
            Some(length) => Self::Length(length),
            None => Self::Chunked(announced_trailers(headers)),
        }
    }

    /// Writes the field of the framing, and the end of the header.
    pub(super) fn end_head(&self, out: &mut Vec<u8>) {
        match self {
            Self::Length(length) => {
                let mut digits = itoa::Buffer::new();
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(digits.format(*length).as_bytes());
                out.extend_from_slice(b"\r\n\r\n");
            }
            Self::Chunked(_) => out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
            Self::Close => out.extend_from_slice(b"\r\n"),
        }
    }

    /// Writes what precedes `length` bytes of the body. `None`: the header has announced fewer
    /// bytes.
    #[must_use]
    pub(super) fn before(&mut self, length: usize, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Length(left) => *left = left.checked_sub(length as u64)?,
            Self::Chunked(_) => {
                let _ = write!(out, "{length:x}\r\n");
            }
            Self::Close => {}
        }
        Some(())
    }

    /// What follows each piece of the body.
    pub(super) fn behind(&self) -> &'static [u8] {
        match self {
            Self::Length(_) | Self::Close => b"",
            Self::Chunked(_) => b"\r\n",
        }
    }

    /// Writes the end of the body, with those `trailers` that are allowed. `None`: the header has
    /// announced more bytes.
    #[must_use]
    pub(super) fn end(&self, trailers: Option<&Trailers>, out: &mut Vec<u8>) -> Option<()> {
        let names = match self {
            Self::Length(left) => return (*left == 0).then_some(()),
            Self::Chunked(names) => names,
            Self::Close => return Some(()),
        };
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            if names.contains(name) {
                put_field(out, name, value.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_long_as_its_head_says() {
        let mut encoding = Encoding::Length(3);
        let mut out = Vec::new();
        assert_eq!(encoding.before(4, &mut out), None);
        assert_eq!(encoding.before(2, &mut out), Some(()));
        assert_eq!(encoding.end(None, &mut out), None);
        assert_eq!(encoding.before(1, &mut out), Some(()));
        assert_eq!(encoding.end(None, &mut out), Some(()));
        assert!(out.is_empty());
    }
}
