//! The prefix of gRPC messages: a compression flag and the length
//! (grpc.github.io/grpc/core/md_doc_compression.html).

use bytes::{Bytes, BytesMut};
use http::HeaderName;

use super::{Fault, decode::Decoder};
use crate::message::HeaderMap;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Length of the prefix in bytes: 1 for the flag, 4 for the length.
pub(super) const PREFIX: usize = 5;

/// How compressed messages of a call are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCoding {
    /// `gzip`
    Gzip,
    /// `deflate`
    Deflate,
}

/// Reads the prefix of a call's first message.
#[derive(Debug)]
pub(super) struct Envelope {
    coding: MessageCoding,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Within the prefix; its bytes so far.
    Prefix(BytesMut),
    /// Within a compressed message; how many bytes are missing.
    Compressed(usize),
}

/// The result of reading a piece.
pub(super) enum Opened {
    /// The prefix is incomplete.
    Nothing,
    /// An uncompressed message: its prefix, and what follows it. The envelope is finished.
    Plain(Bytes, Bytes),
    /// A part of a compressed message.
    Compressed(Bytes),
}

// === impl MessageCoding ===

impl MessageCoding {
    /// The coding in the header field `grpc-encoding`. `None` if messages are not compressed, or by
    /// an unknown coding.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match headers.get(GRPC_ENCODING)?.as_bytes() {
            b"gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// A decoder for one message; each is compressed by itself.
    ///
    /// # Errors
    /// If the decoder cannot be created.
    pub(super) fn decoder(self) -> Result<Decoder, Fault> {
        Decoder::named(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        })
    }
}

// === impl Envelope ===

impl Envelope {
    /// The envelope of a call whose messages may be compressed by `coding`.
    pub(super) fn new(coding: MessageCoding) -> Self {
        Self {
            coding,
            state: State::Prefix(BytesMut::new()),
        }
    }

    /// Reads the next piece of the body.
    pub(super) fn open(&mut self, mut piece: Bytes) -> Result<Opened, Fault> {
        if let State::Prefix(read) = &mut self.state {
            let missing = PREFIX - read.len();
            read.extend_from_slice(&piece.split_to(missing.min(piece.len())));
            let Some((compressed, length)) = prefix(read)? else {
                return Ok(Opened::Nothing);
            };
            if !compressed {
                let prefix = std::mem::take(read).freeze();
                return Ok(Opened::Plain(prefix, piece));
            }
            self.state = State::Compressed(length);
        }
        let State::Compressed(left) = &mut self.state else {
            return Ok(Opened::Nothing);
        };
        let part = piece.split_to((*left).min(piece.len()));
        *left -= part.len();
        Ok(Opened::Compressed(part))
    }

    /// Whether a compressed message has arrived completely.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Compressed(0))
    }

    /// See [`MessageCoding::decoder`].
    pub(super) fn decoder(&self) -> Result<Decoder, Fault> {
        self.coding.decoder()
    }
}

/// Whether the message after the prefix `read` is compressed, and its length; `None` if the prefix
/// is incomplete.
pub(super) fn prefix(read: &[u8]) -> Result<Option<(bool, usize)>, Fault> {
    let [flag, length @ ..] = read else {
        return Ok(None);
    };
    let Ok(length) = <[u8; 4]>::try_from(length) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(length) as usize;
    match flag {
        0 => Ok(Some((false, length))),
        1 => Ok(Some((true, length))),
        _ => Err(Fault::NotMessage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_is_read_from_the_header() {
        for (value, expected) in [
            (None, None),
            (Some("identity"), None),
            (Some("gzip"), Some(MessageCoding::Gzip)),
            (Some("deflate"), Some(MessageCoding::Deflate)),
            (Some("snappy"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("grpc-encoding", value.parse().unwrap());
            }
            assert_eq!(MessageCoding::of(&headers), expected, "{value:?}");
        }
    }

    #[test]
    fn prefix_is_read_when_it_is_whole() {
        assert_eq!(prefix(&[]), Ok(None));
        assert_eq!(prefix(&[0, 0, 0, 1]), Ok(None));
        assert_eq!(prefix(&[0, 0, 0, 1, 2]), Ok(Some((false, 258))));
        assert_eq!(prefix(&[1, 0, 0, 0, 0]), Ok(Some((true, 0))));
        assert_eq!(prefix(&[2, 0, 0, 0, 0]), Err(Fault::NotMessage));
    }
}
