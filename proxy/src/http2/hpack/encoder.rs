//! Writes header blocks (RFC 7541, 6).
//!
//! Strings have no Huffman code: it would cost more time than the bytes it saves, between machines of
//! one data centre, and what repeats takes one byte anyway.

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::{
    dynamic_table::{LARGEST, OVERHEAD},
    integer,
    policy::{self, Worth},
    sent::{Indexed, Sent},
};

/// A field that would take more than one part in so many of the table is not indexed: it would cost
/// too many others.
const LARGEST_PART: usize = 4;

/// The representation of a literal: the mask of its index, and the bits before it (RFC 7541, 6.2).
type Literal = (u8, u8);
const INDEXED: Literal = (0x3f, 0x40);
const NOT_INDEXED: Literal = (0x0f, 0x00);
const NEVER_INDEXED: Literal = (0x0f, 0x10);

/// Names of pseudo-fields, with their hashes and indexes in the static table.
struct Pseudo {
    name: &'static [u8],
    hash: u32,
    index: usize,
}

const AUTHORITY: Pseudo = pseudo(b":authority", 1);
const METHOD: Pseudo = pseudo(b":method", 2);
const PATH: Pseudo = pseudo(b":path", 4);
const STATUS: Pseudo = pseudo(b":status", 8);

const fn pseudo(name: &'static [u8], index: usize) -> Pseudo {
    let hash = policy::hash(name);
    Pseudo { name, hash, index }
}

/// The encoder of a connection.
#[derive(Debug)]
pub struct HeaderEncoder {
    sent: Sent,
    /// The smallest size of the table since the last block, and the present one (RFC 7541, 4.2).
    sizes: Option<(usize, usize)>,
}

impl HeaderEncoder {
    /// An encoder whose dynamic table has at most 4096 bytes.
    pub fn new() -> Self {
        Self {
            sent: Sent::new(),
            sizes: None,
        }
    }

    /// Takes the peer's SETTINGS_HEADER_TABLE_SIZE. The table has at most so many bytes from the next
    /// block on, and never more than 4096.
    pub fn set_table_size(&mut self, bytes: u32) {
        let size = usize::try_from(bytes).unwrap_or(LARGEST).min(LARGEST);
        let smallest = self.sizes.map_or(size, |(smallest, _)| smallest.min(size));
        self.sizes = Some((smallest, size));
    }

    /// Begins a block.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some((smallest, size)) = self.sizes.take() {
            for size in [smallest.min(self.sent.limit()), size] {
                if size != self.sent.limit() {
                    integer::write(size, 0x1f, 0x20, out);
                    self.sent.resize(size);
                }
            }
        }
    }

    /// Writes `:method`.
    #[inline]
    pub fn method(&mut self, method: &Method, out: &mut Vec<u8>) {
        match *method {
            Method::GET => out.push(0x80 | 2),
            Method::POST => out.push(0x80 | 3),
            _ => self.pseudo(METHOD, method.as_str().as_bytes(), Worth::Always, out),
        }
    }

    /// Writes `:scheme`.
    #[inline]
    pub fn scheme(&mut self, https: bool, out: &mut Vec<u8>) {
        out.push(if https { 0x80 | 7 } else { 0x80 | 6 });
    }

    /// Writes `:authority`.
    pub fn authority(&mut self, authority: &[u8], out: &mut Vec<u8>) {
        self.pseudo(AUTHORITY, authority, Worth::Always, out);
    }

    /// Writes `:path`.
    pub fn path(&mut self, path: &[u8], out: &mut Vec<u8>) {
        match path {
            b"/" => out.push(0x80 | 4),
            // There are few methods of gRPC, but perhaps many resources with names of their own.
            _ => self.pseudo(PATH, path, Worth::Again, out),
        }
    }

    /// Writes `:status`.
    #[inline]
    pub fn status(&mut self, status: StatusCode, out: &mut Vec<u8>) {
        let index = match status.as_u16() {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                return self.pseudo(STATUS, status.as_str().as_bytes(), Worth::Always, out);
            }
        };
        out.push(0x80 | index);
    }

    /// Writes a regular field.
    pub fn field(&mut self, name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
        let (name, text) = (name.as_str().as_bytes(), value.as_bytes());
        let hash = policy::hash(name);
        let found = self.sent.find(hash, name, text);
        if let Indexed::Field(index) = found
            && !value.is_sensitive()
        {
            return integer::write(index, 0x7f, 0x80, out);
        }
        let mut known = policy::of(name, hash);
        if value.is_sensitive() {
            known.worth = Worth::Secret;
        } else if known.index == 16 && text == b"gzip, deflate" {
            return out.push(0x80 | 16);
        }
        self.literal(known.worth, hash, (known.index, name), found, text, out);
    }

    fn pseudo(&mut self, pseudo: Pseudo, value: &[u8], worth: Worth, out: &mut Vec<u8>) {
        let Pseudo { name, hash, index } = pseudo;
        match self.sent.find(hash, name, value) {
            Indexed::Field(index) => integer::write(index, 0x7f, 0x80, out),
            found => self.literal(worth, hash, (index, name), found, value, out),
        }
    }

    /// Writes a field that no table has. `name` is its index in the static table, or 0, and itself.
    fn literal(
        &mut self,
        worth: Worth,
        hash: u32,
        (index, name): (usize, &[u8]),
        found: Indexed,
        value: &[u8],
        out: &mut Vec<u8>,
    ) {
        let index = match found {
            Indexed::Field(found) | Indexed::Name(found) if index == 0 => found,
            _ => index,
        };
        let size = name.len() + value.len() + OVERHEAD;
        let (mask, pattern) = match worth {
            Worth::Secret => NEVER_INDEXED,
            _ if size > self.sent.limit() / LARGEST_PART => NOT_INDEXED,
            Worth::Always => INDEXED,
            // An entry for the sake of the name, which the next fields of that name refer to.
            _ if index == 0 => INDEXED,
            Worth::Again if self.sent.has_passed(hash, value) => INDEXED,
            Worth::Again | Worth::Never => NOT_INDEXED,
        };
        integer::write(index, mask, pattern, out);
        if index == 0 {
            string(name, out);
        }
        string(value, out);
        if pattern == INDEXED.1 {
            self.sent.insert(hash, name, value);
        }
    }
}

