//! Finds the member `model` of a JSON object (RFC 8259), at any position among the others. Other
//! members are skipped without validation, which is left to the replica.
//!
//! A second such member is an error: most parsers take the last of two, and some ignore the case of
//! names. So the rest of the body is scanned as it passes.

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
    /// The string being read, as written, if it matters.
    text: Vec<u8>,
    /// Whether the model was found.
    found: bool,
    /// Bytes of the pieces before the current one.
    before: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the object.
    #[default]
    Start,
    /// Before a key, or the end of the object.
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
                Of::Model if self.found => return Some(Progress::Not(Fault::Twice)),
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

            (State::InWord | State::Comma, b',') => State::Key,
            (State::Key | State::InWord | State::Comma, b'}') if self.found => State::End,
            (State::Key | State::InWord | State::Comma, b'}') => {
                return Some(Progress::Not(Fault::Absent));
            }
            // What follows the object is left to the replica.
            (State::End, _) => State::End,
            (State::InWord, _) if space => State::Comma,
            (State::InWord, _) => State::InWord,
            (state, _) if space => state,

            (State::Start, b'{') => State::Key,
            (State::Key, b'"') => {
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
                State::InWord
            }
            _ => return Some(Progress::Not(Fault::NotJson)),
        };
        None
    }

    fn whose(&self) -> Of {
        let is_key = |text: &[u8]| match self.found {
            false => text == KEY,
            true => text.eq_ignore_ascii_case(KEY),
        };
        let escaped = self.text.len() <= ESCAPED * KEY.len() && self.text.contains(&b'\\');
        if is_key(&self.text) || (escaped && self.decoded().is_some_and(|k| is_key(k.as_bytes()))) {
            Of::Model
        } else {
            Of::Other
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Progress {
        Json::default().feed(text.as_bytes())
    }

    fn name(progress: Progress) -> Option<String> {
        match progress {
            Progress::Found(found) => Some(found.name),
            _ => None,
        }
    }

    #[test]
    fn finds_the_model_among_other_members() {
        for (text, expected) in [
            (r#"{"model":"m"}"#, Some("m")),
            (r#" { "a" : 1 , "model" : "gpt-4" , "b":2}"#, Some("gpt-4")),
            (
                r#"{"messages":[{"model":"no","x":"}]\"{"}],"model":"yes"}"#,
                Some("yes"),
            ),
            (r#"{"a":"\\","model":"m"}"#, Some("m")),
            (r#"{"a":"\"model\":\"no\"","model":"m"}"#, Some("m")),
            (
                r#"{"a":{"b":{"c":[[]]}},"d":null,"e":-1.5e3,"f":true ,"model":"m"}"#,
                Some("m"),
            ),
            (r#"{"mode\u006c":"\u006D\n"}"#, Some("m\n")),
            (r#"{"model":"a","model":"b"}"#, Some("a")),
            (r#"{"model":"é"}"#, Some("é")),
            (r#"{"models":"x","model":""}"#, Some("")),
        ] {
            assert_eq!(name(whole(text)).as_deref(), expected, "{text}");
        }
    }

    /// The result of scanning what follows the model.
    fn after(text: &str) -> Progress {
        let mut scanner = Json::default();
        let Progress::Found(found) = scanner.feed(text.as_bytes()) else {
            panic!("no model in {text}")
        };
        // Byte by byte: the result must not depend on how the text is cut.
        let mut rest = text.as_bytes()[found.span.end..].chunks(1);
        rest.find_map(|byte| match scanner.feed(byte) {
            Progress::More => None,
            end => Some(end),
        })
        .unwrap_or(Progress::More)
    }

    #[test]
    fn a_second_model_is_found_in_any_spelling() {
        for twice in [
            r#"{"model":"a","model":"a"}"#,
            r#"{"model":"a","b":[{"c":"}"}, 1],"model":1}"#,
            r#"{"model":"a", "\u006dodel" : "b"}"#,
            r#"{"model":"a","MODEL":"b"}"#,
        ] {
            assert_eq!(after(twice), Progress::Not(Fault::Twice), "{twice}");
        }
        for once in [
            r#"{"model":"a"}"#,
            r#"{"model":"a","b":{"model":"c"},"d":"model","e":NaN}"#,
            r#"{"Model":"b","model":"a"} and whatever "model""#,
        ] {
            assert_eq!(after(once), Progress::More, "{once}");
        }
        assert_eq!(
            after(r#"{"model":"a",'model':"b"}"#),
            Progress::Not(Fault::NotJson)
        );
    }

    #[test]
    fn a_missing_model_is_reported_with_its_reason() {
        for (text, fault) in [
            ("[]", Fault::NotJson),
            ("hello", Fault::NotJson),
            (r#"{"a" 1}"#, Fault::NotJson),
            (r#"{a:1}"#, Fault::NotJson),
            (r#"{"a":}"#, Fault::NotJson),
            (r#"{"model":"\x"}"#, Fault::NotJson),
            ("{}", Fault::Absent),
            (r#"{"a":1}"#, Fault::Absent),
            (r#"{"a":{"model":"m"}}"#, Fault::Absent),
            (r#"{"model":1}"#, Fault::NotText),
            (r#"{"model":null}"#, Fault::NotText),
        ] {
            assert_eq!(whole(text), Progress::Not(fault), "{text}");
        }
        let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(LONGEST_NAME + 1));
        assert_eq!(whole(&long), Progress::Not(Fault::TooLong));
        let key = format!(r#"{{"{}":1,"model":"m"}}"#, "x".repeat(100_000));
        assert_eq!(name(whole(&key)).as_deref(), Some("m"));
        assert_eq!(whole(r#"{"a":"#), Progress::More);
        assert_eq!(whole(""), Progress::More);
    }

    proptest! {
        /// The same name is found at the same place, however the body is cut.
        #[test]
        fn the_result_does_not_depend_on_cuts(
            members in proptest::collection::btree_map("[a-z\"\\\\é]{0,8}", ".{0,12}", 0..6),
            model in ".{0,12}",
            cuts in proptest::collection::vec(0usize..200, 0..8),
        ) {
            let mut object: serde_json::Map<String, serde_json::Value> =
                members.into_iter().map(|(k, v)| (k, serde_json::json!([v, {"model": "no"}]))).collect();
            object.insert("model".into(), model.clone().into());
            let text = serde_json::to_string(&object).unwrap();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut scanner = Json::default();
            let mut end = Progress::More;
            for pair in cuts.windows(2) {
                if end == Progress::More {
                    end = scanner.feed(&bytes[pair[0]..pair[1]]);
                }
            }
            let Progress::Found(found) = end else { panic!("{text}: {end:?}") };
            prop_assert_eq!(&found.name, &model);
            let again: String = serde_json::from_slice(&bytes[found.span]).unwrap();
            prop_assert_eq!(again, model);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Json::default().feed(&bytes);
        }
    }
}
