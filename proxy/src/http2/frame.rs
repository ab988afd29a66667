//! Frames (RFC 9113, 4 and 6).

use super::{Reason, error::ConnectionError};

/// What a client sends first (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's header, in bytes.
pub(super) const HEAD: usize = 9;
/// Largest payload in both directions, in bytes: the one that every peer accepts (RFC 9113, 4.2).
pub(super) const MOST: usize = 16_384;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PUSH_PROMISE: u8 = 0x5;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITISED: u8 = 0x20;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The stream; 0 is the connection.
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, id @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(id) & 0x7fff_ffff,
        }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Its form on the wire.
    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    /// A payload without its padding (RFC 9113, 6.1).
    pub(super) fn unpadded(self, payload: &[u8]) -> Result<&[u8], ConnectionError> {
        if !self.has(PADDED) {
            return Ok(payload);
        }
        let (&padding, rest) =
            (payload.split_first()).ok_or(ConnectionError(Reason::FRAME_SIZE_ERROR))?;
        let length = (rest.len()).checked_sub(usize::from(padding));
        let length = length.ok_or(ConnectionError(Reason::PROTOCOL_ERROR))?;
        Ok(&rest[..length])
    }
}

/// A number of four bytes; `None`: there are more or fewer.
pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// Writes a frame.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[&[u8]]) {
    let length = payload.iter().map(|bytes| bytes.len()).sum();
    let head = FrameHead {
        length,
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.to_bytes());
    for bytes in payload {
        out.extend_from_slice(bytes);
    }
}

pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    write(out, RST_STREAM, 0, stream, &[&reason.0.to_be_bytes()]);
}

pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    write(out, WINDOW_UPDATE, 0, stream, &[&bytes.to_be_bytes()]);
}

pub(super) fn write_go_away(out: &mut Vec<u8>, last: u32, reason: Reason) {
    let payload = [&last.to_be_bytes()[..], &reason.0.to_be_bytes()];
    write(out, GOAWAY, 0, 0, &payload);
}

/// Writes a header block, in as many frames as it needs. `encode` appends it.
pub(super) fn write_block(
    out: &mut Vec<u8>,
    stream: u32,
    is_end: bool,
    encode: impl FnOnce(&mut Vec<u8>),
) {
    let begin = out.len();
    out.extend_from_slice(&[0; HEAD]);
    encode(out);
    let length = out.len() - begin - HEAD;
    let end = if is_end { END_STREAM } else { 0 };
    let first = FrameHead {
        length: length.min(MOST),
        kind: HEADERS,
        flags: end | if length <= MOST { END_HEADERS } else { 0 },
        stream,
    };
    out[begin..][..HEAD].copy_from_slice(&first.to_bytes());
    if length > MOST {
        let rest = out.split_off(begin + HEAD + MOST);
        let mut pieces = rest.chunks(MOST).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            write(out, CONTINUATION, flags, stream, &[piece]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames in `bytes`, with the length of each payload.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, usize)> {
        let mut found = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk() {
            let head = FrameHead::parse(head);
            found.push((head.kind, head.flags, head.stream, head.length));
            bytes = &rest[head.length..];
        }
        found
    }

    #[test]
    fn a_block_takes_as_many_frames_as_it_needs() {
        for (length, expected) in [
            (5, vec![(HEADERS, END_STREAM | END_HEADERS, 7, 5)]),
            (MOST, vec![(HEADERS, END_STREAM | END_HEADERS, 7, MOST)]),
            (
                2 * MOST + 1,
                vec![
                    (HEADERS, END_STREAM, 7, MOST),
                    (CONTINUATION, 0, 7, MOST),
                    (CONTINUATION, END_HEADERS, 7, 1),
                ],
            ),
        ] {
            let mut out = Vec::new();
            write_block(&mut out, 7, true, |out| out.resize(out.len() + length, 1));
            assert_eq!(frames(&out), expected);
        }
    }

    #[test]
    fn padding_is_taken_away_and_may_not_be_longer_than_the_frame() {
        let padded = |flags, payload: &'static [u8]| {
            let head = FrameHead {
                length: payload.len(),
                kind: DATA,
                flags,
                stream: 1,
            };
            head.unpadded(payload).map_err(|error| error.0)
        };
        assert_eq!(padded(0, b"abc"), Ok(&b"abc"[..]));
        assert_eq!(padded(PADDED, b"\x02abxx"), Ok(&b"ab"[..]));
        assert_eq!(padded(PADDED, b"\x00"), Ok(&b""[..]));
        assert_eq!(padded(PADDED, b"\x03ab"), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(padded(PADDED, b""), Err(Reason::FRAME_SIZE_ERROR));
    }
}
