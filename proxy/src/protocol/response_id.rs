//! The ids of stored responses (OpenAI's Responses API): where a replica's response contains the
//! id under which it is stored, and where a request names the response on which it follows. Pure;
//! the result does not depend on how the body is cut into pieces.

use super::json_follower::{Edge, Follower, Form, Path};

/// The longest id, in bytes as written. Ids of OpenAI and vLLM have about 50.
const LONGEST: usize = 256;
/// The number of bytes of a response in which its id is searched. Servers put it at the beginning,
/// or nearly so.
const MOST_OF_ANSWER: usize = 64 * 1024;

const IN_ANSWER: &[(Path, ())] = &[(&["id"], ())];
/// The first event, `response.created`, contains it; so does each later one with a `response`.
const IN_EVENTS: &[(Path, ())] = &[(&["response", "id"], ())];
const IN_REQUEST: &[(Path, ())] = &[(&["previous_response_id"], ())];

/// Searches one id in a body.
#[derive(Debug)]
pub struct ResponseId {
    follower: Follower<()>,
    /// The id as read so far, as written.
    text: Vec<u8>,
    /// Bytes that may still be read.
    left: usize,
}

impl ResponseId {
    /// Searches the id under which a replica stores its response, in a body of this form.
    #[must_use]
    pub fn in_answer(form: Form) -> Self {
        let paths = match form {
            Form::Object => IN_ANSWER,
            Form::Lines | Form::Events => IN_EVENTS,
        };
        Self::new(form, paths, MOST_OF_ANSWER)
    }

    /// Searches the id of the response on which a request follows. The whole body is read, because
    /// some clients write the id after all of the input.
    #[must_use]
    pub fn in_request() -> Self {
        Self::new(Form::Object, IN_REQUEST, usize::MAX)
    }

    fn new(form: Form, paths: &'static [(Path, ())], left: usize) -> Self {
        Self {
            follower: Follower::new(form, paths),
            text: Vec::new(),
            left,
        }
    }

    /// Whether the search has ended: the id was found, or is too far away.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.left == 0
    }

    /// Reads the next piece. Returns the id once.
    pub fn feed(&mut self, piece: &[u8]) -> Option<String> {
        let piece = &piece[..piece.len().min(self.left)];
        let mut at = 0;
        loop {
            let (from, was_inside) = (at, self.follower.is_inside());
            let edge = self.follower.next(piece, &mut at);
            if was_inside {
                let text = &piece[from..at - usize::from(edge.is_some())];
                if self.text.len() + text.len() > LONGEST {
                    self.left = 0;
                    return None;
                }
                self.text.extend_from_slice(text);
            }
            match edge {
                Some(Edge::Opens(()) | Edge::Number(..) | Edge::Nested(()) | Edge::End) => {}
                Some(Edge::Closes(())) => {
                    self.left = 0;
                    return decoded(&std::mem::take(&mut self.text));
                }
                None => {
                    self.left -= piece.len();
                    return None;
                }
            }
        }
    }
}

/// The id that is written like this between quotes; `None` if it is empty or malformed.
fn decoded(text: &[u8]) -> Option<String> {
    let quoted = [b"\"", text, b"\""].concat();
    serde_json::from_slice(&quoted)
        .ok()
        .filter(|id: &String| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fed(mut id: ResponseId, body: &[u8], cut: usize) -> Option<String> {
        let found: Vec<_> = body
            .chunks(cut)
            .filter_map(|piece| id.feed(piece))
            .collect();
        assert!(found.len() <= 1, "{found:?}");
        found.into_iter().next()
    }

    const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\
         \"response\":{\"object\":\"response\",\"id\":\"resp_1\",\"output\":[]}}\n\n\
         data: {\"item_id\":\"msg_1\",\"response\":{\"id\":\"resp_2\"}}\n\n";

    #[test]
    fn the_id_of_an_answer_is_found_in_each_form_however_it_is_cut() {
        for (form, body, expected) in [
            (
                Form::Object,
                r#"{"id":"resp_1","output":[{"id":"msg_1"}]}"#,
                Some("resp_1"),
            ),
            (
                Form::Object,
                r#"{"output":[{"id":"msg_1"}],"id":"r\u0065sp_1"}"#,
                Some("resp_1"),
            ),
            (Form::Events, CREATED, Some("resp_1")),
            (
                Form::Events,
                "data: {\"id\":\"evt_1\",\"item\":{\"id\":\"msg_1\"}}\n\n",
                None,
            ),
            (Form::Object, r#"{"error":{"id":"x"},"id":null}"#, None),
            (Form::Object, r#"{"id":"","x":"id"}"#, None),
            (Form::Object, r#"{"id":"\x"}"#, None),
            (Form::Object, r#"{"id":"resp_1"#, None),
            (Form::Object, r#"["id","resp_1"]"#, None),
        ] {
            for cut in 1..=body.len() {
                let found = fed(ResponseId::in_answer(form), body.as_bytes(), cut);
                assert_eq!(found.as_deref(), expected, "{cut}: {body}");
            }
        }
    }

    #[test]
    fn an_id_that_is_too_long_or_too_far_away_is_not_looked_for_further() {
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(LONGEST + 1));
        let far = format!(
            r#"{{"output":"{}","id":"resp_1"}}"#,
            "x".repeat(MOST_OF_ANSWER)
        );
        for body in [&long, &far] {
            for cut in [100, 1000, 100_000] {
                let mut id = ResponseId::in_answer(Form::Object);
                for piece in body.as_bytes().chunks(cut) {
                    assert_eq!(id.feed(piece), None);
                }
                assert!(id.has_ended() && id.text.len() <= LONGEST);
            }
        }
    }

    #[test]
    fn a_request_says_anywhere_in_its_body_on_what_it_follows() {
        let body = format!(
            r#"{{"input":"{}","model":"m","previous_response_id":"resp_1"}}"#,
            "x".repeat(200_000)
        );
        let id = fed(ResponseId::in_request(), body.as_bytes(), 1000);
        assert_eq!(id.as_deref(), Some("resp_1"));
        let none = r#"{"previous_response_id":null,"id":"resp_1"}"#;
        assert_eq!(fed(ResponseId::in_request(), none.as_bytes(), 5), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm_and_however_they_are_cut(
            body in r#"([{}\[\]":,\\ \n]|"id"|"response"|data:|resp_1|u00){0,60}"#, cut in 1_usize..20,
        ) {
            for form in [Form::Object, Form::Lines, Form::Events] {
                let found = |cut| fed(ResponseId::in_answer(form), body.as_bytes(), cut);
                prop_assert_eq!(found(cut), found(10_000));
            }
        }
    }
}
