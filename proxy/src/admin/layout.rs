//! How JSON is laid out: on one line, or indented for people.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header, request};
use serde_json::Value;

/// How the JSON of an answer is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// On one line.
    Compact,
    /// Indented, and with a line feed at its end.
    Indented,
}

impl Layout {
    /// The layout that the query asks for (`pretty`, `pretty=false`). By default indented for
    /// curl, which mostly writes to a terminal, and compact for others.
    pub(super) fn asked_for(head: &request::Parts) -> Self {
        let query = head.uri.query().unwrap_or_default();
        let pretty = query.split('&').find_map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (name == "pretty").then_some(value)
        });
        let indented = match pretty {
            Some(value) => !matches!(value, "false" | "0"),
            None => is_curl(&head.headers),
        };
        match indented {
            true => Self::Indented,
            false => Self::Compact,
        }
    }

    /// Lays an answer out, if it is JSON.
    pub(super) fn apply(self, mut response: Response<Bytes>) -> Response<Bytes> {
        let json = HeaderValue::from_static("application/json");
        let is_json = response.headers().get(header::CONTENT_TYPE) == Some(&json);
        if self == Self::Compact || !is_json {
            return response;
        }
        let indented = serde_json::from_slice::<Value>(response.body())
            .and_then(|value| serde_json::to_string_pretty(&value));
        if let Ok(mut text) = indented {
            text.push('\n');
            *response.body_mut() = Bytes::from(text);
        }
        response
    }
}

fn is_curl(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes().starts_with(b"curl/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_lines_and_programs_get_one() {
        let layout = |path: &str, agent: &str| {
            let request = http::Request::get(path).header("user-agent", agent);
            Layout::asked_for(&request.body(()).unwrap().into_parts().0)
        };
        for (path, agent, expected) in [
            ("/models", "python", Layout::Compact),
            ("/models", "curl/8.5.0", Layout::Indented),
            ("/models?pretty", "python", Layout::Indented),
            ("/models?a=b&pretty=true", "python", Layout::Indented),
            ("/models?pretty=false", "curl/8.5.0", Layout::Compact),
        ] {
            assert_eq!(layout(path, agent), expected, "{path} {agent}");
        }
        let answer = |kind: &'static str, body: &'static str| {
            let response = Response::builder().header("content-type", kind);
            response.body(Bytes::from(body)).unwrap()
        };
        let json = answer("application/json", r#"{"b":[1],"a":0.5}"#);
        let indented = Layout::Indented.apply(json.clone()).into_body();
        let value = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
        assert!(indented.ends_with(b"\n}\n"), "{indented:?}");
        assert_eq!(value(&indented), value(json.body()));
        assert_eq!(Layout::Compact.apply(json.clone()).body(), json.body());
        let text = answer("text/plain", "{}");
        assert_eq!(Layout::Indented.apply(text).body(), "{}");
    }
}
