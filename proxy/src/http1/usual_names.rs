//! The names of fields that most messages have, which are found in a tenth of the instructions that
//! [`HeaderName::from_bytes`] takes.

use http::{
    HeaderName,
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE,
        HOST, SERVER, USER_AGENT,
    },
};

/// By their lengths, of 4 to 15: [`usual`] takes the names of one length from their places here.
static USUAL: [(Words, HeaderName); 10] = [
    (lower(b"host"), HOST),
    (lower(b"date"), DATE),
    (lower(b"accept"), ACCEPT),
    (lower(b"server"), SERVER),
    (lower(b"user-agent"), USER_AGENT),
    (lower(b"connection"), CONNECTION),
    (lower(b"content-type"), CONTENT_TYPE),
    (lower(b"authorization"), AUTHORIZATION),
    (lower(b"content-length"), CONTENT_LENGTH),
    (lower(b"accept-encoding"), ACCEPT_ENCODING),
];

/// The name, if it is one of these, in whatever case. All bytes of `name` must be greater than a space.
pub(super) fn usual(name: &[u8]) -> Option<HeaderName> {
    let all = match name.len() {
        4 => &USUAL[..2],
        6 => &USUAL[2..4],
        10 => &USUAL[4..6],
        12 => &USUAL[6..7],
        13 => &USUAL[7..8],
        14 => &USUAL[8..9],
        15 => &USUAL[9..],
        _ => return None,
    };
    let words = lower(name);
    let found = all.iter().find(|(usual, _)| *usual == words);
    found.map(|(_, name)| name.clone())
}

/// The first and the last bytes of a name in lower case, which may overlap: 8 bytes each, or 4 of a
/// shorter one.
type Words = (u64, u64);

const fn lower(name: &[u8]) -> Words {
    // Of the bytes above a space, only a capital letter becomes a small letter by this bit, and only
    // a hyphen is a hyphen with it.
    const CASE: u64 = 0x2020_2020_2020_2020;
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (
            u64::from_le_bytes(*first) | CASE,
            u64::from_le_bytes(*last) | CASE,
        ),
        _ => match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => (
                u32::from_le_bytes(*first) as u64 | CASE,
                u32::from_le_bytes(*last) as u64 | CASE,
            ),
            _ => (0, 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_they_are_taken_for_in_any_case() {
        for (_, name) in &USUAL {
            let text = name.as_str();
            for text in [text.to_owned(), text.to_uppercase()] {
                assert_eq!(usual(text.as_bytes()).as_ref(), Some(name), "{text}");
            }
        }
        assert_eq!(usual(b"cookie"), None);
        assert_eq!(usual(b"te"), None);
    }

    #[test]
    fn a_name_with_another_byte_is_none_of_them() {
        for (_, name) in &USUAL {
            for at in 0..name.as_str().len() {
                for byte in 0x21..=u8::MAX {
                    let mut text = name.as_str().as_bytes().to_vec();
                    let is_same = text[at].eq_ignore_ascii_case(&byte);
                    text[at] = byte;
                    let is_name = usual(&text).is_some_and(|usual| usual == *name);
                    assert_eq!(is_name, is_same, "{}", text.escape_ascii());
                }
            }
        }
    }
}
