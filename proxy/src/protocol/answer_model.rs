//! Replaces the model's name in a replica's response by the name that the caller used, while the
//! response streams. Pure; the result does not depend on how the response is cut into pieces.
//!
//! The name is the member `model` of a JSON object, or of the object `message` in it (the first
//! event of Anthropic's streams) or `response` (the events of OpenAI's Responses).

use bytes::Bytes;

use super::json_follower::{Edge, Follower, Form, Path};

const PATHS: &[(Path, ())] = &[
    (&["model"], ()),
    (&["message", "model"], ()),
    (&["response", "model"], ()),
];

/// Replaces the name, piece by piece.
#[derive(Debug)]
pub struct AnswerModel {
    /// The new name as a JSON string, quoted.
    name: Vec<u8>,
    follower: Follower<()>,
}

impl AnswerModel {
    /// Replaces the model's name by `name` in a response of this form.
    #[must_use]
    pub fn new(form: Form, name: &str) -> Self {
        Self {
            name: serde_json::Value::from(name).to_string().into_bytes(),
            follower: Follower::new(form, PATHS),
        }
    }

    /// Takes the next piece, and returns what to forward of it.
    #[must_use]
    pub fn feed(&mut self, piece: Bytes) -> Bytes {
        let mut out = Vec::new();
        let mut at = 0;
        // The position up to which `piece` was copied to `out`, or dropped.
        let mut taken = 0;
        let mut is_changed = self.follower.is_inside();
        while let Some(edge) = self.follower.next(&piece, &mut at) {
            match edge {
                Edge::Opens(()) => {
                    out.extend_from_slice(&piece[taken..at - 1]);
                    out.extend_from_slice(&self.name);
                }
                Edge::Closes(()) => {}
                Edge::Number(..) | Edge::Nested(()) | Edge::End => continue,
            }
            is_changed = true;
            taken = at;
        }
        if !is_changed {
            return piece;
        }
        if !self.follower.is_inside() {
            out.extend_from_slice(&piece[taken..]);
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replaced(form: Form, answer: &[u8], cut: usize) -> String {
        let mut model = AnswerModel::new(form, "org/\"M\"");
        let pieces = answer.chunks(cut.max(1));
        let out: Vec<u8> = pieces
            .flat_map(|piece| model.feed(Bytes::copy_from_slice(piece)))
            .collect();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_in_responses_are_replaced_however_the_response_is_cut() {
        for (form, answer, expected) in [
            (
                Form::Object,
                r#"{"choices":[{"message":{"model":"no"}}], "model" : "real", "x":{"model":"no"}}"#,
                r#"{"choices":[{"message":{"model":"no"}}], "model" : "org/\"M\"", "x":{"model":"no"}}"#,
            ),
            (
                Form::Object,
                "{\n \"model\": \"a\\\"b\",\n \"n\": -1.5e3}\n",
                "{\n \"model\": \"org/\\\"M\\\"\",\n \"n\": -1.5e3}\n",
            ),
            (
                Form::Events,
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"real\",\"usage\":{}}}\n\n\
                 data: {\"response\":{\"model\":\"real\"},\"model\":\"real\"}\r\n\r\n\
                 : {\"model\":\"no\"}\n\
                 data: [DONE]\n\n",
                "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"org/\\\"M\\\"\",\"usage\":{}}}\n\n\
                 data: {\"response\":{\"model\":\"org/\\\"M\\\"\"},\"model\":\"org/\\\"M\\\"\"}\r\n\r\n\
                 : {\"model\":\"no\"}\n\
                 data: [DONE]\n\n",
            ),
            (
                Form::Lines,
                "{\"model\":\"real\",\"done\":false}\n{\"model\":\"real\"}\nnot JSON {\"model\":\"no\"}\n",
                "{\"model\":\"org/\\\"M\\\"\",\"done\":false}\n{\"model\":\"org/\\\"M\\\"\"}\nnot JSON {\"model\":\"no\"}\n",
            ),
        ] {
            for cut in 1..=answer.len() {
                assert_eq!(replaced(form, answer.as_bytes(), cut), expected, "{cut}");
            }
        }
    }

    #[test]
    fn responses_without_a_name_or_without_json_pass_unchanged() {
        for answer in [
            r#"{"model":null,"models":"x","MODEL":"y","a":["model","real"]}"#,
            r#"["model", {"model":"no"}]"#,
            r#"{"a":"\"model\":\"no\"","model"}"#,
            "hello",
            "",
        ] {
            for cut in 1..=answer.len().max(1) {
                assert_eq!(replaced(Form::Object, answer.as_bytes(), cut), answer);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted_and_the_result_does_not_depend_on_cuts(
            answer in prop::collection::vec(any::<u8>(), 0..200),
            cut in 1_usize..20,
        ) {
            for form in [Form::Object, Form::Lines, Form::Events] {
                let all = |cut: usize| -> Vec<u8> {
                    let mut model = AnswerModel::new(form, "m");
                    answer.chunks(cut).flat_map(|p| model.feed(Bytes::copy_from_slice(p))).collect()
                };
                prop_assert_eq!(all(cut), all(1000));
            }
        }

        #[test]
        fn a_response_stays_json_and_has_the_new_name(
            before in any::<String>(), name in any::<String>(), after in any::<String>(), cut in 1_usize..20,
        ) {
            let answer = serde_json::json!({ "a": before, "model": name, "z": [after] });
            let out = replaced(Form::Object, answer.to_string().as_bytes(), cut);
            let expected = serde_json::json!({ "a": before, "model": "org/\"M\"", "z": [after] });
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), expected);
        }
    }
}
