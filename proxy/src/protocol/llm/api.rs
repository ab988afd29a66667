//! Where the responses of each API contain generated text, token counts, and the reason why the
//! generation ended.

use crate::{
    protocol::json_follower::{EACH, Path},
    status::Operation,
};

/// An API whose responses are generated text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LlmApi {
    /// OpenAI's chat completions.
    ChatCompletions,
    /// OpenAI's completions.
    Completions,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Triton's generate extension, with the outputs of its backend for vLLM.
    TritonGenerate,
    /// Ollama's chat.
    OllamaChat,
    /// Ollama's generate.
    OllamaGenerate,
    /// `/generate` of Text Generation Inference and of SGLang.
    TgiGenerate,
}

/// The meaning of a value in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Generated text. An empty text does not count.
    Text,
    /// A generated tool call. Servers also write empty lists of calls.
    Calls,
    /// Why the generation ended.
    Finish,
    /// The model's name, as the server writes it.
    Model,
    /// The number of input tokens.
    Input,
    /// The number of input tokens that came from the cache.
    Cached,
    /// Tokens read from the cache, which `Input` does not count.
    CacheRead,
    /// Tokens written into the cache, which `Input` does not count.
    CacheWritten,
    /// The number of output tokens so far.
    Output,
    /// The output tokens of this object alone, which must be added up.
    OutputMore,
}

type FieldPaths = &'static [(Path, Meaning)];

/// As OpenAI, vLLM, SGLang, llama.cpp and Ollama write them. The name of the reasoning text
/// differs between servers.
const COMPLETIONS: FieldPaths = &[
    (&["model"], Meaning::Model),
    (&["choices", EACH, "delta", "content"], Meaning::Text),
    (
        &["choices", EACH, "delta", "reasoning_content"],
        Meaning::Text,
    ),
    (&["choices", EACH, "delta", "reasoning"], Meaning::Text),
    (
        &["choices", EACH, "delta", "tool_calls", EACH],
        Meaning::Calls,
    ),
    (&["choices", EACH, "text"], Meaning::Text),
    (&["choices", EACH, "finish_reason"], Meaning::Finish),
    (&["usage", "prompt_tokens"], Meaning::Input),
    (
        &["usage", "prompt_tokens_details", "cached_tokens"],
        Meaning::Cached,
    ),
    (&["usage", "completion_tokens"], Meaning::Output),
];

/// The `delta` of an event is text. The last event contains the whole response.
const RESPONSES: FieldPaths = &[
    (&["model"], Meaning::Model),
    (&["response", "model"], Meaning::Model),
    (&["delta"], Meaning::Text),
    (&["status"], Meaning::Finish),
    (&["incomplete_details", "reason"], Meaning::Finish),
    (&["usage", "input_tokens"], Meaning::Input),
    (
        &["usage", "input_tokens_details", "cached_tokens"],
        Meaning::Cached,
    ),
    (&["usage", "output_tokens"], Meaning::Output),
    (&["response", "status"], Meaning::Finish),
    (
        &["response", "incomplete_details", "reason"],
        Meaning::Finish,
    ),
    (&["response", "usage", "input_tokens"], Meaning::Input),
    (
        &["response", "usage", "input_tokens_details", "cached_tokens"],
        Meaning::Cached,
    ),
    (&["response", "usage", "output_tokens"], Meaning::Output),
];

/// The first event has the input tokens, the last but one the output tokens.
const MESSAGES: FieldPaths = &[
    (&["model"], Meaning::Model),
    (&["message", "model"], Meaning::Model),
    (&["delta", "text"], Meaning::Text),
    (&["delta", "thinking"], Meaning::Text),
    (&["delta", "partial_json"], Meaning::Text),
    (&["delta", "stop_reason"], Meaning::Finish),
    (&["stop_reason"], Meaning::Finish),
    (&["usage", "input_tokens"], Meaning::Input),
    (&["usage", "cache_read_input_tokens"], Meaning::CacheRead),
    (
        &["usage", "cache_creation_input_tokens"],
        Meaning::CacheWritten,
    ),
    (&["usage", "output_tokens"], Meaning::Output),
    (&["message", "usage", "input_tokens"], Meaning::Input),
    (
        &["message", "usage", "cache_read_input_tokens"],
        Meaning::CacheRead,
    ),
    (
        &["message", "usage", "cache_creation_input_tokens"],
        Meaning::CacheWritten,
    ),
];

const TRITON: FieldPaths = &[
    (&["model_name"], Meaning::Model),
    (&["text_output"], Meaning::Text),
    (&["finish_reason"], Meaning::Finish),
    (&["num_input_tokens"], Meaning::Input),
    (&["num_output_tokens"], Meaning::OutputMore),
];

const OLLAMA: FieldPaths = &[
    (&["model"], Meaning::Model),
    (&["message", "content"], Meaning::Text),
    (&["message", "thinking"], Meaning::Text),
    (&["message", "tool_calls", EACH], Meaning::Calls),
    (&["response"], Meaning::Text),
    (&["thinking"], Meaning::Text),
    (&["done_reason"], Meaning::Finish),
    (&["prompt_eval_count"], Meaning::Input),
    (&["eval_count"], Meaning::Output),
];

const TGI: FieldPaths = &[
    (&["token", "text"], Meaning::Text),
    (&["details", "finish_reason"], Meaning::Finish),
    (&["details", "input_length"], Meaning::Input),
    (&["details", "generated_tokens"], Meaning::Output),
    // SGLang's field.
    (&["text"], Meaning::Text),
    (&["meta_info", "finish_reason", "type"], Meaning::Finish),
    (&["meta_info", "prompt_tokens"], Meaning::Input),
    (&["meta_info", "cached_tokens"], Meaning::Cached),
    (&["meta_info", "completion_tokens"], Meaning::Output),
];

impl LlmApi {
    /// The kind of operation.
    #[must_use]
    pub fn operation(self) -> Operation {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Messages | Self::OllamaChat => {
                Operation::Chat
            }
            Self::Completions | Self::TritonGenerate | Self::OllamaGenerate | Self::TgiGenerate => {
                Operation::TextCompletion
            }
        }
    }

    /// Whether a request must ask for the `usage` of a stream, by `stream_options`.
    #[must_use]
    pub fn has_stream_options(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions)
    }

    pub(super) fn fields(self) -> FieldPaths {
        match self {
            Self::ChatCompletions | Self::Completions => COMPLETIONS,
            Self::Responses => RESPONSES,
            Self::Messages => MESSAGES,
            Self::TritonGenerate => TRITON,
            Self::OllamaChat | Self::OllamaGenerate => OLLAMA,
            Self::TgiGenerate => TGI,
        }
    }
}
