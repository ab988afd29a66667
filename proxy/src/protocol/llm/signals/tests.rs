use proptest::prelude::*;

use super::*;
use crate::status::Operation;

/// The result for `body`, which arrives in pieces of `cut` bytes, one each second.
fn scanned(api: LlmApi, form: Form, body: &[u8], cut: usize) -> Generation {
    let mut scanner = SignalScanner::new(api, form);
    for (i, piece) in body.chunks(cut.max(1)).enumerate() {
        scanner.feed(piece, Nanos(i as u64));
    }
    *scanner.generation()
}

/// The same without times, which depend on the pieces.
fn timeless(api: LlmApi, form: Form, body: &[u8], cut: usize) -> Generation {
    let mut generation = scanned(api, form, body, cut);
    generation.output = generation.output.map(|_| (Nanos(0), Nanos(0)));
    generation
}

struct Expected {
    input: Option<u64>,
    cached: Option<u64>,
    output: Option<u64>,
    objects: u64,
    finish: Vec<(FinishReason, u16)>,
}

fn check(api: LlmApi, form: Form, body: &str, expected: &Expected) {
    for cut in [1, 2, 3, 7, 50, body.len()] {
        let found = scanned(api, form, body.as_bytes(), cut);
        let finish: Vec<_> = found.finish.iter().collect();
        assert_eq!(found.input_tokens(), expected.input, "{cut}: {body}");
        assert_eq!(found.cached_tokens(), expected.cached, "{cut}: {body}");
        assert_eq!(found.output_tokens(), expected.output, "{cut}: {body}");
        assert_eq!(found.objects, expected.objects, "{cut}: {body}");
        assert_eq!(finish, expected.finish, "{cut}: {body}");
        assert_eq!(found.output.is_some(), expected.objects > 0);
    }
}

/// A stream of vLLM if `stream_options` ask for the usage. Roles and empty lists are not tokens.
const VLLM: &str = concat!(
    r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[]},"logprobs":null,"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"Hm"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[{"index":0,"delta":{"content":"\"usage\":{\"prompt_tokens\":99}"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":""}}]},"finish_reason":"tool_calls","stop_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":12,"total_tokens":19,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":8}}}"#,
    "\n\ndata: [DONE]\n\n",
);

/// A stream of llama.cpp if nothing asks for the usage.
const LLAMA_CPP: &str = concat!(
    r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"c","model":"m","system_fingerprint":"b1","object":"chat.completion.chunk"}"#,
    "\n\n",
    r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"One"}}],"created":1}"#,
    "\n\n",
    r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" two"}}],"created":1}"#,
    "\n\n",
    r#"data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1,"timings":{"prompt_n":9,"predicted_n":2}}"#,
    "\n\ndata: [DONE]\n\n",
);

const MESSAGES: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"m","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":5,"cache_creation_input_tokens":20,"cache_read_input_tokens":100,"output_tokens":1}}}"#,
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}"#,
    "\n\nevent: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#,
    "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const RESPONSES: &str = concat!(
    "event: response.created\n",
    r#"data: {"type":"response.created","response":{"id":"r","status":"in_progress","usage":null,"incomplete_details":null}}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"type":"response.output_text.delta","item_id":"i","delta":"Hi"}"#,
    "\n\nevent: response.output_text.delta\n",
    r#"data: {"type":"response.output_text.delta","item_id":"i","delta":" you"}"#,
    "\n\nevent: response.output_item.done\n",
    r#"data: {"type":"response.output_item.done","item":{"status":"completed"}}"#,
    "\n\nevent: response.incomplete\n",
    r#"data: {"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"status":"completed"}],"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":16},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0}}}}"#,
    "\n\n",
);

#[test]
fn a_stream_is_over_with_its_last_event_and_not_before() {
    const OLLAMA: &str = "{\"response\":\"Hi\",\"done\":false}\n{\"response\":\"\",\"done\":true,\"done_reason\":\"stop\"}\n";
    for (api, form, body) in [
        (LlmApi::ChatCompletions, Form::Events, VLLM),
        (LlmApi::ChatCompletions, Form::Events, LLAMA_CPP),
        (LlmApi::Messages, Form::Events, MESSAGES),
        (LlmApi::Responses, Form::Events, RESPONSES),
        (LlmApi::OllamaGenerate, Form::Lines, OLLAMA),
    ] {
        // The blank line after the last event has no meaning.
        let last = body.trim_end().len() + 1;
        for cut in [1, 2, 3, 7, 50, body.len()] {
            let mut scanner = SignalScanner::new(api, form);
            let mut passed = 0;
            for piece in body.as_bytes().chunks(cut) {
                scanner.feed(piece, Nanos(0));
                passed += piece.len();
                assert_eq!(scanner.is_over(), passed >= last, "{passed} of {body}");
            }
        }
    }
    let mut object = SignalScanner::new(LlmApi::ChatCompletions, Form::Object);
    object.feed(b"{\"choices\":[{\"finish_reason\":\"stop\"}]}\n", Nanos(0));
    assert!(!object.is_over(), "it has a length, or an end of its own");
}

