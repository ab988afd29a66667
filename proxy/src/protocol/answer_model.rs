//! Replaces the model's name in a replica's response by the name that the caller used, while the
//! response streams. Pure: pieces in, pieces out, however the response is cut.
//!
//! The name is the member `model` of a JSON object, or of the object `message` in it (the first
//! event of Anthropic's streams) or `response` (the events of OpenAI's Responses). A streamed
//! response is a sequence of such objects: the data of server-sent events, or lines.

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use memchr::memchr2;

/// Length of the longest of [`HOLDERS`].
const LONGEST_KEY: usize = 8;
const HOLDERS: [&[u8]; 2] = [b"message", b"response"];
/// The field of an event that holds its data (HTML, 9.2.6).
const DATA: &[u8] = b"data:";

/// How a response is made up of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It is one object.
    Object,
    /// Each line is an object.
    Lines,
    /// The data of each event is an object.
    Events,
}

impl Form {
    /// The form of a response with this header; `None` if no name in it can be replaced.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        [
            ("application/json", Self::Object),
            ("application/x-ndjson", Self::Lines),
            ("text/event-stream", Self::Events),
        ]
        .into_iter()
        .find(|(name, _)| media_type.eq_ignore_ascii_case(name))
        .map(|(_, form)| form)
    }
}

/// Replaces the name, piece by piece.
#[derive(Debug)]
pub struct AnswerModel {
    form: Form,
    /// The new name as a JSON string, quoted.
    name: Vec<u8>,
    state: State,
    /// Whether the last byte was a backslash within a string.
    escaped: bool,
    /// The first bytes of the key being read, as written, and its length.
    key: ([u8; LONGEST_KEY], usize),
}

/// The outer object, or one within it that may hold the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Outer,
    Inner,
}

/// Which key a value belongs to.
#[derive(Clone, Copy, Debug)]
enum Of {
    Model,
    Holder,
    Other,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before an object, after this many bytes of [`DATA`].
    Before(usize),
    /// In what has no name to replace: until the next line, or to the end.
    Passing,
    /// Before a key, or the end of the object.
    Key(Level),
    InKey(Level),
    Colon(Level, Of),
    Value(Level, Of),
    /// Within the name being replaced.
    InModel(Level),
    /// Within another string.
    InText(Level),
    /// Within nested brackets, this deep.
    Nested(Level, usize),
    /// Within a string there.
    NestedText(Level, usize),
    /// After a value, or within a number or literal.
    After(Level),
}

impl AnswerModel {
    /// Replaces the model's name by `name` in a response of this form.
    #[must_use]
    pub fn new(form: Form, name: &str) -> Self {
        Self {
            form,
            name: serde_json::Value::from(name).to_string().into_bytes(),
            state: State::Before(0),
            escaped: false,
            key: ([0; LONGEST_KEY], 0),
        }
    }

    /// Takes the next piece, and returns what to forward of it.
    #[must_use]
    pub fn feed(&mut self, piece: Bytes) -> Bytes {
        let mut out = Vec::new();
        // How much of `piece` has been copied to `out`, or dropped.
        let mut taken = 0;
        let mut at = 0;
        while at < piece.len() {
            // Large responses consist mostly of long strings.
            let in_text = matches!(self.state, State::InText(_) | State::NestedText(..));
            if in_text && !self.escaped {
                match memchr2(b'"', b'\\', &piece[at..]) {
                    Some(skipped) => at += skipped,
                    None => break,
                }
            }
            let was_in_model = matches!(self.state, State::InModel(_));
            self.step(piece[at]);
            match (was_in_model, self.state) {
                (false, State::InModel(_)) => {
                    out.extend_from_slice(&piece[taken..at]);
                    out.extend_from_slice(&self.name);
                    taken = at + 1;
                }
                (true, _) => taken = at + 1,
                (false, _) => {}
            }
            at += 1;
        }
        if taken == 0 {
            return piece;
        }
        out.extend_from_slice(&piece[taken..]);
        out.into()
    }

    fn step(&mut self, byte: u8) {
        if std::mem::take(&mut self.escaped) {
            return;
        }
        if byte == b'\n' && self.form != Form::Object {
            // JSON strings contain no raw line breaks.
            self.state = State::Before(0);
            return;
        }
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.state = match (self.state, byte) {
            (State::Before(seen), _) => self.before(seen, byte, space),
            (State::Passing, _) => State::Passing,

            (State::InText(level) | State::InModel(level), b'"') => State::After(level),
            (State::NestedText(level, depth), b'"') => State::Nested(level, depth),
            (state @ (State::InText(_) | State::InModel(_) | State::NestedText(..)), _) => {
                self.escaped = byte == b'\\';
                state
            }
            (State::InKey(level), b'"') => State::Colon(level, self.whose(level)),
            (state @ State::InKey(_), _) => {
                self.escaped = byte == b'\\';
                let (key, length) = &mut self.key;
                if let Some(place) = key.get_mut(*length) {
                    *place = byte;
                }
                *length += 1;
                state
            }

            (State::Nested(level, depth), b'{' | b'[') => State::Nested(level, depth + 1),
            (State::Nested(level, 1), b'}' | b']') => State::After(level),
            (State::Nested(level, depth), b'}' | b']') => State::Nested(level, depth - 1),
            (State::Nested(level, depth), b'"') => State::NestedText(level, depth),
            (state @ State::Nested(..), _) => state,

            (State::After(level), b',') => State::Key(level),
            (State::Key(Level::Inner) | State::After(Level::Inner), b'}') => {
                State::After(Level::Outer)
            }
            (State::Key(Level::Outer) | State::After(Level::Outer), b'}') => State::Passing,
            (state @ State::After(_), _) => state,
            (state, _) if space => state,

            (State::Key(level), b'"') => {
                self.key.1 = 0;
                State::InKey(level)
            }
            (State::Colon(level, of), b':') => State::Value(level, of),
            (State::Value(level, Of::Model), b'"') => State::InModel(level),
            (State::Value(level, _), b'"') => State::InText(level),
            (State::Value(Level::Outer, Of::Holder), b'{') => State::Key(Level::Inner),
            (State::Value(level, _), b'{' | b'[') => State::Nested(level, 1),
            (State::Value(level, _), _) => State::After(level),
            // Not JSON: forward it unchanged.
            (State::Key(_) | State::Colon(..), _) => State::Passing,
        };
    }

