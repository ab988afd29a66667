//! The fields of a head, where they stand in its bytes.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

/// Fields for which there is room without an allocation.
const USUAL_FIELDS: usize = 100;

/// Where httparse puts the fields that it has found.
pub(super) type FoundFields<'a> = SmallVec<[MaybeUninit<httparse::Header<'a>>; USUAL_FIELDS]>;

/// FoundFields for `most` fields.
pub(super) fn room<'a>(most: usize) -> FoundFields<'a> {
    if most <= USUAL_FIELDS {
        return SmallVec::from_buf_and_len([const { MaybeUninit::uninit() }; USUAL_FIELDS], most);
    }
    let mut room = SmallVec::new();
    room.resize_with(most, MaybeUninit::uninit);
    room
}

/// A part of a head, by its first byte and the one behind it.
pub(super) type Range = (usize, usize);

/// Where `part` stands in `bytes`, of which it is a part.
pub(super) fn range(bytes: &[u8], part: &[u8]) -> Range {
    let from = part.as_ptr() as usize - bytes.as_ptr() as usize;
    (from, from + part.len())
}

/// Where a field stands.
#[derive(Clone, Copy)]
pub(super) struct FieldLine {
    name: Range,
    value: Range,
}

/// Where the fields stand that httparse has found in `bytes`.
pub(super) fn field_lines(
    bytes: &[u8],
    found: &[httparse::Header<'_>],
) -> SmallVec<[FieldLine; 24]> {
    let line = |field: &httparse::Header<'_>| FieldLine {
        name: range(bytes, field.name.as_bytes()),
        value: range(bytes, field.value),
    };
    found.iter().map(line).collect()
}

impl FieldLine {
    /// Its name and value, of which the latter shares the memory of `head`. `None`: it has no name.
    pub(super) fn read(self, head: &Bytes) -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(&head[self.name.0..self.name.1]).ok()?;
        let value = head.slice(self.value.0..self.value.1);
        // SAFETY: httparse has accepted these bytes as a value (its `HEADER_VALUE_MAP`): tabs, and what
        // is from 0x20 on but 0x7f. A `HeaderValue` may have just these. Tests of both sides compare
        // the two for each byte.
        Some((name, unsafe {
            HeaderValue::from_maybe_shared_unchecked(value)
        }))
    }
}
