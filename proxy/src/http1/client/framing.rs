//! What the header fields of an answer say about the end of its body, and about the connection
//! (RFC 9112, 6 and 9).

use http::{Method, StatusCode, Version};

use crate::{http1::decoder::Framing, net::digits};

/// The fields that concern the connection and the body's framing.
#[derive(Clone, Copy)]
pub(super) struct Hop {
    pub keep_alive: bool,
    pub coding: Coding,
    pub length: Length,
}

/// The value of `Transfer-Encoding`.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Coding {
    None,
    Chunked,
    /// Anything other than `chunked` alone. Tailback does not ask for other codings (RFC 9110,
    /// 10.1.4) and does not decode them.
    Other,
}

/// The value of all `Content-Length` fields together.
#[derive(Clone, Copy)]
pub(super) enum Length {
    None,
    Bytes(u64),
    /// It is not a number, or the values differ.
    Malformed,
}

impl Length {
    /// Adds one more value, which may be a list of equal numbers (RFC 9110, 8.6).
    pub(super) fn and(self, value: &[u8]) -> Self {
        let mut all = self;
        for number in value.split(|&byte| byte == b',') {
            let number = digits(number.trim_ascii());
            all = match (all, number) {
                (Self::None, Some(number)) => Self::Bytes(number),
                (Self::Bytes(known), Some(number)) if known == number => all,
                _ => Self::Malformed,
            };
        }
        all
    }
}

/// How the body ends, and whether another protocol follows (RFC 9112, 6.3). `None`: the end is
/// ambiguous.
pub(super) fn framing(
    status: StatusCode,
    method: &Method,
    version: Version,
    hop: Hop,
) -> Option<(Framing, bool)> {
    let has_tunnel = *method == Method::CONNECT && status.is_success();
    if status == StatusCode::SWITCHING_PROTOCOLS || has_tunnel {
        return Some((Framing::Length(0), true));
    }
    let has_none = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD;
    let framing = match (hop.coding, hop.length) {
        (Coding::None, Length::Malformed) | (Coding::Other, _) => None,
        _ if has_none => Some(Framing::Length(0)),
        (Coding::None, Length::Bytes(length)) => Some(Framing::Length(length)),
        (Coding::None, Length::None) => Some(Framing::Close),
        // HTTP/1.0 has no transfer codings, so the body's framing cannot be trusted.
        (Coding::Chunked, _) if version == Version::HTTP_10 => None,
        (Coding::Chunked, _) => Some(Framing::Chunked),
    };
    framing.map(|framing| (framing, false))
}
