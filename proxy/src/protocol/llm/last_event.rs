//! Detects that the last event of a stream has passed. Nothing of meaning follows it: clients such
//! as OpenAI's for Python leave at once.

use super::LlmApi;
use crate::{protocol::json_follower::Form, status::FinishReasons};

/// The number of last bytes that suffice to recognise the last event.
const LENGTH: usize = 48;

/// The type of the last event of Anthropic's Messages.
const STOP: &[u8] = b"\"message_stop\"";

/// The last bytes of the stream so far.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: [u8; LENGTH],
    length: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            bytes: [0; LENGTH],
            length: 0,
        }
    }
}

impl Tail {
    pub(super) fn push(&mut self, piece: &[u8]) {
        let new = &piece[piece.len().saturating_sub(LENGTH)..];
        let kept = self.length.min(LENGTH - new.len());
        self.bytes.copy_within(self.length - kept..self.length, 0);
        self.bytes[kept..kept + new.len()].copy_from_slice(new);
        self.length = kept + new.len();
    }

    /// The bytes, if they end with a complete line.
    fn whole_lines(&self) -> Option<&[u8]> {
        let text = &self.bytes[..self.length];
        text.ends_with(b"\n").then_some(text)
    }
}

/// Whether the last event of a response in `api` has passed, given the reasons why it ended and
/// its last bytes.
pub(super) fn has_passed(api: LlmApi, form: Form, finish: &FinishReasons, tail: &Tail) -> bool {
    let Some(lines) = tail.whole_lines().filter(|_| form != Form::Object) else {
        return false;
    };
    match api {
        // After the reasons, one for each choice, the usage may follow.
        LlmApi::ChatCompletions | LlmApi::Completions => {
            lines.trim_ascii_end().ends_with(b"[DONE]")
        }
        LlmApi::Messages => lines.windows(STOP.len()).any(|at| at == STOP),
        LlmApi::Responses
        | LlmApi::TritonGenerate
        | LlmApi::OllamaChat
        | LlmApi::OllamaGenerate
        | LlmApi::TgiGenerate => finish.iter().next().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::FinishReason;

    #[test]
    fn the_tail_is_the_last_bytes_however_they_came() {
        let all: Vec<u8> = (0..200).collect();
        for cut in [1, 7, LENGTH - 1, LENGTH, LENGTH + 1, 200] {
            let mut tail = Tail::default();
            for piece in all.chunks(cut) {
                tail.push(piece);
            }
            assert_eq!(tail.bytes[..tail.length], all[200 - LENGTH..], "{cut}");
        }
    }

    #[test]
    fn a_reason_that_python_has_not_set_is_none() {
        let api = LlmApi::TritonGenerate;
        let (mut finish, mut tail) = (FinishReasons::default(), Tail::default());
        tail.push(b"data: {\"text_output\":\"Hi\",\"finish_reason\":\"None\"}\n");
        assert_eq!(FinishReason::of(b"None"), None);
        assert!(!has_passed(api, Form::Events, &finish, &tail));
        finish.add(FinishReason::Stop);
        assert!(has_passed(api, Form::Events, &finish, &tail));
    }
}
