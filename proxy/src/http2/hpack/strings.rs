//! The strings of a block (RFC 7541, 5.2), and the memory that values share.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode};

use super::{
    CompressionError, Field,
    field::{Name, owned},
    huffman, integer,
};

/// The least memory, in bytes, that is allocated for values.
const CHUNK: usize = 1024;
/// The most memory, in bytes, that is kept for the values of later blocks.
const MOST_KEPT: usize = 4 * 1024;

/// A string of a block.
pub(super) enum Text<'a> {
    Plain(&'a [u8]),
    /// It had a Huffman code. `Strings` has what it says.
    Decoded,
}

/// Memory for strings. Values share it, so that hardly any needs an allocation of its own.
#[derive(Default)]
pub(super) struct Strings {
    /// Holds the last string, if it had a Huffman code.
    memory: BytesMut,
    /// There was a large allocation in this block.
    is_large: bool,
}

impl Strings {
    /// Reads a string (RFC 7541, 5.2).
    #[inline(always)]
    pub(super) fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Text<'a>, CompressionError> {
        let (&first, mut rest) = input.split_first().ok_or(CompressionError)?;
        let length = integer::read(first, 0x7f, &mut rest)?;
        let (text, rest) = rest.split_at_checked(length).ok_or(CompressionError)?;
        *input = rest;
        if first & 0x80 == 0 {
            return Ok(Text::Plain(text));
        }
        self.decode(text, rest.len())?;
        Ok(Text::Decoded)
    }

    /// Decodes a string with a Huffman code, behind which `rest` bytes of the block follow.
    #[inline(never)]
    fn decode(&mut self, coded: &[u8], rest: usize) -> Result<(), CompressionError> {
        self.memory.clear();
        self.reserve(huffman::most_decoded(coded.len()), rest);
        huffman::decode(coded, &mut self.memory)
    }

    pub(super) fn slice<'a>(&'a self, text: &Text<'a>) -> &'a [u8] {
        match text {
            Text::Plain(text) => text,
            Text::Decoded => &self.memory,
        }
    }

    /// The field of a name and a value. `Err`: the value is not allowed, and perhaps the name.
    ///
    /// A value of the table owns its memory, so that the table's size bounds what the table keeps.
    /// Others share that of the block, of which `rest` bytes follow.
    pub(super) fn field(
        &mut self,
        name: Name,
        text: Text,
        own: bool,
        rest: usize,
    ) -> Result<Field, Name> {
        match name {
            Name::Authority => Ok(Field::Authority(self.bytes(text, own, rest))),
            Name::Path => Ok(Field::Path(self.bytes(text, own, rest))),
            Name::Scheme => Ok(Field::Scheme(self.bytes(text, own, rest))),
            Name::Protocol => Ok(Field::Protocol(self.bytes(text, own, rest))),
            Name::Method => {
                let method = Method::from_bytes(self.slice(&text));
                method.map(Field::Method).map_err(|_| name)
            }
            Name::Status => {
                let status = StatusCode::from_bytes(self.slice(&text));
                status.map(Field::Status).map_err(|_| name)
            }
            Name::Malformed(_) => Err(name),
            Name::Regular(name) => {
                match HeaderValue::from_maybe_shared(self.bytes(text, own, rest)) {
                    Ok(value) => Ok(Field::Regular(name, value)),
                    Err(_) => Err(Name::Regular(name)),
                }
            }
        }
    }

    #[inline(always)]
    fn bytes(&mut self, text: Text, own: bool, rest: usize) -> Bytes {
        match text {
            text if own => owned(self.slice(&text)),
            Text::Plain(text) => {
                self.memory.clear();
                self.reserve(text.len(), rest);
                self.memory.extend_from_slice(text);
                self.memory.split().freeze()
            }
            Text::Decoded => self.memory.split().freeze(),
        }
    }

    /// Makes room for `need` bytes, and for all that may follow in a block of which `rest` bytes are
    /// left.
    #[inline]
    fn reserve(&mut self, need: usize, rest: usize) {
        if self.memory.capacity() < need {
            let most = need + huffman::most_decoded(rest);
            self.is_large |= most > MOST_KEPT;
            self.memory.reserve(most.max(CHUNK));
        }
    }

    /// Ends a block.
    #[inline]
    pub(super) fn end(&mut self) {
        self.memory.clear();
        if self.is_large {
            *self = Self::default();
        }
    }
}

/// Without the strings: they may hold secrets.
impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strings").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the path of a block that is a string.
    fn path(strings: &mut Strings, block: &[u8], own: bool) -> Bytes {
        let mut input = block;
        let text = strings.read(&mut input).unwrap();
        let field = strings.field(Name::Path, text, own, input.len());
        strings.end();
        match field {
            Ok(Field::Path(path)) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_share_memory_but_those_of_the_table_do_not() {
        let mut strings = Strings::default();
        let first = path(&mut strings, b"\x01a", false);
        let own = path(&mut strings, b"\x01b", true);
        // Huffman: "cc".
        let second = path(&mut strings, b"\x82\x21\x3f", false);
        assert_eq!(
            (&first[..], &own[..], &second[..]),
            (&b"a"[..], &b"b"[..], &b"cc"[..])
        );
        assert_eq!(first.as_ptr().wrapping_add(1), second.as_ptr());
        assert!(own.is_unique());
    }

    #[test]
    fn memory_of_a_large_block_is_not_kept() {
        let mut strings = Strings::default();
        let mut block = b"\x7f\x81\x3f".to_vec();
        block.resize(3 + 8192, b'a');
        assert_eq!(path(&mut strings, &block, false).len(), 8192);
        assert_eq!(strings.memory.capacity(), 0);
        path(&mut strings, b"\x01a", false);
        assert!((1..=CHUNK).contains(&strings.memory.capacity()));
    }
}
