//! Takes the framing off a body as its bytes come (RFC 9112, 6 and 7).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Bytes of all chunk extensions of a body at most.
const EXTENSION_BYTES: u32 = 16 * 1024;
/// Bytes of a trailer section at most.
const TRAILER_BYTES: usize = 16 * 1024;
/// Fields of a trailer section at most.
const TRAILER_FIELDS: usize = 100;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// By a chunk without bytes.
    Chunked,
    /// With the connection.
    Close,
}

/// A part of a body.
#[derive(Debug)]
pub enum DecodedFrame {
    /// Some of its bytes; never none.
    Data(Bytes),
    /// The fields behind it, with which it ends.
    Trailers(HeaderMap),
}

/// A body that is not framed as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A chunk's size is missing, is no hexadecimal number, or is too large.
    #[error("the size of a chunk is malformed")]
    Size,
    /// The line of a chunk's size goes on for too long, or ends with a line feed alone.
    #[error("the extension of a chunk is malformed or too long")]
    Extension,
    /// A chunk has more bytes than its size says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// The fields behind the body are no fields, or too many.
    #[error("the trailer section is malformed or too long")]
    Trailers,
    /// The connection ended before the body.
    #[error("the connection closed before the end of the body")]
    Incomplete,
}

/// The state of one body's reading.
#[derive(Clone, Copy, Debug)]
pub struct BodyDecoder {
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Bytes that are still to come.
    Length(u64),
    Chunked(Chunked),
    Close {
        ended: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Chunked {
    state: State,
    /// Of the chunk: its size as far as it has been read, then what is still to come.
    left: u64,
    extension_bytes: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    Size,
    /// Another digit, or what ends the size.
    MoreSize,
    /// Spaces behind the size.
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
    /// For a body that is framed by `framing`.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let kind = match framing {
            Framing::Length(length) => Kind::Length(length),
            Framing::Chunked => Kind::Chunked(Chunked {
                state: State::Size,
                left: 0,
                extension_bytes: 0,
            }),
            Framing::Close => Kind::Close { ended: false },
        };
        Self { kind }
    }

    /// Whether all of the body has come.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match &self.kind {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(chunked) => chunked.state == State::Ended,
            Kind::Close { ended } => *ended,
        }
    }

    /// Bytes that are still to come, if that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.kind {
            Kind::Length(left) => Some(left),
            Kind::Chunked(_) | Kind::Close { .. } => None,
        }
    }

    /// Takes the next part out of `bytes`; `None` if the body has ended, or more bytes are needed.
    ///
    /// # Errors
    /// [`Malformed`]; nothing of what follows can be trusted then.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<DecodedFrame>, Malformed> {
        match &mut self.kind {
            _ if bytes.is_empty() => Ok(None),
            Kind::Length(0) => Ok(None),
            Kind::Length(left) => Ok(Some(take(bytes, left))),
            Kind::Chunked(chunked) => chunked.decode(bytes),
            Kind::Close { .. } => Ok(Some(DecodedFrame::Data(bytes.split().freeze()))),
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// [`Malformed::Incomplete`] if the body has not.
    pub fn end_of_input(&mut self) -> Result<(), Malformed> {
        if let Kind::Close { ended } = &mut self.kind {
            *ended = true;
        }
        self.is_ended().then_some(()).ok_or(Malformed::Incomplete)
    }
}

/// What there is of the `left` bytes.
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
                    // If the end has come as well, it is known with the last bytes. What is
                    // malformed is found again at the next call.
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

    /// Reads what is between the bytes of chunks. Changes nothing if it is malformed.
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

fn parse_trailers(bytes: &[u8]) -> Result<HeaderMap, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
    let parsed = httparse::parse_headers(bytes, &mut fields);
    let Ok(httparse::Status::Complete((length, fields))) = parsed else {
        return Err(Malformed::Trailers);
    };
    if length != bytes.len() {
        return Err(Malformed::Trailers);
    }
    let field = |field: &httparse::Header<'_>| {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(field.value).ok()?))
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for found in fields.iter().map(field) {
        let (name, value) = found.ok_or(Malformed::Trailers)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests;