#[test]
fn streams_of_each_api_say_when_tokens_come_how_many_and_why_they_end() {
    use FinishReason::{Length, Stop, ToolCalls};
    for (api, form, body, input, cached, output, objects, finish) in [
        (
            LlmApi::ChatCompletions,
            Form::Events,
            VLLM,
            Some(12),
            Some(8),
            Some(7),
            3,
            ToolCalls,
        ),
        (
            LlmApi::ChatCompletions,
            Form::Events,
            LLAMA_CPP,
            None,
            None,
            Some(2),
            2,
            Length,
        ),
        (
            LlmApi::Completions,
            Form::Events,
            "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}\r\n\r\n\
             data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}],\
             \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"prompt_tokens_details\":null}}\r\n\r\n",
            Some(1),
            None,
            Some(1),
            1,
            Stop,
        ),
        (
            LlmApi::Responses,
            Form::Events,
            RESPONSES,
            Some(30),
            Some(16),
            Some(2),
            2,
            Length,
        ),
        (
            LlmApi::Messages,
            Form::Events,
            MESSAGES,
            Some(125),
            Some(100),
            Some(15),
            2,
            Stop,
        ),
        (
            LlmApi::TritonGenerate,
            Form::Events,
            "data: {\"model_name\":\"m\",\"text_output\":\"a\",\"num_output_tokens\":2,\"num_input_tokens\":4,\"finish_reason\":\"\"}\n\n\
             data: {\"model_name\":\"m\",\"text_output\":\"b\",\"num_output_tokens\":1,\"num_input_tokens\":4,\"finish_reason\":\"length\"}\n\n",
            Some(4),
            None,
            Some(3),
            2,
            Length,
        ),
        (
            LlmApi::OllamaChat,
            Form::Lines,
            "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}\n\
             {\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done_reason\":\"stop\",\"done\":true,\"prompt_eval_count\":26,\"eval_count\":1}\n",
            Some(26),
            None,
            Some(1),
            1,
            Stop,
        ),
        (
            LlmApi::TgiGenerate,
            Form::Events,
            "data:{\"index\":1,\"token\":{\"id\":1,\"text\":\"a\"},\"generated_text\":null,\"details\":null}\n\n\
             data:{\"index\":2,\"token\":{\"id\":2,\"text\":\"b\"},\"generated_text\":\"ab\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_tokens\":2,\"input_length\":3}}\n\n",
            Some(3),
            None,
            Some(2),
            2,
            Stop,
        ),
        (
            LlmApi::TgiGenerate,
            Form::Events,
            "data: {\"text\":\"a\",\"meta_info\":{\"finish_reason\":null,\"prompt_tokens\":3,\"completion_tokens\":1,\"cached_tokens\":2}}\n\n\
             data: {\"text\":\"ab\",\"meta_info\":{\"finish_reason\":{\"type\":\"length\",\"length\":2},\"prompt_tokens\":3,\"completion_tokens\":2,\"cached_tokens\":2}}\n\n",
            Some(3),
            Some(2),
            Some(2),
            2,
            Length,
        ),
    ] {
        let expected = Expected {
            input,
            cached,
            output,
            objects,
            finish: vec![(finish, 1)],
        };
        check(api, form, body, &expected);
    }
}

#[test]
fn answers_that_are_one_object_say_how_many_tokens_and_no_times() {
    use FinishReason::{Length, Stop};
    for (api, body, input, cached, output, finish) in [
        (
            LlmApi::ChatCompletions,
            r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"},{"finish_reason":"length"}],"usage":{"completion_tokens":7,"prompt_tokens":12,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":0}}}"#,
            12,
            Some(0),
            7,
            &[(Stop, 1), (Length, 1)][..],
        ),
        (
            LlmApi::Responses,
            r#"{"id":"r","status":"completed","output":[{"status":"completed"}],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":2}}"#,
            3,
            Some(1),
            2,
            &[(Stop, 1)],
        ),
        (
            LlmApi::Messages,
            r#"{"type":"message","content":[{"type":"text","text":"x"}],"stop_reason":"max_tokens","usage":{"input_tokens":3,"output_tokens":2}}"#,
            3,
            None,
            2,
            &[(Length, 1)],
        ),
        (
            LlmApi::OllamaGenerate,
            r#"{"response":"x","done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2}"#,
            3,
            None,
            2,
            &[(Stop, 1)],
        ),
    ] {
        let expected = Expected {
            input: Some(input),
            cached,
            output: Some(output),
            objects: 0,
            finish: finish.to_vec(),
        };
        check(api, Form::Object, body, &expected);
    }
}

