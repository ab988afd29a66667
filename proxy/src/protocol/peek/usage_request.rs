//! Makes a request ask for the `usage` of its stream where it does not: OpenAI's
//! `"stream_options": {"include_usage": true}`. Servers refuse the option in requests that do not
//! stream.

use super::Members;

/// A text to insert into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// The position of the byte before which it is inserted.
    pub at: usize,
    /// The text.
    pub text: &'static str,
}

const OPTIONS: &str = r#""stream_options":{"include_usage":true},"#;
const OPTION: &str = r#""include_usage":true,"#;
const ONLY_OPTION: &str = r#""include_usage":true"#;

/// The insertion for this complete body; `None`: the body does not stream, already says whether it
/// wants the usage, or is not a readable JSON object.
#[must_use]
pub fn usage_request(body: &[u8]) -> Option<Insertion> {
    let mut streams = false;
    let mut options = None;
    for member in Members::of(body) {
        if !member.is_whole {
            return None;
        }
        match member.key {
            b"stream" => streams = &body[member.value] == b"true",
            b"stream_options" => options = Some(member.value),
            _ => {}
        }
    }
    if !streams {
        return None;
    }
    let Some(options) = options else {
        let at = 1 + body.iter().position(|&byte| byte == b'{')?;
        return Some(Insertion { at, text: OPTIONS });
    };
    let inner = &body[options.clone()];
    let mut members = Members::of(inner).peekable();
    let text = match members.peek() {
        Some(_) => OPTION,
        None => ONLY_OPTION,
    };
    let is_object = inner.first() == Some(&b'{');
    let is_said = members.any(|member| member.key == b"include_usage");
    (is_object && !is_said).then_some(Insertion {
        at: options.start + 1,
        text,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn asking(body: &str) -> Option<String> {
        let Insertion { at, text } = usage_request(body.as_bytes())?;
        Some([&body[..at], text, &body[at..]].concat())
    }

    #[test]
    fn requests_that_stream_ask_for_usage_once_and_no_others_do() {
        for (body, expected) in [
            (
                r#" {"model":"m","stream":true}"#,
                Some(r#" {"stream_options":{"include_usage":true},"model":"m","stream":true}"#),
            ),
            (
                r#"{"stream" : true, "stream_options" : { } }"#,
                Some(r#"{"stream" : true, "stream_options" : {"include_usage":true } }"#),
            ),
            (
                r#"{"stream_options":{"x":{"include_usage":1}},"stream":true}"#,
                Some(
                    r#"{"stream_options":{"include_usage":true,"x":{"include_usage":1}},"stream":true}"#,
                ),
            ),
            (
                r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
                None,
            ),
            (r#"{"stream":true,"stream_options":null}"#, None),
            (r#"{"stream":false}"#, None),
            (r#"{"model":"m","messages":[{"stream":true}]}"#, None),
            (r#"{"stream":true,"messages":["cut"#, None),
            ("stream", None),
            ("", None),
        ] {
            assert_eq!(asking(body).as_deref(), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn a_request_stays_json_and_says_nothing_else(
            before in any::<String>(), after in any::<String>(), streams in any::<bool>(),
        ) {
            let body = json!({ "a": before, "stream": streams, "z": [after] });
            let expected = match streams {
                true => {
                    let mut expected = body.clone();
                    expected["stream_options"] = json!({ "include_usage": true });
                    Some(expected)
                }
                false => None,
            };
            let asking = asking(&body.to_string());
            let asking = asking.map(|body| serde_json::from_str::<Value>(&body).unwrap());
            prop_assert_eq!(asking, expected);
        }

        #[test]
        fn any_bytes_are_read_without_harm(body in r#"([{}\[\]":,\\a1 ]|"stream"|"stream_options"|true|\{\}){0,30}"#) {
            if let Some(Insertion { at, .. }) = usage_request(body.as_bytes()) {
                prop_assert!(at <= body.len());
            }
        }
    }
}
