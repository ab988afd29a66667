//! Any answer of a language model, in any pieces, is read without a panic, and says the same. If
//! serde_json finds a count of tokens in it, so does the scanner.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tailback::{
    protocol::{
        json_follower::Form,
        llm::{LlmApi, SignalScanner},
    },
    status::Generation,
};
use tailback_fuzz::cut;
use tailback_scaler::clock::Nanos;

const APIS: [LlmApi; 6] = [
    LlmApi::ChatCompletions,
    LlmApi::Responses,
    LlmApi::Messages,
    LlmApi::TritonGenerate,
    LlmApi::OllamaChat,
    LlmApi::TgiGenerate,
];

fn read(api: LlmApi, form: Form, pieces: &[&[u8]]) -> Generation {
    let mut scanner = SignalScanner::new(api, form);
    for piece in pieces {
        scanner.feed(piece, Nanos(1));
    }
    *scanner.generation()
}

fuzz_target!(|input: (u8, u8, u16, &[u8])| {
    let (api, form, at, bytes) = input;
    let api = APIS[usize::from(api) % APIS.len()];
    let form = [Form::Object, Form::Lines, Form::Events][usize::from(form) % 3];
    let [a, b] = cut(bytes, at);
    let found = read(api, form, &[bytes]);
    assert_eq!(found, read(api, form, &[a, b]));
    // Keys may be written with escapes, which servers do not do, or be there twice.
    let once = |key: &[u8]| bytes.windows(key.len()).filter(|at| at == &key).count() == 1;
    let is_plain = !bytes.contains(&b'\\') && once(b"\"usage\"") && once(b"\"prompt_tokens\"");
    if (api, form) != (LlmApi::ChatCompletions, Form::Object) || !is_plain {
        return;
    }
    if let Ok(body) = serde_json::from_slice::<Value>(bytes)
        && let Some(tokens) = body["usage"]["prompt_tokens"].as_u64()
    {
        assert_eq!(found.input_tokens(), Some(tokens));
    }
});