#[test]
fn a_number_that_no_count_of_tokens_can_be_is_passed_over() {
    let body = r#"{"usage":{"completion_tokens":18446744073709551615,"prompt_tokens":3}}"#;
    let found = scanned(
        LlmApi::ChatCompletions,
        Form::Object,
        body.as_bytes(),
        body.len(),
    );
    assert_eq!((found.input, found.generated), (Some(3), None));
}

#[test]
fn the_times_are_those_of_the_first_and_the_last_object_with_text() {
    let mut scanner = SignalScanner::new(LlmApi::ChatCompletions, Form::Events);
    for (i, event) in VLLM.split_inclusive("\n\n").enumerate() {
        scanner.feed(event.as_bytes(), Nanos(i as u64 * 100));
    }
    let generation = scanner.generation();
    assert_eq!(generation.operation, Operation::Chat);
    assert_eq!(generation.output, Some((Nanos(100), Nanos(300))));
}

#[test]
fn the_name_of_the_model_is_read_where_it_is_wanted() {
    let named = |api, form, body: &str, wanted: bool| {
        let mut scanner = SignalScanner::new(api, form).naming(wanted);
        for piece in body.as_bytes().chunks(3) {
            scanner.feed(piece, Nanos(0));
        }
        scanner.take_model()
    };
    let chat = LlmApi::ChatCompletions;
    assert_eq!(named(chat, Form::Events, VLLM, true).as_deref(), Some("m"));
    assert_eq!(named(chat, Form::Events, VLLM, false), None);
    let message = r#"{"type":"message_start","message":{"model":"claude \u00e9"}}"#;
    let message = format!("data: {message}\n\n");
    assert_eq!(named(LlmApi::Messages, Form::Events, &message, true), None);
    let message = message.replace(" \\u00e9", "-5");
    let found = named(LlmApi::Messages, Form::Events, &message, true);
    assert_eq!(found.as_deref(), Some("claude-5"));
    let long = format!(r#"{{"model":"{}"}}"#, "y".repeat(LONGEST_WORD + 1));
    assert_eq!(named(chat, Form::Object, &long, true), None);
}

#[test]
fn of_an_object_no_more_than_a_bound_is_looked_at() {
    let usage = r#""usage":{"prompt_tokens":1}"#;
    let body = format!(r#"{{"x":"{}",{usage}}}"#, "y".repeat(MOST_OF_OBJECT));
    let found = scanned(LlmApi::ChatCompletions, Form::Object, body.as_bytes(), 4096);
    assert_eq!(found.input_tokens(), None);
    let long = format!(
        r#"{{"choices":[{{"finish_reason":"{}"}}],{usage}}}"#,
        "y".repeat(LONGEST_WORD + 1)
    );
    let found = scanned(LlmApi::ChatCompletions, Form::Object, long.as_bytes(), 4096);
    assert_eq!(found.input_tokens(), Some(1));
    let finish: Vec<_> = found.finish.iter().collect();
    assert_eq!(finish, [(FinishReason::Other, 1)]);
}

const APIS: [LlmApi; 8] = [
    LlmApi::ChatCompletions,
    LlmApi::Completions,
    LlmApi::Responses,
    LlmApi::Messages,
    LlmApi::TritonGenerate,
    LlmApi::OllamaChat,
    LlmApi::OllamaGenerate,
    LlmApi::TgiGenerate,
];

proptest! {
    #[test]
    fn any_split_into_pieces_gives_the_same_signals(
        body in r#"([{}\[\]":,\\ \n]|"choices":\[|"delta"|"content"|"usage":\{|"prompt_tokens"|"completion_tokens"|"finish_reason"|"stop"|"text"|"message"|"response"|data: |[0-9]){0,60}"#,
        cut in 1_usize..20,
    ) {
        for api in APIS {
            for form in [Form::Object, Form::Lines, Form::Events] {
                let whole = timeless(api, form, body.as_bytes(), 10_000);
                prop_assert_eq!(timeless(api, form, body.as_bytes(), cut), whole);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for api in APIS {
            scanned(api, Form::Events, &body, 7);
        }
    }

    #[test]
    fn streams_are_counted_whatever_texts_they_have(
        texts in prop::collection::vec(any::<String>(), 0..8), input in 0..=MOST_TOKENS, cut in 1_usize..50,
    ) {
        let mut body = String::new();
        for text in &texts {
            let chunk = serde_json::json!({ "choices": [{ "delta": { "content": text } }] });
            body += &format!("data: {chunk}\n\n");
        }
        let usage = serde_json::json!({ "choices": [], "usage": { "prompt_tokens": input } });
        body += &format!("data: {usage}\n\ndata: [DONE]\n\n");
        let found = scanned(LlmApi::ChatCompletions, Form::Events, body.as_bytes(), cut);
        let spoken = texts.iter().filter(|text| !text.is_empty()).count() as u64;
        prop_assert_eq!((found.input_tokens(), found.objects), (Some(input), spoken));
    }
}
