//! What is known of a text that a model has generated.

use std::time::Duration;

use tailback_scaler::clock::Nanos;

use super::FinishReasons;

/// What is asked of a model: `gen_ai.operation.name` of OpenTelemetry's conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The next message of a conversation.
    Chat,
    /// The continuation of a text.
    TextCompletion,
}

/// What a response said of tokens. What it did not say is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// What was asked of the model.
    pub operation: Operation,
    /// When its first and its last object with generated text came, of a stream.
    pub output: Option<(Nanos, Nanos)>,
    /// How many such objects came. Most servers send a token in each.
    pub objects: u64,
    /// Why it ended.
    pub finish: FinishReasons,
    /// Tokens that went in, but for those in `cache_read` and `cache_written`.
    pub input: Option<u64>,
    /// Those of `input` that came from the replica's cache.
    pub cached: Option<u64>,
    /// Tokens that went in from the cache, where they are counted apart from `input`.
    pub cache_read: Option<u64>,
    /// Tokens that went in and were put into the cache, where they are counted apart from `input`.
    pub cache_written: Option<u64>,
    /// Tokens that came out, if the response says so.
    pub generated: Option<u64>,
}

impl Operation {
    /// All.
    pub const ALL: [Self; 2] = [Self::Chat, Self::TextCompletion];

    /// As in the conventions.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
        }
    }
}

impl Generation {
    /// Nothing is known yet.
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

    /// Tokens that went in, those from a cache included.
    #[must_use]
    pub fn input_tokens(&self) -> Option<u64> {
        let besides = [self.cache_read, self.cache_written].into_iter().flatten();
        let input = self.input?;
        Some(besides.fold(input, u64::saturating_add))
    }

    /// Those of them that came from the replica's cache.
    #[must_use]
    pub fn cached_tokens(&self) -> Option<u64> {
        self.cached.or(self.cache_read)
    }

    /// Tokens that came out. Where a stream does not say it, the objects with generated text.
    #[must_use]
    pub fn output_tokens(&self) -> Option<u64> {
        self.generated
            .or((self.objects > 0).then_some(self.objects))
    }

    /// From `arrived` to the first token of a stream.
    #[must_use]
    pub fn time_to_first_token(&self, arrived: Nanos) -> Option<Duration> {
        self.output.map(|(first, _)| first.since(arrived))
    }

    /// The mean time from one token of a stream to the next.
    #[must_use]
    pub fn time_per_output_token(&self) -> Option<Duration> {
        let (first, last) = self.output?;
        let steps = self.output_tokens()?.checked_sub(1)?;
        // One object says nothing of the time between tokens, however many it has.
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
