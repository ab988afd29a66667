//! Decodes the framing of a body (RFC 9112, 6 and 7).

use bytes::{Buf, Bytes, BytesMut};

use super::header_reader::{FieldLines, HeaderReader};
use crate::message::Trailers;

/// Most bytes of all chunk extensions of a body.
const EXTENSION_BYTES: u32 = 16 * 1024;
/// Most digits of a chunk's size, and spaces behind them. Some writers fill sizes up with zeros or
/// spaces.
const SIZE_BYTES: u8 = 32;
/// Most bytes of a trailer section.
const TRAILER_BYTES: usize = 16 * 1024;
/// Most fields of a trailer section.
const TRAILER_FIELDS: usize = 100;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(u64),
    /// With a chunk of size 0.
    Chunked,
    /// When the connection ends.
    Close,
}

/// A part of a body.
#[derive(Debug)]
pub enum DecodedFrame {
    /// Some of its bytes; never empty.
    Data(Bytes),
    /// The trailers, which end it.
    Trailers(Trailers),
}

/// What is wrong with a body's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A chunk's size is missing, is not hexadecimal, or is too large.
    #[error("the size of a chunk is malformed")]
    Size,
    /// The line with a chunk's size is too long, or ends with a line feed alone.
    #[error("the extension of a chunk is malformed or too long")]
    Extension,
    /// A chunk is longer than its size says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// The trailers are malformed, or too large.
    #[error("the trailer section is malformed or too long")]
    Trailers,
    /// The connection ended before the body did.
    #[error("the connection closed before the end of the body")]
    Incomplete,
}

/// The state of reading one body.
#[derive(Clone, Copy, Debug)]
pub struct BodyDecoder {
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The number of bytes that follow.
    Length(u64),
    Chunked(Chunked),
    Close {
        ended: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Chunked {
    state: State,
    /// While the size is read: the size so far. Then the bytes of the chunk that follow.
    left: u64,
    size_bytes: u8,
    extension_bytes: u32,
}

/// What is expected next within chunked framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    Size,
    /// Another digit, or the end of the size.
    MoreSize,
    /// Spaces after the size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Ended,
}

impl BodyDecoder {
    /// For a body with this framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let kind = match framing {
            Framing::Length(length) => Kind::Length(length),
            Framing::Chunked => Kind::Chunked(Chunked {
                state: State::Size,
                left: 0,
                size_bytes: 0,
                extension_bytes: 0,
            }),
            Framing::Close => Kind::Close { ended: false },
        };
        Self { kind }
    }

    /// Whether the whole body has been decoded.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match &self.kind {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(chunked) => chunked.state == State::Ended,
            Kind::Close { ended } => *ended,
        }
    }

    /// The number of bytes that follow, if known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.kind {
            Kind::Length(left) => Some(left),
            Kind::Chunked(_) | Kind::Close { .. } => None,
        }
    }

    /// Takes the next part out of `bytes`. `None`: the body has ended, or more bytes are needed.
    ///
    /// # Errors
    /// [`Malformed`]. The bytes that follow must not be used then.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<DecodedFrame>, Malformed> {
        match &mut self.kind {
            _ if bytes.is_empty() => Ok(None),
            Kind::Length(0) => Ok(None),
            Kind::Length(left) => Ok(Some(take(bytes, left))),
            Kind::Chunked(chunked) => chunked.decode(bytes),
            Kind::Close { .. } => Ok(Some(DecodedFrame::Data(bytes.split().freeze()))),
        }
    }

    /// To be called when the connection has ended.
    ///
    /// # Errors
    /// [`Malformed::Incomplete`] if the body has not ended.
    pub fn end_of_input(&mut self) -> Result<(), Malformed> {
        if let Kind::Close { ended } = &mut self.kind {
            *ended = true;
        }
        self.is_ended().then_some(()).ok_or(Malformed::Incomplete)
    }
}

