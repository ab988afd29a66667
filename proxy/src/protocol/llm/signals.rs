//! Reads a response while it passes.

use tailback_scaler::clock::Nanos;

use super::{
    LlmApi,
    api::Meaning,
    last_event::{self, Tail},
};
use crate::{
    protocol::json_follower::{Edge, Follower, Form},
    status::{FinishReason, Generation},
};

/// The longest word or name that is read from a response, in bytes.
const LONGEST_WORD: usize = 128;
/// The number of bytes that are read of a response that is a single object: its `usage` is at its
/// end.
const MOST_OF_OBJECT: usize = 4 * 1024 * 1024;

/// A larger number is not a token count: servers have written -1 as an unsigned number.
const MOST_TOKENS: u64 = 1 << 32;

/// Finds the signals in a response, and stores nothing else of it.
#[derive(Debug)]
pub struct SignalScanner {
    api: LlmApi,
    tail: Tail,
    follower: Follower<Meaning>,
    /// Bytes that may still be read.
    left: usize,
    /// The first bytes of the string being read, and its length.
    word: ([u8; LONGEST_WORD], usize),
    /// Whether the current object contains generated text.
    has_output: bool,
    generation: Generation,
    /// Whether the model's name is wanted.
    names: bool,
    /// The model's name, once it was read.
    model: Option<Box<str>>,
}

impl SignalScanner {
    /// A scanner for a response of this form.
    #[must_use]
    pub fn new(api: LlmApi, form: Form) -> Self {
        Self {
            api,
            tail: Tail::default(),
            follower: Follower::new(form, api.fields()),
            left: match form {
                Form::Object => MOST_OF_OBJECT,
                Form::Lines | Form::Events => usize::MAX,
            },
            word: ([0; LONGEST_WORD], 0),
            has_output: false,
            generation: Generation::new(api.operation()),
            names: false,
            model: None,
        }
    }

    /// Also reads the name that the server gives the model, if it is `wanted`.
    #[must_use]
    pub fn naming(mut self, wanted: bool) -> Self {
        self.names = wanted;
        self
    }

    /// The name that the server gives the model, if it was wanted and found.
    pub fn take_model(&mut self) -> Option<Box<str>> {
        self.model.take()
    }

    /// What was found so far.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Whether the last event of a stream has passed, so that nothing of meaning follows.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let finish = &self.generation.finish;
        last_event::has_passed(self.api, self.follower.form(), finish, &self.tail)
    }

    /// Reads the next piece, which has arrived at `now`.
    pub fn feed(&mut self, piece: &[u8], now: Nanos) {
        self.tail.push(piece);
        let piece = &piece[..piece.len().min(self.left)];
        if self.follower.form() == Form::Object {
            self.left -= piece.len();
        }
        let mut at = 0;
        loop {
            let (from, was_inside) = (at, self.follower.is_inside());
            let edge = self.follower.next(piece, &mut at);
            if was_inside {
                self.read(&piece[from..at - usize::from(edge.is_some())]);
            }
            match edge {
                None => return,
                Some(Edge::Opens(_)) => self.word.1 = 0,
                Some(Edge::Closes(Meaning::Text)) => self.has_output |= self.word.1 > 0,
                Some(Edge::Closes(Meaning::Finish)) => self.finish(),
                Some(Edge::Closes(Meaning::Model)) if self.names => self.name(),
                Some(Edge::Nested(Meaning::Calls)) => self.has_output = true,
                Some(Edge::Number(meaning, number)) => self.number(meaning, number),
                Some(Edge::Closes(_) | Edge::Nested(_)) => {}
                Some(Edge::End) => self.end(now),
            }
        }
    }

    fn read(&mut self, text: &[u8]) {
        let (word, length) = &mut self.word;
        if let Some(rest) = word.get_mut(*length..) {
            let taken = rest.len().min(text.len());
            rest[..taken].copy_from_slice(&text[..taken]);
        }
        *length += text.len();
    }

    fn finish(&mut self) {
        let (word, length) = &self.word;
        let reason = match word.get(..*length) {
            Some(word) => FinishReason::of(word),
            None => Some(FinishReason::Other),
        };
        if let Some(reason) = reason {
            self.generation.finish.add(reason);
        }
    }

    /// Keeps the first name. A name with escapes is ignored, because it cannot be compared.
    fn name(&mut self) {
        let (word, length) = &self.word;
        let name = word.get(..*length).filter(|name| !name.contains(&b'\\'));
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        if self.model.is_none() {
            self.model = name.filter(|name| !name.is_empty()).map(Box::from);
        }
    }

    fn number(&mut self, meaning: Meaning, number: u64) {
        if number > MOST_TOKENS {
            return;
        }
        let generation = &mut self.generation;
        match meaning {
            Meaning::Input => generation.input = Some(number),
            Meaning::CacheRead => generation.cache_read = Some(number),
            Meaning::CacheWritten => generation.cache_written = Some(number),
            Meaning::Cached => generation.cached = Some(number),
            Meaning::Output => generation.generated = Some(number),
            Meaning::OutputMore => {
                let before = generation.generated.unwrap_or(0);
                generation.generated = Some((before + number).min(MOST_TOKENS));
            }
            Meaning::Text | Meaning::Calls | Meaning::Finish | Meaning::Model => {}
        }
    }

    /// Notes that an object is complete.
    fn end(&mut self, now: Nanos) {
        let has_output = std::mem::take(&mut self.has_output);
        if !has_output || self.follower.form() == Form::Object {
            return;
        }
        let generation = &mut self.generation;
        let (first, _) = generation.output.unwrap_or((now, now));
        generation.output = Some((first, now));
        generation.objects += 1;
    }
}

#[cfg(test)]
mod tests;
