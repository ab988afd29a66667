//! Finds the prompt in a request's body, for all APIs. Pure.
//!
//! | API | members |
//! |---|---|
//! | OpenAI chat completions, Ollama chat | `messages` |
//! | OpenAI completions, Ollama generate | `prompt`, after `system` |
//! | OpenAI responses | `input`, after `instructions` |
//! | Anthropic messages | `messages`, after `system` |
//! | Text Generation Inference; Open Inference Protocol, if `inputs` come first to last | `inputs` |
//! | Triton generate | `text_input` |
//!
//! Values are compared as written, because clients write the same messages in the same way each
//! time.

use smallvec::SmallVec;

use super::peek::Members;

/// These precede everything else that the model reads.
const FIRST: [&[u8]; 2] = [b"system", b"instructions"];
const THEN: [&[u8]; 5] = [b"messages", b"prompt", b"input", b"inputs", b"text_input"];

/// The parts of the prompt in the body that begins with `text`, in the order in which the model
/// reads them.
#[must_use]
pub fn parts(text: &[u8]) -> SmallVec<[&[u8]; 4]> {
    let (mut parts, mut first) = (SmallVec::new(), 0);
    for member in Members::of(text) {
        let value = &text[member.value];
        if FIRST.contains(&member.key) {
            parts.insert(first, value);
            first += 1;
        } else if THEN.contains(&member.key) {
            parts.push(value);
        }
    }
    parts
}

/// The value of a member of the object at the beginning of `text`, as written; `None` if it is
/// missing, incomplete, `null`, or an empty text.
#[must_use]
pub fn member<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let member = Members::of(text).find(|member| member.key == name.as_bytes())?;
    let value = &text[member.value];
    let is_none = matches!(value, b"" | b"null" | b"\"\"");
    (member.is_whole && !is_none).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        let parts = parts(body.as_bytes()).into_iter();
        parts
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect()
    }

    #[test]
    fn prompts_of_each_api_are_found_with_what_the_model_reads_first_in_front() {
        for (body, expected) in [
            (
                r#"{"model":"m","messages":[{"role":"user"}],"stream":true}"#,
                &[r#"[{"role":"user"}]"#][..],
            ),
            (r#"{"prompt":"a","system":"b"}"#, &[r#""b""#, r#""a""#]),
            (
                r#"{"input":"a","instructions":"b","user":"u"}"#,
                &[r#""b""#, r#""a""#],
            ),
            (
                r#"{"max_tokens":1,"messages":[],"system":[{"text":"s"}]}"#,
                &[r#"[{"text":"s"}]"#, "[]"],
            ),
            (r#"{"inputs":"a","parameters":{}}"#, &[r#""a""#]),
            (r#"{"text_input":"a"}"#, &[r#""a""#]),
            (
                r#"{"messages":[{"content":"cut o"#,
                &[r#"[{"content":"cut o"#],
            ),
            (r#"{"a":{"messages":[]}}"#, &[]),
            ("not JSON", &[]),
        ] {
            assert_eq!(texts(body), expected, "{body}");
        }
    }

    #[test]
    fn a_session_is_a_member_that_is_there_as_a_whole() {
        let of = |body: &'static str| member(body.as_bytes(), "user");
        assert_eq!(of(r#"{"a":1,"user":"u1"}"#), Some(&br#""u1""#[..]));
        assert_eq!(of(r#"{"user":{"id":7}}"#), Some(&br#"{"id":7}"#[..]));
        for none in [
            r#"{"user":"u"#,
            r#"{"user":null}"#,
            r#"{"user":""}"#,
            r#"{"user":,"a":1}"#,
            r#"{"a":1}"#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