/// Takes up to `left` of the available bytes.
fn take(bytes: &mut BytesMut, left: &mut u64) -> DecodedFrame {
    let there = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= there as u64;
    DecodedFrame::Data(bytes.split_to(there).freeze())
}

impl Chunked {
    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<DecodedFrame>, Malformed> {
        self.skip_framing(bytes)?;
        match self.state {
            State::Data if !bytes.is_empty() => {
                let part = take(bytes, &mut self.left);
                if self.left == 0 {
                    self.state = State::DataCr;
                    // If the end of the body has arrived too, it is thus known with the last
                    // bytes. An error is found again by the next call.
                    let _ = self.skip_framing(bytes);
                    if self.state == State::Trailers && bytes.starts_with(b"\r\n") {
                        bytes.advance(2);
                        self.state = State::Ended;
                    }
                }
                Ok(Some(part))
            }
            State::Trailers => self.trailers(bytes),
            _ => Ok(None),
        }
    }

    /// Reads the framing between the data of two chunks. Leaves the state as it is if the framing
    /// is malformed.
    fn skip_framing(&mut self, bytes: &mut BytesMut) -> Result<(), Malformed> {
        let (mut next, mut read) = (*self, 0);
        for &byte in bytes.iter() {
            if matches!(next.state, State::Data | State::Trailers | State::Ended) {
                break;
            }
            next.step(byte)?;
            read += 1;
        }
        *self = next;
        bytes.advance(read);
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.size_bytes = match self.state {
            State::Size => 1,
            State::MoreSize | State::Space if self.size_bytes > SIZE_BYTES => {
                return Err(Malformed::Size);
            }
            State::MoreSize | State::Space => self.size_bytes + 1,
            _ => self.size_bytes,
        };
        self.state = match (self.state, byte) {
            (State::Size | State::MoreSize, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                let shifted = self.left.checked_mul(16).ok_or(Malformed::Size)?;
                self.left = shifted | u64::from(digit);
                State::MoreSize
            }
            (State::MoreSize | State::Space, b' ' | b'\t') => State::Space,
            (State::MoreSize | State::Space, b';') => State::Extension,
            (State::MoreSize | State::Space | State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\n') => return Err(Malformed::Extension),
            (State::Extension, _) => {
                self.extension_bytes += 1;
                if self.extension_bytes >= EXTENSION_BYTES {
                    return Err(Malformed::Extension);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailers,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err(Malformed::ChunkEnd),
            _ => return Err(Malformed::Size),
        };
        Ok(())
    }

    fn trailers(&mut self, bytes: &mut BytesMut) -> Result<Option<DecodedFrame>, Malformed> {
        match bytes[..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => {
                bytes.advance(2);
                self.state = State::Ended;
                return Ok(None);
            }
            [b'\r', ..] => return Err(Malformed::Trailers),
            _ => {}
        }
        let end = memchr::memmem::find(bytes, b"\r\n\r\n").map(|end| end + 4);
        if end.unwrap_or(bytes.len()) > TRAILER_BYTES {
            return Err(Malformed::Trailers);
        }
        let Some(end) = end else {
            return Ok(None);
        };
        let trailers = parse_trailers(&bytes[..end])?;
        bytes.advance(end);
        self.state = State::Ended;
        Ok(Some(DecodedFrame::Trailers(trailers)))
    }
}

fn parse_trailers(bytes: &[u8]) -> Result<Trailers, Malformed> {
    let mut lines = FieldLines::new();
    let mut reader = HeaderReader::new(bytes);
    let read = reader.fields(TRAILER_FIELDS, &mut lines);
    if read.is_err() || reader.position() != bytes.len() {
        return Err(Malformed::Trailers);
    }
    let bytes = Bytes::copy_from_slice(bytes);
    let mut trailers = Trailers::with_capacity(lines.len());
    for line in lines {
        let (name, value) = line.read(&bytes).ok_or(Malformed::Trailers)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests;
