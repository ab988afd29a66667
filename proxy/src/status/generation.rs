//! What is known about a text that a model has generated.

use std::time::Duration;

use tailback_scaler::clock::Nanos;

use super::FinishReasons;

/// The kind of request: `gen_ai.operation.name` in OpenTelemetry's conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The next message of a conversation.
    Chat,
    /// The continuation of a text.
    TextCompletion,
}

/// What a response revealed about tokens. What it did not contain is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The kind of request.
    pub operation: Operation,
    /// For a stream: when its first and its last object with generated text came.
    pub output: Option<(Nanos, Nanos)>,
    /// The number of such objects. Most servers send one token in each.
    pub objects: u64,
    /// Why the generation ended.
    pub finish: FinishReasons,
    /// Input tokens, except those in `cache_read` and `cache_written`.
    pub input: Option<u64>,
    /// Input tokens included in `input` that came from the replica's cache.
    pub cached: Option<u64>,
    /// Input tokens read from the cache, if the server counts them separately from `input`.
    pub cache_read: Option<u64>,
    /// Input tokens written to the cache, if the server counts them separately from `input`.
    pub cache_written: Option<u64>,
    /// Output tokens, if the response contains their number.
    pub generated: Option<u64>,
}

impl Operation {
    /// All.
    pub const ALL: [Self; 2] = [Self::Chat, Self::TextCompletion];

    /// The name in the conventions.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
        }
    }
}

impl Generation {
    /// A generation of which nothing else is known yet.
    #[must_use]
    pub fn new(operation: Operation) -> Self {
        Self {
            operation,
            output: None,
            objects: 0,
            finish: FinishReasons::default(),
            input: None,
            cached: None,
            cache_read: None,
            cache_written: None,
            generated: None,
        }
    }

    /// Input tokens, including those from a cache.
    #[must_use]
    pub fn input_tokens(&self) -> Option<u64> {
        let besides = [self.cache_read, self.cache_written].into_iter().flatten();
        let input = self.input?;
        Some(besides.fold(input, u64::saturating_add))
    }

    /// Input tokens that came from the replica's cache.
    #[must_use]
    pub fn cached_tokens(&self) -> Option<u64> {
        self.cached.or(self.cache_read)
    }

    /// Output tokens. If a stream does not contain their number, the number of objects with
    /// generated text.
    #[must_use]
    pub fn output_tokens(&self) -> Option<u64> {
        self.generated
            .or((self.objects > 0).then_some(self.objects))
    }

    /// The time from `arrived` to the first token of a stream.
    #[must_use]
    pub fn time_to_first_token(&self, arrived: Nanos) -> Option<Duration> {
        self.output.map(|(first, _)| first.since(arrived))
    }

    /// The mean time between two tokens of a stream.
    #[must_use]
    pub fn time_per_output_token(&self) -> Option<Duration> {
        let (first, last) = self.output?;
        let steps = self.output_tokens()?.checked_sub(1)?;
        // A single object reveals nothing about the time between tokens, however many it has.
        let is_spread = self.objects > 1 && steps > 0;
        let nanos = u64::try_from(last.since(first).as_nanos()).unwrap_or(u64::MAX);
        is_spread.then(|| Duration::from_nanos(nanos / steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_are_counted_apart_are_added() {
        let mut generation = Generation::new(Operation::Chat);
        assert_eq!(
            (generation.input_tokens(), generation.cached_tokens()),
            (None, None)
        );
        generation.input = Some(5);
        generation.cache_read = Some(100);
        generation.cache_written = Some(20);
        assert_eq!(generation.input_tokens(), Some(125));
        assert_eq!(generation.cached_tokens(), Some(100));
    }

    #[test]
    fn the_time_between_tokens_is_that_of_a_stream_of_several() {
        let seconds = |seconds: u64| Nanos(seconds * 1_000_000_000);
        let mut generation = Generation::new(Operation::Chat);
        assert_eq!(generation.time_per_output_token(), None);
        generation.output = Some((seconds(3), seconds(3)));
        generation.objects = 1;
        generation.generated = Some(9);
        assert_eq!(generation.time_per_output_token(), None, "it came at once");
        generation.output = Some((seconds(3), seconds(7)));
        generation.objects = 3;
        let time = Duration::from_millis(500);
        assert_eq!(
            generation.time_per_output_token(),
            Some(time),
            "4 s, 8 times"
        );
        generation.generated = None;
        assert_eq!(generation.output_tokens(), Some(3));
        let time = Duration::from_secs(2);
        assert_eq!(generation.time_per_output_token(), Some(time));
        let first = generation.time_to_first_token(seconds(1));
        assert_eq!(first, Some(Duration::from_secs(2)));
    }
}
