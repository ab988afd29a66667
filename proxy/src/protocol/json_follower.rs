//! Finds the values of a few fixed paths in JSON that streams by, however it is cut, and keeps none
//! of it. What is not JSON passes, and nothing is found in it.
//!
//! A response that streams is a sequence of objects: the data of server-sent events, or lines.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use memchr::memchr2;

/// The keys that lead to a value, from the outer object.
pub type Path = &'static [&'static str];

/// The most keys of a path.
const DEEPEST: usize = 3;
/// The longest key of a path, in bytes.
const LONGEST_KEY: usize = 24;
/// The field of an event that holds its data (HTML, 9.2.6).
const DATA: &[u8] = b"data:";

/// How a body is made up of objects.
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
    /// The form of a response with these header fields; `None` if nothing can be found in it.
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

/// An end of a string at one of the paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Its first quote.
    Opens,
    /// Its last quote.
    Closes,
}

/// Follows paths to strings. Values of other types are passed over.
#[derive(Debug)]
pub struct Follower {
    form: Form,
    /// Eight at most.
    paths: &'static [Path],
    state: State,
    /// Whether the last byte was a backslash within a string.
    escaped: bool,
    /// The first bytes of the key being read, as written, and its length.
    key: ([u8; LONGEST_KEY], usize),
    /// Of each open object that a path leads to, which paths do: a bit each.
    open: [u8; DEEPEST],
    /// The number of those objects, less one.
    depth: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before an object, after this many bytes of [`DATA`].
    Before(usize),
    /// In what has nothing to find: until the next line, or to the end.
    Passing,
    /// Before a key, or the end of the object.
    Key,
    InKey,
    /// Between a key and its value, with the paths that go on there.
    Colon(u8),
    Value(u8),
    /// Within a string at a path.
    InFollowed,
    /// Within another string.
    InText,
    /// Within nested brackets, this deep.
    Nested(usize),
    /// Within a string there.
    NestedText(usize),
    /// After a value, or within a number or literal.
    After,
}

impl Follower {
    /// Follows `paths` in a body of this form.
    #[must_use]
    pub fn new(form: Form, paths: &'static [Path]) -> Self {
        debug_assert!(paths.len() <= 8 && paths.iter().all(|path| path.len() <= DEEPEST));
        debug_assert!(
            paths
                .iter()
                .flat_map(|path| *path)
                .all(|key| key.len() <= LONGEST_KEY)
        );
        Self {
            form,
            paths,
            state: State::Before(0),
            escaped: false,
            key: ([0; LONGEST_KEY], 0),
            open: [u8::MAX; DEEPEST],
            depth: 0,
        }
    }

