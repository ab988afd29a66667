//! The members of the JSON object (RFC 8259) at the beginning of a body, in one pass over the part
//! that has been read. Values are skipped without validation, which is left to the replica. Text
//! that is not an object has no members; at malformed text the members end.

use std::ops::Range;

use memchr::memchr;

/// A member of the object, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its key, between the quotes.
    pub key: &'a [u8],
    /// The position of its value.
    pub value: Range<usize>,
    /// Whether the value is complete.
    pub is_whole: bool,
}

/// The members of the object at the beginning of `text`.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    at: usize,
    has_begun: bool,
}

impl<'a> Members<'a> {
    /// The members in the part of a body that has been read.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            has_begun: false,
        }
    }

    /// The byte here, after white space.
    fn peek(&mut self) -> Option<u8> {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.text.get(self.at..)?.iter().take_while(space).count();
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The end of the value that begins here; `None`: it is not in this text.
    fn end_of_value(&self, start: usize) -> Option<usize> {
        match self.text.get(start)? {
            b'"' => end_of_string(self.text, start + 1),
            b'{' | b'[' => {
                let (mut at, mut depth) = (start, 0_usize);
                loop {
                    match self.text.get(at)? {
                        b'"' => {
                            at = end_of_string(self.text, at + 1)?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    at += 1;
                    if depth == 0 {
                        return Some(at);
                    }
                }
            }
            _ => {
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                let length = self.text[start..].iter().position(is_end)?;
                Some(start + length)
            }
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        match std::mem::replace(&mut self.has_begun, true) {
            false => self.expect(b'{')?,
            true => self.expect(b',')?,
        }
        self.expect(b'"')?;
        let key = self.at;
        self.at = end_of_string(self.text, key)?;
        let key = &self.text[key..self.at - 1];
        self.expect(b':')?;
        self.peek()?;
        let start = self.at;
        let end = self.end_of_value(start);
        self.at = end.unwrap_or(self.text.len());
        Some(Member {
            key,
            value: start..self.at,
            is_whole: end.is_some(),
        })
    }
}

/// The position after a string's closing quote. `start` is the position after its opening quote.
fn end_of_string(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let quote = at + memchr(b'"', text.get(at..)?)?;
        let before = text[start..quote].iter().rev();
        let backslashes = before.take_while(|&&byte| byte == b'\\').count();
        at = quote + 1;
        if backslashes % 2 == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(text: &str) -> Vec<(String, String, bool)> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |m: Member<'_>| {
            let value = text_of(&text.as_bytes()[m.value]);
            (text_of(m.key), value, m.is_whole)
        };
        Members::of(text.as_bytes()).map(one).collect()
    }

    #[test]
    fn members_are_found_with_their_values_as_they_are_written() {
        let text = r#" { "a" : 1.5 , "b":"x\"}\\", "c":[{"d":"]"},[]],"e":null,"f":{"g":{}} } "#;
        let expected = [
            ("a", "1.5", true),
            ("b", r#""x\"}\\""#, true),
            ("c", r#"[{"d":"]"},[]]"#, true),
            ("e", "null", true),
            ("f", r#"{"g":{}}"#, true),
        ];
        let expected = expected.map(|(key, value, whole)| (key.into(), value.into(), whole));
        assert_eq!(members(text), expected);
    }

    #[test]
    fn a_body_that_is_cut_has_a_last_member_that_is_not_whole() {
        for (text, last) in [
            (r#"{"a":1,"b":"xy"#, ("b", "\"xy", false)),
            (r#"{"a":1,"b":[{"c":"#, ("b", r#"[{"c":"#, false)),
            (r#"{"a":1,"b":12"#, ("b", "12", false)),
            (r#"{"a":1,"b":"x\""#, ("b", r#""x\""#, false)),
            (r#"{"a":1,"b"#, ("a", "1", true)),
            (r#"{"a":1,"b":"#, ("a", "1", true)),
        ] {
            let last = (last.0.to_owned(), last.1.to_owned(), last.2);
            assert_eq!(members(text).last(), Some(&last), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["", "[1]", "\"a\"", "{}", "{1:2}", "{\"a\"}", "--x\r\n"] {
            assert_eq!(members(text), [], "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            for member in Members::of(&text) {
                prop_assert!(text.get(member.value).is_some());
            }
        }

        #[test]
        fn anything_like_json_is_read_without_harm(text in r#"[{}\[\]":,\\a1 ]{0,60}"#) {
            let text = format!("{{\"a\":{text}");
            for member in Members::of(text.as_bytes()) {
                prop_assert!(text.as_bytes().get(member.value).is_some());
            }
        }
    }
}
