//! Why a model stopped generating, in the words of all APIs.

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model had finished, or reached a stop sequence.
    Stop,
    /// It reached a token limit.
    Length,
    /// It wants tools to be called.
    ToolCalls,
    /// Its text was withheld, or it refused.
    ContentFilter,
    /// The replica failed, or was told to stop.
    Error,
    /// Another word of the replica.
    Other,
}

/// The reasons in one response, which has one for each requested choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinishReasons([u16; FinishReason::ALL.len()]);

impl FinishReason {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Stop,
        Self::Length,
        Self::ToolCalls,
        Self::ContentFilter,
        Self::Error,
        Self::Other,
    ];

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Error => "error",
            Self::Other => "other",
        }
    }

    /// The reason for a replica's word, in any API; `None`: the generation continues, or another
    /// field has the reason.
    #[must_use]
    pub fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            // From vLLM behind Triton, as Python writes it.
            b"None" => return None,
            b"" | b"in_progress" | b"queued" | b"incomplete" | b"load" | b"unload" => return None,
            b"stop" | b"end_turn" | b"stop_sequence" | b"eos_token" | b"completed" => Self::Stop,
            b"length" | b"max_tokens" | b"max_output_tokens" | b"model_context_window_exceeded" => {
                Self::Length
            }
            b"tool_calls" | b"tool_use" | b"function_call" => Self::ToolCalls,
            b"content_filter" | b"refusal" => Self::ContentFilter,
            b"error" | b"failed" | b"abort" | b"cancelled" => Self::Error,
            _ => Self::Other,
        })
    }
}

impl FinishReasons {
    /// Adds the reason of one choice.
    pub fn add(&mut self, reason: FinishReason) {
        let count = &mut self.0[reason as usize];
        *count = count.saturating_add(1);
    }

    /// Each reason that occurs, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (FinishReason, u16)> {
        let all = FinishReason::ALL.into_iter().zip(self.0);
        all.filter(|(_, count)| *count > 0)
    }
}