    /// Whether the next byte belongs to a string at a path.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::InFollowed)
    }

    /// Goes on in `piece` from `at`, which then is behind the edge that was found; `None`: behind
    /// the piece.
    pub fn next(&mut self, piece: &[u8], at: &mut usize) -> Option<Edge> {
        while *at < piece.len() {
            // Large bodies consist mostly of long strings.
            let in_text = matches!(self.state, State::InText | State::NestedText(_));
            if in_text && !self.escaped {
                match memchr2(b'"', b'\\', &piece[*at..]) {
                    Some(skipped) => *at += skipped,
                    None => {
                        *at = piece.len();
                        break;
                    }
                }
            }
            let was_inside = self.is_inside();
            self.step(piece[*at]);
            *at += 1;
            match (was_inside, self.is_inside()) {
                (false, true) => return Some(Edge::Opens),
                (true, false) => return Some(Edge::Closes),
                _ => {}
            }
        }
        None
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

            (State::InText | State::InFollowed, b'"') => State::After,
            (State::NestedText(depth), b'"') => State::Nested(depth),
            (state @ (State::InText | State::InFollowed | State::NestedText(_)), _) => {
                self.escaped = byte == b'\\';
                state
            }
            (State::InKey, b'"') => State::Colon(self.paths_of_key()),
            (state @ State::InKey, _) => {
                self.escaped = byte == b'\\';
                let (key, length) = &mut self.key;
                if let Some(place) = key.get_mut(*length) {
                    *place = byte;
                }
                *length += 1;
                state
            }

            (State::Nested(depth), b'{' | b'[') => State::Nested(depth + 1),
            (State::Nested(1), b'}' | b']') => State::After,
            (State::Nested(depth), b'}' | b']') => State::Nested(depth - 1),
            (State::Nested(depth), b'"') => State::NestedText(depth),
            (state @ State::Nested(_), _) => state,

            (State::After, b',') => State::Key,
            (State::Key | State::After, b'}') if self.depth == 0 => State::Passing,
            (State::Key | State::After, b'}') => {
                self.depth -= 1;
                State::After
            }
            (state @ State::After, _) => state,
            (state, _) if space => state,

            (State::Key, b'"') => {
                self.key.1 = 0;
                State::InKey
            }
            (State::Colon(paths), b':') => State::Value(paths),
            (State::Value(paths), b'"') if self.ends(paths) => State::InFollowed,
            (State::Value(_), b'"') => State::InText,
            (State::Value(paths), b'{') if self.goes_on(paths) => {
                self.depth += 1;
                self.open[self.depth] = paths;
                State::Key
            }
            (State::Value(_), b'{' | b'[') => State::Nested(1),
            (State::Value(_), _) => State::After,
            // Not JSON.
            (State::Key | State::Colon(_), _) => State::Passing,
        };
    }

    fn before(&mut self, seen: usize, byte: u8, space: bool) -> State {
        let is_behind_data = self.form != Form::Events || seen == DATA.len();
        match byte {
            b'{' if is_behind_data => {
                self.depth = 0;
                State::Key
            }
            _ if is_behind_data && space => State::Before(seen),
            _ if !is_behind_data && byte == DATA[seen] => State::Before(seen + 1),
            _ => State::Passing,
        }
    }

    /// The paths that go on with the key that was read.
    fn paths_of_key(&self) -> u8 {
        let (key, length) = &self.key;
        let Some(key) = key.get(..*length) else {
            return 0;
        };
        self.paths_where(self.open[self.depth], |path| {
            path.get(self.depth)
                .is_some_and(|own| own.as_bytes() == key)
        })
    }

    /// Whether one of `paths` ends with the value that comes next.
    fn ends(&self, paths: u8) -> bool {
        self.paths_where(paths, |path| path.len() == self.depth + 1) != 0
    }

    /// Whether one of `paths` goes on below it.
    fn goes_on(&self, paths: u8) -> bool {
        self.paths_where(paths, |path| path.len() > self.depth + 1) != 0
    }

    /// Those of `paths` that meet the condition.
    fn paths_where(&self, paths: u8, condition: impl Fn(Path) -> bool) -> u8 {
        let all = self.paths.iter().enumerate();
        all.filter(|(i, path)| paths & (1 << i) != 0 && condition(path))
            .fold(0, |found, (i, _)| found | 1 << i)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATHS: &[Path] = &[&["id"], &["response", "id"], &["response", "usage", "kind"]];

    /// The strings at the paths, as they are written.
    fn found(form: Form, body: &[u8], cut: usize) -> Vec<String> {
        let mut follower = Follower::new(form, PATHS);
        let (mut all, mut text) = (Vec::new(), Vec::new());
        for piece in body.chunks(cut.max(1)) {
            let mut at = 0;
            loop {
                let (from, was_inside) = (at, follower.is_inside());
                let edge = follower.next(piece, &mut at);
                if was_inside {
                    text.extend_from_slice(&piece[from..at - usize::from(edge.is_some())]);
                }
                match edge {
                    Some(Edge::Closes) => {
                        let text = std::mem::take(&mut text);
                        all.push(String::from_utf8_lossy(&text).into_owned());
                    }
                    Some(Edge::Opens) => {}
                    None => break,
                }
            }
        }
        all
    }

    #[test]
    fn strings_at_the_paths_are_found_however_the_body_is_cut() {
        for (form, body, expected) in [
            (
                Form::Object,
                r#"{"a":{"id":"no"},"id":"1","response":{"x":[{"id":"no"}],"usage":{"kind":"k","id":"no"},"id":"2"},"kind":"no"}"#,
                &["1", "k", "2"][..],
            ),
            (
                Form::Object,
                r#"{"response":{"id":7,"usage":null},"id":{"id":"no"}, "usage":{"kind":"no"}, "id" : "a\"b"}"#,
                &[r#"a\"b"#],
            ),
            (
                Form::Events,
                "data: {\"response\":{\"id\":\"1\"\ndata:{\"id\":\"2\"}\n: {\"id\":\"no\"}\n\ndata: [DONE]\n",
                &["1", "2"],
            ),
            (Form::Lines, "{\"id\":\"1\"}\n[{\"id\":\"no\"}]\n", &["1"]),
            (Form::Object, r#"{"response":{"usage":{"kind"#, &[]),
            (Form::Object, r#"{"i\u0064":"no","idd":"no","":"no"}"#, &[]),
        ] {
            for cut in 1..=body.len() {
                assert_eq!(found(form, body.as_bytes(), cut), expected, "{cut}: {body}");
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
        fn what_is_found_does_not_depend_on_cuts(
            body in r#"([{}\[\]":,\\ \n]|"id"|"response"|"usage"|"kind"|data:|x|1){0,60}"#,
            cut in 1_usize..20,
        ) {
            for form in [Form::Object, Form::Lines, Form::Events] {
                let whole = found(form, body.as_bytes(), 1000);
                prop_assert_eq!(found(form, body.as_bytes(), cut), whole);
            }
        }

        #[test]
        fn of_well_formed_json_exactly_the_paths_are_found(
            id in any::<String>(), inner in any::<String>(), kind in any::<String>(), other in any::<String>(),
        ) {
            let body = serde_json::json!({
                "z": [other.clone(), {"id": other.clone()}],
                "response": {"a": other, "id": inner, "usage": {"kind": kind}},
                "id": id,
            });
            let text = |value: &serde_json::Value| {
                let text = value.to_string();
                text[1..text.len() - 1].to_owned()
            };
            let mut expected = [&body["id"], &body["response"]["id"], &body["response"]["usage"]["kind"]].map(text);
            let mut found = found(Form::Object, body.to_string().as_bytes(), 7);
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
