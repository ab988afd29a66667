//! Reads header blocks (RFC 7541, 3.2 and 6).

use super::{
    CompressionError, Field,
    dynamic_table::{DynamicTable, LARGEST, OVERHEAD},
    field::Name,
    integer, static_table,
    strings::Strings,
};

/// The most size updates at the beginning of a block: the smallest limit since the last block, and the
/// present one (RFC 7541, 4.2).
const MOST_UPDATES: usize = 2;

/// The decoder of a connection.
#[derive(Debug)]
pub struct HeaderDecoder {
    table: DynamicTable<Entry>,
    strings: Strings,
}

/// What is known of a decoded block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodedBlock {
    /// The size of the header list in bytes (RFC 9113, 6.5.2).
    pub size: usize,
    /// A field is not allowed in HTTP/2: a stream error (RFC 9113, 8.1.1). It was left out.
    pub is_malformed: bool,
    /// The header list is larger than allowed. It was cut.
    pub is_too_large: bool,
}

/// An entry of the dynamic table.
enum Entry {
    Field(Field),
    /// The value is not allowed, and perhaps the name, so the value is of no use.
    Malformed(Name),
}

impl Entry {
    fn name(&self) -> Name {
        match self {
            Self::Field(field) => field.name(),
            Self::Malformed(name) => name.clone(),
        }
    }
}

impl HeaderDecoder {
    /// A decoder whose dynamic table has at most 4096 bytes.
    pub fn new() -> Self {
        Self {
            table: DynamicTable::new(),
            strings: Strings::default(),
        }
    }

    /// Frees the memory that is kept for values of later blocks.
    pub fn rest(&mut self) {
        self.strings = Strings::default();
    }

    /// Decodes a complete header block, and gives its fields to `each` in their order, as long as they
    /// are at most `most` bytes together (RFC 9113, 6.5.2). Goes on to the end of the block in any
    /// case, because the table must follow.
    pub fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        mut each: impl FnMut(Field),
    ) -> Result<DecodedBlock, CompressionError> {
        let mut input = block;
        let mut read = DecodedBlock::default();
        self.update_size(&mut input)?;
        while let Some((&first, rest)) = input.split_first() {
            input = rest;
            if first & 0x80 == 0 {
                if let Some(field) = self.literal(first, &mut input, most, &mut read)? {
                    each(field);
                }
                continue;
            }
            let index = integer::read(first, 0x7f, &mut input)?;
            let (field, size) = match static_table::get(index) {
                Some(field) => (field, field.size()),
                None => match self.dynamic(index)? {
                    (Entry::Field(field), size) => (field, size),
                    (Entry::Malformed(_), size) => {
                        read.is_malformed = true;
                        read.count(size, most);
                        continue;
                    }
                },
            };
            if read.count(size, most) {
                // Most are regular: `clone` of that arm is worth being in place.
                each(match field {
                    Field::Regular(name, value) => Field::Regular(name.clone(), value.clone()),
                    other => other.clone(),
                });
            }
        }
        self.strings.end();
        Ok(read)
    }

    /// Reads the size updates at the beginning of a block (RFC 7541, 6.3).
    #[inline]
    fn update_size(&mut self, input: &mut &[u8]) -> Result<(), CompressionError> {
        for _ in 0..MOST_UPDATES {
            let Some((&first, mut rest)) = input.split_first() else {
                break;
            };
            if first & 0xe0 != 0x20 {
                break;
            }
            let size = integer::read(first, 0x1f, &mut rest)?;
            if size > LARGEST {
                return Err(CompressionError);
            }
            self.table.resize(size);
            *input = rest;
        }
        Ok(())
    }

    /// An entry of the dynamic table, and its size, by an index of both tables (RFC 7541, 2.3.3).
    #[inline(always)]
    fn dynamic(&self, index: usize) -> Result<(&Entry, usize), CompressionError> {
        let index = index.checked_sub(static_table::LENGTH + 1);
        let entry = index.and_then(|index| self.table.get(index));
        entry.ok_or(CompressionError)
    }

    /// Reads a literal (RFC 7541, 6.2). `None`: it is malformed or too much.
    fn literal(
        &mut self,
        first: u8,
        input: &mut &[u8],
        most: usize,
        read: &mut DecodedBlock,
    ) -> Result<Option<Field>, CompressionError> {
        let is_indexed = first & 0x40 != 0;
        if !is_indexed && first & 0x20 != 0 {
            // A size update that is not at the beginning, or one too many.
            return Err(CompressionError);
        }
        let index = integer::read(first, if is_indexed { 0x3f } else { 0x0f }, input)?;
        let name = if index == 0 {
            let text = self.strings.read(input)?;
            Name::read(self.strings.slice(&text))
        } else if let Some(field) = static_table::get(index) {
            field.name()
        } else {
            self.dynamic(index)?.0.name()
        };
        let value = self.strings.read(input)?;
        let size = name.len() + self.strings.slice(&value).len() + OVERHEAD;
        let is_given = read.count(size, most);
        if !is_given && !is_indexed {
            return Ok(None);
        }
        let field = self.strings.field(name, value, is_indexed, input.len());
        read.is_malformed |= field.is_err();
        if is_indexed {
            let entry = field.map_or_else(Entry::Malformed, Entry::Field);
            let field = match &entry {
                Entry::Field(field) if is_given => Some(field.clone()),
                _ => None,
            };
            self.table.insert(size, entry);
            return Ok(field);
        }
        let mut field = field.ok();
        // Whoever passes it on must not index it either (RFC 7541, 6.2.3).
        if first & 0x10 != 0
            && let Some(Field::Regular(_, value)) = &mut field
        {
            value.set_sensitive(true);
        }
        Ok(field)
    }
}

