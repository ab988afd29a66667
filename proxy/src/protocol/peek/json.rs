//! Finds the member `model` of a JSON object (RFC 8259), at any position. The object's own syntax
//! must be valid, also after the model: no trailing comma, no literals other than JSON's and
//! Python's, nothing after the object. The contents of strings and nested values are not checked:
//! they cannot change which members the object has.
//!
//! A second such member is an error, because most parsers take the last of two, and some ignore
//! the case of names. So the rest of the body is scanned while it passes.

use memchr::memchr2;

use super::{Fault, Found, LONGEST_NAME, Progress};

/// The member's name.
const KEY: &[u8] = b"model";
/// The longest form of a character in a string: `\u006d`.
const ESCAPED: usize = 6;

/// Scans an object, piece by piece.
#[derive(Debug, Default)]
pub struct Json {
    state: State,
    /// Whether the last byte was a backslash within a string.
    escaped: bool,
    /// The string being read, as written, if it is relevant.
    text: Vec<u8>,
    /// Whether the model was found.
    found: bool,
    /// Whether there was such a key with different case.
    similar: bool,
    /// Bytes of the pieces before the current one.
    before: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the object.
    #[default]
    Start,
    /// Before the first key, or the end of the object.
    FirstKey,
    /// Before a key.
    Key,
    /// Within a key.
    InKey,
    /// Between a key and its value.
    Colon(Of),
    /// Before a value.
    Value(Of),
    /// Within the model's name, which starts at this offset.
    InModel(usize),
    /// Within another string.
    InText,
    /// Within a number or literal.
    InWord,
    /// Within nested brackets, this deep.
    Nested(usize),
    /// Within a string there.
    NestedText(usize),
    /// After a value.
    Comma,
    /// After the object.
    End,
}

/// Which key a value belongs to.
#[derive(Clone, Copy, Debug)]
enum Of {
    Model,
    Other,
}

impl Json {
    /// Scans the next piece of the body. After the model was found, call it with the rest of that
    /// piece, and then with the following ones; from then on, [`Progress::More`] means that all is
    /// well.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        let mut at = 0;
        while at < piece.len() {
            // Large bodies consist mostly of long strings.
            if !self.escaped && matches!(self.state, State::InText | State::NestedText(_)) {
                match memchr2(b'"', b'\\', &piece[at..]) {
                    Some(skipped) => at += skipped,
                    None => break,
                }
            }
            if let Some(end) = self.step(piece[at], self.before + at) {
                self.before += at + 1;
                return end;
            }
            at += 1;
        }
        self.before += piece.len();
        Progress::More
    }

    /// Scans the byte at offset `at`. Returns the result, if the scan ends here.
    fn step(&mut self, byte: u8, at: usize) -> Option<Progress> {
        if std::mem::take(&mut self.escaped) {
            self.text.push(byte);
            return None;
        }
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.state = match (self.state, byte) {
            (State::InText, b'"') => State::Comma,
            (State::NestedText(depth), b'"') => State::Nested(depth),
            (state @ (State::InText | State::NestedText(_)), _) => {
                self.escaped = byte == b'\\';
                self.text.clear();
                state
            }

            (State::InKey, b'"') => match self.whose() {
                Of::Model if self.found || self.similar => {
                    return Some(Progress::Not(Fault::Twice));
                }
                of => State::Colon(of),
            },
            (State::InModel(start), b'"') => {
                self.state = State::Comma;
                self.found = true;
                return Some(self.found(start, at + 1));
            }
            (state @ (State::InKey | State::InModel(_)), _) => {
                self.escaped = byte == b'\\';
                if self.text.len() <= ESCAPED * LONGEST_NAME {
                    self.text.push(byte);
                } else if let State::InModel(_) = state {
                    return Some(Progress::Not(Fault::TooLong));
                }
                state
            }

            (State::Nested(depth), b'{' | b'[') => State::Nested(depth + 1),
            (State::Nested(1), b'}' | b']') => State::Comma,
            (State::Nested(depth), b'}' | b']') => State::Nested(depth - 1),
            (State::Nested(depth), b'"') => State::NestedText(depth),
            (state @ State::Nested(_), _) => state,

            (State::InWord, b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r') => {
                if !is_word(&self.text) {
                    return Some(Progress::Not(Fault::NotJson));
                }
                self.state = State::Comma;
                return self.step(byte, at);
            }
            (State::InWord, _) if self.text.len() <= ESCAPED * LONGEST_NAME => {
                self.text.push(byte);
                State::InWord
            }
            (State::Comma, b',') => State::Key,
            (State::FirstKey | State::Comma, b'}') if self.found => State::End,
            (State::FirstKey | State::Comma, b'}') => {
                return Some(Progress::Not(Fault::Absent));
            }
            (state, _) if space => state,

            // The first character must be ASCII: other first bytes are a sign of other encodings
            // (RFC 4627, 3).
            (State::Start, 0xef | 0xfe | 0xff | 0) | (State::FirstKey, 0) => {
                return Some(Progress::Not(Fault::NotUtf8));
            }
            (State::Start, b'{') => State::FirstKey,
            (State::FirstKey | State::Key, b'"') => {
                self.text.clear();
                State::InKey
            }
            (State::Colon(of), b':') => State::Value(of),
            (State::Value(Of::Model), b'"') => {
                self.text.clear();
                State::InModel(at)
            }
            (State::Value(Of::Model), _) => return Some(Progress::Not(Fault::NotText)),
            (State::Value(Of::Other), b'"') => State::InText,
            (State::Value(Of::Other), b'{' | b'[') => State::Nested(1),
            (State::Value(Of::Other), b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
                self.text.clear();
                self.text.push(byte);
                State::InWord
            }
            _ => return Some(Progress::Not(Fault::NotJson)),
        };
        None
    }

    fn whose(&mut self) -> Of {
        let escaped = self.text.len() <= ESCAPED * KEY.len() && self.text.contains(&b'\\');
        let decoded = escaped.then(|| self.decoded()).flatten();
        let key = decoded
            .as_ref()
            .map_or(&self.text[..], |key| key.as_bytes());
        let similar = key.eq_ignore_ascii_case(KEY);
        if key == KEY || (similar && self.found) {
            return Of::Model;
        }
        self.similar |= similar;
        Of::Other
    }

    fn found(&self, start: usize, end: usize) -> Progress {
        match self.decoded() {
            Some(name) if name.len() > LONGEST_NAME => Progress::Not(Fault::TooLong),
            Some(name) => Progress::Found(Found {
                name,
                span: start..end,
            }),
            None => Progress::Not(Fault::NotJson),
        }
    }

    /// The string with its escapes decoded; `None` if it is malformed.
    fn decoded(&self) -> Option<String> {
        serde_json::from_slice(&[b"\"", &self.text[..], b"\""].concat()).ok()
    }
}

/// Whether this is a number or literal, of JSON or of Python (`NaN`, `Infinity`, `-Infinity`).
fn is_word(text: &[u8]) -> bool {
    let (minus, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    match rest {
        b"Infinity" => true,
        b"true" | b"false" | b"null" | b"NaN" => !minus,
        _ => is_number(rest),
    }
}

/// RFC 8259, 6, without the sign.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let [b'.', after @ ..] = rest {
        let fraction = digits(after);
        if fraction == 0 {
            return false;
        }
        rest = &after[fraction..];
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let after = match after {
            [b'+' | b'-', after @ ..] => after,
            after => after,
        };
        let exponent = digits(after);
        return exponent > 0 && exponent == after.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests;
