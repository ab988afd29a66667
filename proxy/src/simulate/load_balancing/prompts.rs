//! Traces of prompts: the arrival of each request, the lengths of its prompt and answer, and the
//! blocks at the beginning of its prompt.

use std::io::BufRead;

use serde::Deserialize;
use tailback_scaler::simulate::read::{Lines, ReadError};

/// The number of tokens in a block of a trace.
pub const BLOCK_TOKENS: u64 = 512;
/// Largest number of requests.
const MOST_REQUESTS: usize = 10_000_000;
/// The largest number of tokens in one request.
const MOST_TOKENS: u64 = 100_000_000;

/// A request of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Prompt {
    /// Its arrival, in milliseconds.
    pub timestamp: u64,
    /// Tokens of its prompt.
    pub input_length: u64,
    /// Tokens of its answer.
    pub output_length: u64,
    /// One number for each block of the prompt. Two prompts with equal numbers are equal up to
    /// that block.
    pub hash_ids: Vec<u64>,
}

/// Reads JSON lines with `timestamp` (ms), `input_length`, `output_length` (tokens) and `hash_ids`
/// (one for each 512 tokens of the prompt), as Mooncake publishes them; compressed by gzip or not,
/// in any order.
///
/// # Errors
/// The first error, with its line.
pub fn read(input: impl BufRead) -> Result<Vec<Prompt>, ReadError> {
    let mut lines = Lines::open(input)?;
    let mut prompts = Vec::new();
    while let Some((line, text)) = lines.next()? {
        let wrong = |found: String| ReadError::Line {
            line,
            found,
            expected: "a JSON object with timestamp (ms), input_length, output_length and hash_ids",
        };
        let prompt: Prompt =
            serde_json::from_str(text).map_err(|error| wrong(format!("found {error}")))?;
        if prompt.input_length.max(prompt.output_length) > MOST_TOKENS {
            return Err(wrong(format!("found more than {MOST_TOKENS} tokens")));
        }
        if prompts.len() == MOST_REQUESTS {
            return Err(wrong(format!("found more than {MOST_REQUESTS} requests")));
        }
        prompts.push(prompt);
    }
    prompts.sort_by_key(|prompt| prompt.timestamp);
    Ok(prompts)
}
