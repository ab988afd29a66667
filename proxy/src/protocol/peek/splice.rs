//! Replaces the model's name in a body that was read ahead, or inserts text into it.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use super::{Format, Found};

/// Replaces what was found by `name`. Returns by how many bytes the body has grown; negative if it
/// has shrunk.
pub fn rewrite(pieces: &mut VecDeque<Bytes>, format: Format, found: &Found, name: &str) -> i64 {
    let written = format.write(name);
    let grown = written.len() as i64 - found.span.len() as i64;
    splice(pieces, found.span.clone(), written.into());
    if let Format::Message(_) = format {
        // The message's own length is in the four bytes after its flag.
        let length = prefix_length(pieces).wrapping_add_signed(grown as i32);
        splice(pieces, 1..5, Bytes::copy_from_slice(&length.to_be_bytes()));
    }
    grown
}

/// Puts `text` before the byte at `at`.
pub fn insert(pieces: &mut VecDeque<Bytes>, at: usize, text: &'static str) {
    splice(pieces, at..at, Bytes::from_static(text.as_bytes()));
}

impl Format {
    /// `name` in this encoding.
    pub(super) fn write(self, name: &str) -> Vec<u8> {
        match self {
            Self::Json => serde_json::Value::from(name).to_string().into_bytes(),
            Self::Multipart => name.as_bytes().to_vec(),
            Self::Message(_) => length_delimited(name),
        }
    }
}

/// A string as in a Protocol Buffers field after its tag: its length, then its bytes.
fn length_delimited(text: &str) -> Vec<u8> {
    let mut written = Vec::with_capacity(text.len() + 2);
    let mut length = text.len();
    while length >= 0x80 {
        written.push(length as u8 | 0x80);
        length >>= 7;
    }
    written.push(length as u8);
    written.extend(text.as_bytes());
    written
}

fn prefix_length(pieces: &VecDeque<Bytes>) -> u32 {
    pieces
        .iter()
        .flatten()
        .skip(1)
        .take(4)
        .fold(0, |length, &byte| length << 8 | u32::from(byte))
}

/// Replaces the bytes in `span` by `new`, without copying the others.
fn splice(pieces: &mut VecDeque<Bytes>, span: Range<usize>, new: Bytes) {
    let mut start = 0;
    let mut spliced = VecDeque::with_capacity(pieces.len() + 2);
    let mut new = Some(new);
    for piece in pieces.drain(..) {
        let end = start + piece.len();
        let before = span.start.clamp(start, end) - start;
        let after = span.end.clamp(start, end) - start;
        if before > 0 {
            spliced.push_back(piece.slice(..before));
        }
        if span.start < end
            && let Some(new) = new.take()
        {
            spliced.push_back(new);
        }
        if after < piece.len() {
            spliced.push_back(piece.slice(after..));
        }
        start = end;
    }
    *pieces = spliced;
}

#[cfg(test)]
mod tests {
    use super::super::{Json, Message, Progress, Scanner};
    use super::*;

    fn cut(bytes: &[u8], at: usize) -> VecDeque<Bytes> {
        let (a, b) = bytes.split_at(at);
        [a, b]
            .iter()
            .filter(|p| !p.is_empty())
            .map(|p| Bytes::copy_from_slice(p))
            .collect()
    }

    fn rewritten(body: &[u8], at: usize, mut scanner: Scanner, name: &str) -> (Vec<u8>, i64) {
        let Progress::Found(found) = scanner.feed(body) else {
            panic!("no model")
        };
        let mut pieces = cut(body, at);
        let grown = rewrite(&mut pieces, scanner.format(), &found, name);
        (pieces.iter().flatten().copied().collect(), grown)
    }

    #[test]
    fn name_is_replaced_wherever_the_body_is_cut() {
        let body = br#"{"a":1,"model":"m","b":2}"#;
        for at in 0..body.len() {
            let scanner = Scanner::Json(Json::default());
            let (new, grown) = rewritten(body, at, scanner, "meta/\"x\"");
            assert_eq!(new, br#"{"a":1,"model":"meta/\"x\"","b":2}"#, "{at}");
            assert_eq!(grown, new.len() as i64 - body.len() as i64);
        }
    }

    #[test]
    fn message_lengths_are_adjusted() {
        let body = b"\0\0\0\0\x07\x0a\x01m\x12\x02vv";
        for at in 0..body.len() {
            let scanner = Scanner::Message(Message::new(1));
            let (new, grown) = rewritten(body, at, scanner, "iris");
            assert_eq!(new, b"\0\0\0\0\x0a\x0a\x04iris\x12\x02vv", "{at}");
            assert_eq!(grown, 3);
        }
        let long = "x".repeat(300);
        let (new, _) = rewritten(body, 3, Scanner::Message(Message::new(1)), &long);
        assert_eq!(new[..8], [0, 0, 0, 1, 0x33, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn what_is_put_in_stands_before_its_byte_wherever_the_body_is_cut() {
        let body = br#"{"a":1}"#;
        for at in 0..body.len() {
            let mut pieces = cut(body, at);
            insert(&mut pieces, 1, "\"b\":2,");
            let new: Vec<u8> = pieces.iter().flatten().copied().collect();
            assert_eq!(new, br#"{"b":2,"a":1}"#, "{at}");
        }
    }
}
