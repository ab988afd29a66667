//! Finds the values at a few fixed paths in streaming JSON, however it is cut into pieces, and
//! stores none of the text. In text that is not JSON it finds nothing.
//!
//! A streamed response is a sequence of objects: one in the data of each server-sent event, or one
//! on each line.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use memchr::{memchr, memchr2};

use crate::message::HeaderMap;

/// The keys that lead to a value, from the outer object.
pub type Path = &'static [&'static str];

/// In a path, in place of a key: every element of an array.
pub const EACH: &str = "[]";

/// The most keys of a path.
const DEEPEST: usize = 5;
/// The longest key of a path, in bytes.
const LONGEST_KEY: usize = 32;
/// The field of an event that holds its data (HTML, 9.2.6).
const DATA: &[u8] = b"data:";

/// How a body is composed of objects.
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
        let media_type = media_type(headers)?;
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

/// The media type of a message, without its parameters.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(content_type.split(';').next().unwrap_or_default().trim())
}

/// Something that was found. `T` identifies the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge<T> {
    /// The first quote of a string at a path.
    Opens(T),
    /// Its last quote.
    Closes(T),
    /// A whole number at a path; a larger one than fits is replaced by the largest.
    Number(T, u64),
    /// The first bracket of an object or array at a path.
    Nested(T),
    /// The last bracket of an outer object.
    End,
}

/// Follows paths to values. Literals, and numbers that are not whole, are skipped.
#[derive(Debug)]
pub struct Follower<T: 'static> {
    form: Form,
    /// At most 32.
    paths: &'static [(Path, T)],
    state: State,
    /// Whether the last byte was a backslash within a string.
    escaped: bool,
    /// The first bytes of the key being read, as written, and its length.
    key: ([u8; LONGEST_KEY], usize),
    /// For each open object or array on a path: a bit for each path that leads to it.
    open: [u32; DEEPEST],
    /// A bit for each of them that is an array.
    arrays: u8,
    /// The number of those objects and arrays, less one.
    depth: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before an object, after this many bytes of [`DATA`].
    Before(usize),
    /// In text without anything to find: until the next line, or to the end.
    Passing,
    /// Before a key, or the end of the object.
    Key,
    InKey,
    /// Between a key and its value, with the paths that continue there.
    Colon(u32),
    Value(u32),
    /// Within a string at the path of this index.
    InFollowed(usize),
    /// Within a whole number at the path with this index.
    InNumber(usize, u64),
    /// Within another string.
    InText,
    /// Within nested brackets, this deep.
    Nested(usize),
    /// Within a string in nested brackets.
    NestedText(usize),
    /// After a value, or within another number or a literal.
    After,
}

impl<T: Copy> Follower<T> {
    /// Follows `paths` in a body of this form.
    #[must_use]
    pub fn new(form: Form, paths: &'static [(Path, T)]) -> Self {
        debug_assert!(paths.len() <= 32);
        debug_assert!(paths.iter().all(|(path, _)| path.len() <= DEEPEST));
        debug_assert!(
            paths
                .iter()
                .flat_map(|(path, _)| *path)
                .all(|key| key.len() <= LONGEST_KEY)
        );
        Self {
            form,
            paths,
            state: State::Before(0),
            escaped: false,
            key: ([0; LONGEST_KEY], 0),
            open: [u32::MAX; DEEPEST],
            arrays: 0,
            depth: 0,
        }
    }

