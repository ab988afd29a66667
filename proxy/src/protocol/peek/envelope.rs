//! What stands in front of a gRPC message: whether it is compressed, and its length
//! (grpc.github.io/grpc/core/md_doc_compression.html).

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{Fault, decode::Decoder};

/// A message's flag and length, in front of it.
pub(super) const PREFIX: usize = 5;

/// How the messages of a call are compressed, those that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCoding {
    /// `gzip`
    Gzip,
    /// `deflate`
    Deflate,
}

/// The envelope of a call's first message, as its bytes come.
#[derive(Debug)]
pub(super) struct Envelope {
    coding: MessageCoding,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In the prefix; what came of it.
    Prefix(BytesMut),
    /// In a compressed message; how much is missing.
    Compressed(usize),
}

/// What was in it.
pub(super) enum Opened {
    /// Nothing yet.
    Nothing,
    /// The prefix of a message that is not compressed, and what came behind it. It has been
    /// opened.
    Plain(Bytes, Bytes),
    /// A part of a compressed message.
    Compressed(Bytes),
}

// === impl MessageCoding ===

impl MessageCoding {
    /// What the field `grpc-encoding` says; `None`: messages are not compressed, or in a way that is
    /// not known.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match headers.get("grpc-encoding")?.as_bytes() {
            b"gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            _ => None,
        }
    }

    /// For one message: each is compressed by itself.
    ///
    /// # Errors
    /// If there is no such decoder.
    pub(super) fn decoder(self) -> Result<Decoder, Fault> {
        Decoder::named(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        })
    }
}

// === impl Envelope ===

impl Envelope {
    /// Of a call whose messages may be compressed so.
    pub(super) fn new(coding: MessageCoding) -> Self {
        Self {
            coding,
            state: State::Prefix(BytesMut::new()),
        }
    }

    /// Takes the next piece of the body.
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

    /// Whether all of a compressed message has come.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Compressed(0))
    }

    /// See [`MessageCoding::decoder`].
    pub(super) fn decoder(&self) -> Result<Decoder, Fault> {
        self.coding.decoder()
    }
}

/// Whether the message behind `read` is compressed, and its length; `None`: that is not all of a
/// prefix.
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
    fn coding_is_what_the_field_says() {
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