    fn before(&self, seen: usize, byte: u8, space: bool) -> State {
        let is_behind_data = self.form != Form::Events || seen == DATA.len();
        match byte {
            b'{' if is_behind_data => State::Key(Level::Outer),
            _ if is_behind_data && space => State::Before(seen),
            _ if !is_behind_data && byte == DATA[seen] => State::Before(seen + 1),
            _ => State::Passing,
        }
    }

    fn whose(&self, level: Level) -> Of {
        let (key, length) = &self.key;
        let Some(key) = key.get(..*length) else {
            return Of::Other;
        };
        match level {
            _ if key == b"model" => Of::Model,
            Level::Outer if HOLDERS.contains(&key) => Of::Holder,
            _ => Of::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replaced(form: Form, answer: &[u8], cut: usize) -> String {
        let mut model = AnswerModel::new(form, "org/\"M\"");
        let pieces = answer.chunks(cut.max(1));
        let out: Vec<u8> = pieces
            .flat_map(|piece| model.feed(Bytes::copy_from_slice(piece)))
            .collect();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_in_responses_are_replaced_however_the_response_is_cut() {
        for (form, answer, expected) in [
            (
                Form::Object,
                r#"{"choices":[{"message":{"model":"no"}}], "model" : "real", "x":{"model":"no"}}"#,
                r#"{"choices":[{"message":{"model":"no"}}], "model" : "org/\"M\"", "x":{"model":"no"}}"#,
            ),
            (
                Form::Object,
                "{\n \"model\": \"a\\\"b\",\n \"n\": -1.5e3}\n",
                "{\n \"model\": \"org/\\\"M\\\"\",\n \"n\": -1.5e3}\n",
            ),
            (
                Form::Events,
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"real\",\"usage\":{}}}\n\n\
                 data: {\"response\":{\"model\":\"real\"},\"model\":\"real\"}\r\n\r\n\
                 : {\"model\":\"no\"}\n\
                 data: [DONE]\n\n",
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"org/\\\"M\\\"\",\"usage\":{}}}\n\n\
                 data: {\"response\":{\"model\":\"org/\\\"M\\\"\"},\"model\":\"org/\\\"M\\\"\"}\r\n\r\n\
                 : {\"model\":\"no\"}\n\
                 data: [DONE]\n\n",
            ),
            (
                Form::Lines,
                "{\"model\":\"real\",\"done\":false}\n{\"model\":\"real\"}\nnot JSON {\"model\":\"no\"}\n",
                "{\"model\":\"org/\\\"M\\\"\",\"done\":false}\n{\"model\":\"org/\\\"M\\\"\"}\nnot JSON {\"model\":\"no\"}\n",
            ),
        ] {
            for cut in 1..=answer.len() {
                assert_eq!(replaced(form, answer.as_bytes(), cut), expected, "{cut}");
            }
        }
    }

    #[test]
    fn responses_without_a_name_or_without_json_pass_unchanged() {
        for answer in [
            r#"{"model":null,"models":"x","MODEL":"y","a":["model","real"]}"#,
            r#"["model", {"model":"no"}]"#,
            r#"{"a":"\"model\":\"no\"","model"}"#,
            "hello",
            "",
        ] {
            for cut in 1..=answer.len().max(1) {
                assert_eq!(replaced(Form::Object, answer.as_bytes(), cut), answer);
            }
        }
    }

    #[test]
    fn the_form_follows_from_the_header() {
        let form = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            Form::of(&headers)
        };
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(form(&[json]), Some(Form::Object));
        assert_eq!(form(&[json, ("content-encoding", "gzip")]), None);
        assert_eq!(
            form(&[("content-type", "Text/Event-Stream")]),
            Some(Form::Events)
        );
        assert_eq!(form(&[("content-type", "audio/wav")]), None);
        assert_eq!(form(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted_and_the_result_does_not_depend_on_cuts(
            answer in prop::collection::vec(any::<u8>(), 0..200),
            cut in 1_usize..20,
        ) {
            for form in [Form::Object, Form::Lines, Form::Events] {
                let all = |cut: usize| -> Vec<u8> {
                    let mut model = AnswerModel::new(form, "m");
                    answer.chunks(cut).flat_map(|p| model.feed(Bytes::copy_from_slice(p))).collect()
                };
                prop_assert_eq!(all(cut), all(1000));
            }
        }

        #[test]
        fn a_response_stays_json_and_has_the_new_name(
            before in any::<String>(), name in any::<String>(), after in any::<String>(), cut in 1_usize..20,
        ) {
            let answer = serde_json::json!({ "a": before, "model": name, "z": [after] });
            let out = replaced(Form::Object, answer.to_string().as_bytes(), cut);
            let expected = serde_json::json!({ "a": before, "model": "org/\"M\"", "z": [after] });
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), expected);
        }
    }
}