impl Default for HeaderDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DecodedBlock {
    /// Counts a field of `size` bytes. Returns whether it is within the limit.
    #[inline(always)]
    fn count(&mut self, size: usize, most: usize) -> bool {
        self.size += size;
        self.is_too_large = self.size > most;
        !self.is_too_large
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(
        decoder: &mut HeaderDecoder,
        block: &[u8],
    ) -> Result<(String, DecodedBlock), CompressionError> {
        let mut fields = String::new();
        let read = decoder.decode(block, 1000, |field| fields += &format!("{field:?};"))?;
        Ok((fields, read))
    }

    #[test]
    fn a_block_that_cannot_be_decoded_is_refused() {
        for block in [
            // Indexes.
            &b"\x80"[..],
            b"\xbe",
            b"\x7e\x01a",
            b"\xff\xff\xff\xff\xff\x0f",
            // Cut: an index, its string's length, the string, the name.
            b"\xff",
            b"\x40",
            b"\x44",
            b"\x44\x02a",
            b"\x40\x01a",
            b"\x44\x7f",
            // Huffman: padding of 8 bits, padding of zeros, EOS.
            b"\x44\x82\x1f\xff\xff",
            b"\x44\x81\x18",
            b"\x44\x84\xff\xff\xff\xff",
            // Size updates: too large, a third one, behind a field.
            b"\x3f\xe2\x1f",
            b"\x20\x20\x20",
            b"\x82\x20",
        ] {
            let error = decode(&mut HeaderDecoder::new(), block);
            assert_eq!(error, Err(CompressionError), "{block:x?}");
        }
        assert!(decode(&mut HeaderDecoder::new(), b"\x20\x3f\xe1\x1f\x82").is_ok());
    }

    #[test]
    fn what_is_malformed_has_an_entry_all_the_same() {
        for block in [
            &b"\x40\x01A\x01b"[..],
            b"\x40\x00\x01b",
            b"\x40\x02:x\x01b",
            b"\x40\x01:\x01b",
            b"\x40\x01 \x01b",
            b"\x40\x01a\x01\n",
            b"\x42\x01 ",
            b"\x48\x0220",
        ] {
            let mut decoder = HeaderDecoder::new();
            let malformed = |fields: &str, size| {
                let (is_malformed, is_too_large) = (true, false);
                let read = DecodedBlock {
                    size,
                    is_malformed,
                    is_too_large,
                };
                Ok((fields.to_owned(), read))
            };
            let size = decode(&mut decoder, block).unwrap().1.size;
            // The entry, and the one before it.
            assert_eq!(
                decode(&mut decoder, b"\xbe"),
                malformed("", size),
                "{block:x?}"
            );
            decode(&mut decoder, b"\x41\x01a").unwrap();
            let method = "Method(GET);";
            assert_eq!(
                decode(&mut decoder, b"\xbf\x82"),
                malformed(method, size + 42)
            );
        }
        // A name with another value.
        let mut decoder = HeaderDecoder::new();
        decode(&mut decoder, b"\x40\x01a\x01\n").unwrap();
        let (fields, read) = decode(&mut decoder, b"\x0f\x2f\x01b").unwrap();
        assert_eq!(fields, "Regular(\"a\", \"b\");");
        assert!(!read.is_malformed);
    }

    #[test]
    fn a_list_that_is_too_large_is_cut_but_the_table_follows() {
        let mut decoder = HeaderDecoder::new();
        let most = 2 * (1 + 1 + 32);
        let mut given = 0;
        let block = b"\x40\x01a\x01b\xbe\xbe\x40\x01c\x01d\x00\x01e\x01f";
        let read = decoder.decode(block, most, |_| given += 1).unwrap();
        assert_eq!(given, 2);
        assert_eq!(read.size, 5 * 34);
        assert!(read.is_too_large && !read.is_malformed);
        let (fields, _) = decode(&mut decoder, b"\xbe\xbf").unwrap();
        assert_eq!(fields, "Regular(\"c\", \"d\");Regular(\"a\", \"b\");");
    }

    #[test]
    fn what_must_never_be_indexed_is_sensitive() {
        let (fields, _) =
            decode(&mut HeaderDecoder::new(), b"\x10\x01a\x01b\x00\x01a\x01b").unwrap();
        assert_eq!(fields, "Regular(\"a\", Sensitive);Regular(\"a\", \"b\");");
    }
}
