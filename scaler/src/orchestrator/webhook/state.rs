//! Reads a model's replicas from the API's response, by the manifest's JSON pointers (RFC 6901).

use serde_json::Value;
use tailback_config::{Endpoint, StateCall, Template};

/// A model's state, as the API reports it. `None`: the manifest has no pointer for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ObservedState {
    /// How many replicas the API is asked for.
    pub desired: Option<u32>,
    /// How many replicas take requests.
    pub ready: Option<u32>,
    /// The addresses of the replicas that take requests.
    pub endpoints: Option<Vec<Endpoint>>,
}

/// Reads the state of `model` from `body`, at the pointers in `state`. An address without a
/// scheme is `https` if `secure`, else `http`; an address of the other scheme is an error.
///
/// # Errors A sentence: what is wrong with the response, and at which pointer.
pub(super) fn read(
    body: &[u8],
    state: &StateCall,
    model: &str,
    secure: bool,
) -> Result<ObservedState, String> {
    let json: Value =
        serde_json::from_slice(body).map_err(|e| format!("the response is not JSON: {e}"))?;
    let at = |pointer: &Template| {
        let pointer = pointer.fill(model, 0);
        let value = json.pointer(&pointer);
        let value = value.ok_or_else(|| format!("the response has nothing at {pointer:?}"))?;
        Ok::<_, String>((pointer, value))
    };
    let number = |pointer: &Option<Template>| {
        let Some(pointer) = pointer else {
            return Ok(None);
        };
        let (pointer, value) = at(pointer)?;
        count(value).map(Some).ok_or_else(|| {
            format!(
                "the response has {} at {pointer:?}, expected a number of replicas",
                kind(value)
            )
        })
    };
    let endpoints = match &state.endpoints {
        Some(pointer) => {
            let (pointer, value) = at(pointer)?;
            Some(addresses(value, secure).map_err(|why| format!("at {pointer:?}: {why}"))?)
        }
        None => None,
    };
    Ok(ObservedState {
        desired: number(&state.desired)?,
        ready: number(&state.ready)?,
        endpoints,
    })
}

/// A number of replicas: a number, a text with a number, or the length of a list. `null` is 0:
/// many APIs omit empty values.
fn count(value: &Value) -> Option<u32> {
    match value {
        Value::Null => Some(0),
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok(),
        Value::Array(items) => u32::try_from(items.len()).ok(),
        Value::Object(_) | Value::Bool(_) => None,
    }
}

fn addresses(value: &Value, secure: bool) -> Result<Vec<Endpoint>, String> {
    let items = match value {
        Value::Null => &[][..],
        Value::Array(items) => items,
        other => {
            return Err(format!(
                "found {}, expected a list of addresses",
                kind(other)
            ));
        }
    };
    let scheme = if secure { "https" } else { "http" };
    let mut found: Vec<Endpoint> = Vec::with_capacity(items.len());
    for item in items {
        let text = item.as_str().unwrap_or_default();
        let whole = if text.contains("://") {
            text.trim_end_matches('/').to_owned()
        } else {
            format!("{scheme}://{text}")
        };
        let endpoint = Endpoint::parse(&whole).filter(|endpoint| endpoint.secure == secure);
        let endpoint = endpoint.ok_or_else(|| {
            // Shortened: it may be anything of any length.
            let shown: String = item.to_string().chars().take(80).collect();
            format!("found {shown}, expected host:port or {scheme}://host:port")
        })?;
        if !found.contains(&endpoint) {
            found.push(endpoint);
        }
    }
    Ok(found)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number that is not a count",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use tailback_config::{Env, load_text};

    /// A `state` with these fields.
    fn state(lines: &str) -> StateCall {
        let text = format!(
            "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: s }}\nspec: {{ webhook: {{ \
             scale: {{ url: 'http://a/{{model}}/{{replicas}}' }}, state: {{ url: 'http://a', {lines} }}, \
             endpoints: ['http://g'] }} }}\n---\n\
             apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: s }}\n"
        );
        let config = load_text(Path::new("a.yaml"), &text, &Env::default()).unwrap();
        let spec = config.servers["s"].webhook().unwrap();
        spec.state.clone().unwrap()
    }

    #[test]
    fn counts_are_numbers_or_lists_and_null_is_none() {
        let state = state("desired: /want, ready: '/groups/{model}/up~1down'");
        for (body, expected) in [
            (r#"{"want":3,"groups":{"m":{"up/down":2}}}"#, (3, 2)),
            (
                r#"{"want":"3","groups":{"m":{"up/down":["a","b"]}}}"#,
                (3, 2),
            ),
            (r#"{"want":0,"groups":{"m":{"up/down":null}}}"#, (0, 0)),
        ] {
            let seen = read(body.as_bytes(), &state, "m", false).unwrap();
            assert_eq!(
                (seen.desired, seen.ready),
                (Some(expected.0), Some(expected.1))
            );
        }
    }

    #[test]
    fn an_error_in_a_response_names_its_place() {
        let state = state("desired: /want, endpoints: /at");
        for (body, part) in [
            ("<html>", "not JSON"),
            ("[]", r#"nothing at "/at""#),
            (r#"{"at":[]}"#, r#"nothing at "/want""#),
            (r#"{"at":[],"want":-1}"#, "not a count"),
            (r#"{"at":[],"want":1.5}"#, "not a count"),
            (r#"{"at":[],"want":{}}"#, "an object at \"/want\""),
            (r#"{"at":"a:1","want":1}"#, "a text, expected a list"),
            (r#"{"at":["a:1",7],"want":1}"#, "found 7"),
            (r#"{"at":["https://a:1"],"want":1}"#, "http://host:port"),
            (r#"{"at":["a/b"],"want":1}"#, "found \"a/b\""),
        ] {
            let error = read(body.as_bytes(), &state, "m", false).unwrap_err();
            assert!(error.contains(part), "{body}: {error}");
        }
    }

    #[test]
    fn addresses_are_urls_or_host_and_port_each_once() {
        let state = state("endpoints: ''");
        let body = br#"["127.0.0.1:8001", "http://127.0.0.1:8001/", "http://b:80", "[::1]:9"]"#;
        let seen = read(body, &state, "m", false).unwrap();
        let found: Vec<_> = seen
            .endpoints
            .unwrap()
            .iter()
            .map(Endpoint::to_string)
            .collect();
        assert_eq!(found, ["127.0.0.1:8001", "b:80", "[::1]:9"]);
        let seen = read(br#"["a:1"]"#, &state, "m", true).unwrap();
        assert!(seen.endpoints.unwrap()[0].secure);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in "[\\[\\]{}\",:a-z0-9 ]{0,40}") {
            let state = state("desired: /a, endpoints: /b");
            let _ = read(body.as_bytes(), &state, "m", false);
        }
    }
}