impl Default for HeaderEncoder {
    fn default() -> Self {
        Self::new()
    }
}

#[inline]
fn string(text: &[u8], out: &mut Vec<u8>) {
    integer::write(text.len(), 0x7f, 0, out);
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(encoder: &mut HeaderEncoder) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        out
    }

    /// What a field becomes.
    fn field(encoder: &mut HeaderEncoder, name: &'static str, value: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let value = HeaderValue::from_str(value).unwrap();
        encoder.field(&HeaderName::from_static(name), &value, &mut out);
        out
    }

    #[test]
    fn a_size_update_says_the_smallest_and_the_present_size() {
        let mut encoder = HeaderEncoder::new();
        assert_eq!(begin(&mut encoder), b"");
        let mut check = |sizes: &[u32], expected: &[u8]| {
            sizes.iter().for_each(|size| encoder.set_table_size(*size));
            assert_eq!(begin(&mut encoder), expected, "{sizes:?}");
            assert_eq!(begin(&mut encoder), b"");
        };
        check(&[4096], b"");
        check(&[65536], b"");
        check(&[0, 65536], b"\x20\x3f\xe1\x1f");
        check(&[0], b"\x20");
        check(&[10, 5], b"\x25");
        check(&[2, 20, 10], b"\x22\x2a");
        check(&[20, 30], b"\x3e");
    }

    #[test]
    fn a_smaller_table_forgets() {
        let mut encoder = HeaderEncoder::new();
        let first = field(&mut encoder, "te", "trailers");
        assert_eq!(field(&mut encoder, "te", "trailers"), b"\xbe");
        encoder.set_table_size(0);
        encoder.set_table_size(4096);
        begin(&mut encoder);
        assert_eq!(field(&mut encoder, "te", "trailers"), first);
    }

    #[test]
    fn a_secret_is_never_indexed() {
        let mut encoder = HeaderEncoder::new();
        assert_eq!(field(&mut encoder, "cookie", "a"), b"\x1f\x11\x01a");
        assert_eq!(field(&mut encoder, "cookie", "a"), b"\x1f\x11\x01a");
        assert_eq!(
            field(&mut encoder, "x-api-key", "a"),
            b"\x10\x09x-api-key\x01a"
        );
        // Not even where a table has the same.
        field(&mut encoder, "te", "a");
        let mut value = HeaderValue::from_static("a");
        value.set_sensitive(true);
        let mut out = Vec::new();
        encoder.field(&http::header::TE, &value, &mut out);
        assert_eq!(out, b"\x1f\x2f\x01a");
    }

    #[test]
    fn what_changes_is_not_indexed_but_its_name_is() {
        let mut encoder = HeaderEncoder::new();
        assert_eq!(field(&mut encoder, "age", "1"), b"\x0f\x06\x011");
        assert_eq!(field(&mut encoder, "age", "1"), b"\x0f\x06\x011");
        assert_eq!(field(&mut encoder, "b3", "1"), b"\x40\x02b3\x011");
        assert_eq!(field(&mut encoder, "b3", "2"), b"\x0f\x2f\x012");
        assert_eq!(field(&mut encoder, "b3", "2"), b"\x0f\x2f\x012");
    }

    #[test]
    fn what_may_repeat_is_indexed_the_second_time() {
        let mut encoder = HeaderEncoder::new();
        for expected in [&b"\x04\x02/a"[..], b"\x44\x02/a", b"\xbe", b"\xbe"] {
            let mut out = Vec::new();
            encoder.path(b"/a", &mut out);
            assert_eq!(out, expected);
        }
        assert_eq!(field(&mut encoder, "x", "1"), b"\x40\x01x\x011");
        assert_eq!(field(&mut encoder, "x", "2"), b"\x0f\x2f\x012");
        assert_eq!(field(&mut encoder, "x", "2"), b"\x7e\x012");
        assert_eq!(field(&mut encoder, "x", "2"), b"\xbe");
        assert_eq!(field(&mut encoder, "x", "1"), b"\xbf");
    }

    #[test]
    fn a_long_value_does_not_empty_the_table() {
        let mut encoder = HeaderEncoder::new();
        let long = "a".repeat(1025 - OVERHEAD - "via".len());
        assert_eq!(field(&mut encoder, "via", &long)[..2], *b"\x0f\x2d");
        assert_eq!(field(&mut encoder, "via", &long[1..])[..1], *b"\x7c");
    }

    #[test]
    fn the_static_table_serves_what_it_has() {
        let mut encoder = HeaderEncoder::new();
        assert_eq!(
            field(&mut encoder, "accept-encoding", "gzip, deflate"),
            b"\x90"
        );
        let mut out = Vec::new();
        encoder.method(&Method::GET, &mut out);
        encoder.method(&Method::POST, &mut out);
        encoder.path(b"/", &mut out);
        encoder.scheme(false, &mut out);
        encoder.scheme(true, &mut out);
        for status in [200, 204, 206, 304, 400, 404, 500] {
            encoder.status(StatusCode::from_u16(status).unwrap(), &mut out);
        }
        assert_eq!(out, b"\x82\x83\x84\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e");
    }
}
