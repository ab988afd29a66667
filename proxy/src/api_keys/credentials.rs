//! The API keys of a request: in `Authorization: Bearer`, or in `x-api-key`. Metadata of gRPC are
//! header fields of the same names.

use http::{HeaderName, header::AUTHORIZATION};

use crate::message::HeaderMap;

/// The field of Anthropic's API and of many gateways.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Possible keys, as the caller has sent them.
pub(super) fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearer = headers.get(AUTHORIZATION);
    let bearer = bearer.and_then(|value| after_scheme(value.as_bytes()));
    let plain = headers.get(X_API_KEY);
    let plain = plain.map(|value| value.as_bytes().trim_ascii());
    let both = bearer.into_iter().chain(plain);
    both.filter(|key| !key.is_empty())
}

/// Removes both fields, so that replicas do not see callers' keys.
pub fn remove_credentials(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    headers.remove(X_API_KEY);
}

/// The value after `Bearer`, in any case (RFC 9110, 11.1; RFC 6750, 2.1).
fn after_scheme(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, key) = value.split_at_checked(SCHEME.len())?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_both_fields_and_nothing_else_is_one() {
        for (fields, expected) in [
            (&[("authorization", "Bearer k")][..], &["k"][..]),
            (&[("authorization", "bearer  k ")], &["k"]),
            (&[("x-api-key", "k")], &["k"]),
            (
                &[("authorization", "Bearer a"), ("x-api-key", "b")],
                &["a", "b"],
            ),
            (&[("authorization", "Basic k"), ("x-api-key", "b")], &["b"]),
            (&[("authorization", "Bearer"), ("x-api-key", " ")], &[]),
            (&[("authorization", "Bearerk")], &[]),
            (&[("api-key", "k")], &[]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            let found: Vec<_> = credentials(&headers).collect();
            let expected: Vec<_> = expected.iter().map(|key| key.as_bytes()).collect();
            assert_eq!(found, expected, "{fields:?}");
        }
    }
}
