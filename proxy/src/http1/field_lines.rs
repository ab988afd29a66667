//! The fields of a header, as positions in its bytes.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

/// The number of fields up to which nothing is allocated.
const USUAL_FIELDS: usize = 100;

/// The buffer into which httparse writes the fields that it finds.
pub(super) type FoundFields<'a> = SmallVec<[MaybeUninit<httparse::Header<'a>>; USUAL_FIELDS]>;

/// A buffer for up to `most` fields.
pub(super) fn room<'a>(most: usize) -> FoundFields<'a> {
    if most <= USUAL_FIELDS {
        return SmallVec::from_buf_and_len([const { MaybeUninit::uninit() }; USUAL_FIELDS], most);
    }
    let mut room = SmallVec::new();
    room.resize_with(most, MaybeUninit::uninit);
    room
}

/// A part of a header: the index of its first byte, and the index after its last one.
pub(super) type Range = (usize, usize);

/// The position of `part` within `bytes`. `part` must be a slice of `bytes`.
pub(super) fn range(bytes: &[u8], part: &[u8]) -> Range {
    let from = part.as_ptr() as usize - bytes.as_ptr() as usize;
    (from, from + part.len())
}

/// The position of a field.
#[derive(Clone, Copy)]
pub(super) struct FieldLine {
    name: Range,
    value: Range,
}

/// The positions of the fields that httparse has found in `bytes`.
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
    /// The field's name and value. The value shares the memory of `head`. `None`: the name is not
    /// valid.
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