    /// How the body is composed of objects.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether the next byte belongs to a string at a path.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        matches!(self.state, State::InFollowed(_))
    }

    /// Continues in `piece` at `at`, which is then set to the position after what was found;
    /// `None`: nothing more in this piece, and `at` is at its end.
    pub fn next(&mut self, piece: &[u8], at: &mut usize) -> Option<Edge<T>> {
        while *at < piece.len() {
            let rest = &piece[*at..];
            // Large bodies consist mostly of long strings, and streams mostly of skipped text.
            let skipped = match self.state {
                _ if self.escaped => Some(0),
                State::InText | State::InFollowed(_) | State::NestedText(_) => {
                    memchr2(b'"', b'\\', rest)
                }
                State::Passing if self.form == Form::Object => None,
                State::Passing => memchr(b'\n', rest),
                _ => Some(0),
            };
            let Some(skipped) = skipped else {
                *at = piece.len();
                break;
            };
            *at += skipped;
            if let State::InNumber(path, number) = self.state
                && !matches!(piece[*at], b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
            {
                self.state = State::After;
                return Some(Edge::Number(self.paths[path].1, number));
            }
            let found = self.step(piece[*at]);
            *at += 1;
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn step(&mut self, byte: u8) -> Option<Edge<T>> {
        if std::mem::take(&mut self.escaped) {
            return None;
        }
        if byte == b'\n' && self.form != Form::Object {
            // JSON strings contain no raw line breaks.
            self.state = State::Before(0);
            return None;
        }
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let mut found = None;
        self.state = match (self.state, byte) {
            (State::Before(seen), _) => self.before(seen, byte, space),
            (State::Passing, _) => State::Passing,

            (State::InFollowed(path), b'"') => {
                found = Some(Edge::Closes(self.paths[path].1));
                State::After
            }
            (State::InText, b'"') => State::After,
            (State::NestedText(depth), b'"') => State::Nested(depth),
            (state @ (State::InText | State::InFollowed(_) | State::NestedText(_)), _) => {
                self.escaped = byte == b'\\';
                state
            }
            (State::InNumber(path, number), b'0'..=b'9') => {
                let more = number.saturating_mul(10);
                State::InNumber(path, more.saturating_add(u64::from(byte - b'0')))
            }
            // Not a whole number.
            (State::InNumber(..), _) => State::After,
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

            (State::After, b',') if self.is_array() => State::Value(self.open[self.depth]),
            (State::After, b',') => State::Key,
            (State::Value(_) | State::After, b']') if self.is_array() => self.close(),
            (State::Key | State::After, b'}') if self.depth == 0 => {
                found = Some(Edge::End);
                State::Passing
            }
            (State::Key | State::After, b'}') if !self.is_array() => self.close(),
            (state @ State::After, _) => state,
            (state, _) if space => state,

            (State::Key, b'"') => {
                self.key.1 = 0;
                State::InKey
            }
            (State::Colon(paths), b':') => State::Value(paths),
            (State::Value(paths), _) => self.value(paths, byte, &mut found),
            // Not JSON.
            (State::Key | State::Colon(_), _) => State::Passing,
        };
        found
    }

    fn before(&mut self, seen: usize, byte: u8, space: bool) -> State {
        let is_behind_data = self.form != Form::Events || seen == DATA.len();
        match byte {
            b'{' if is_behind_data => {
                (self.depth, self.arrays) = (0, 0);
                State::Key
            }
            _ if is_behind_data && space => State::Before(seen),
            _ if !is_behind_data && byte == DATA[seen] => State::Before(seen + 1),
            _ => State::Passing,
        }
    }

    /// A value at `paths` begins.
    fn value(&mut self, paths: u32, byte: u8, found: &mut Option<Edge<T>>) -> State {
        let end = self.paths_where(paths, |path| path.len() == self.depth + 1);
        let end = (end != 0).then_some(end.trailing_zeros() as usize);
        match (byte, end) {
            (b'"', Some(path)) => {
                *found = Some(Edge::Opens(self.paths[path].1));
                State::InFollowed(path)
            }
            (b'"', None) => State::InText,
            (b'0'..=b'9', Some(path)) => State::InNumber(path, u64::from(byte - b'0')),
            (b'{' | b'[', _) => {
                *found = end.map(|path| Edge::Nested(self.paths[path].1));
                let is_array = byte == b'[';
                let further = self.paths_where(paths, |path| {
                    let next = path.get(self.depth + 1);
                    next.is_some_and(|key| (*key == EACH) == is_array)
                });
                match further {
                    0 => State::Nested(1),
                    _ => self.open(further, is_array),
                }
            }
            _ => State::After,
        }
    }

    fn open(&mut self, paths: u32, is_array: bool) -> State {
        self.depth += 1;
        self.open[self.depth] = paths;
        self.arrays &= !(1 << self.depth);
        self.arrays |= u8::from(is_array) << self.depth;
        match is_array {
            true => State::Value(paths),
            false => State::Key,
        }
    }

    fn close(&mut self) -> State {
        self.depth -= 1;
        State::After
    }

    /// Whether the innermost open bracket is an array's.
    fn is_array(&self) -> bool {
        self.arrays & (1 << self.depth) != 0
    }

    /// The paths that continue with the key that was read.
    fn paths_of_key(&self) -> u32 {
        let (key, length) = &self.key;
        let Some(key) = key.get(..*length) else {
            return 0;
        };
        self.paths_where(self.open[self.depth], |path| {
            let own = path.get(self.depth);
            own.is_some_and(|own| own.as_bytes() == key && *own != EACH)
        })
    }

    /// Those of `paths` that meet the condition.
    fn paths_where(&self, paths: u32, condition: impl Fn(Path) -> bool) -> u32 {
        let all = self.paths.iter().enumerate();
        all.filter(|(i, (path, _))| paths & (1 << i) != 0 && condition(path))
            .fold(0, |found, (i, _)| found | 1 << i)
    }
}

#[cfg(test)]
mod tests;
