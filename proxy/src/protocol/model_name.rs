//! Finds the name of the model in a request. Pure.
//!
//! The header `seldon-model` (metadata in gRPC) takes precedence. Otherwise the table of APIs says
//! where to look: in the path, the query or the body. A request cannot choose a destination: its
//! name only selects among the configured models.

use std::{borrow::Cow, ops::Range};

use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use crate::{
    message::HeaderMap,
    protocol::{
        api::ModelIn,
        error::ProxyError,
        peek::{
            BodyScanner, Decoder, Fault, Json, MessageCoding, Multipart, Scanner, has_other_charset,
        },
    },
};

/// The header that names the model; it takes precedence over path and body.
pub const MODEL_HEADER: HeaderName = HeaderName::from_static("seldon-model");

/// The query parameter that names the model.
const PARAMETER: &str = "model";

/// The name in the header, if there is one.
///
/// # Errors
/// If the header does not hold exactly one name.
pub fn in_header(headers: &HeaderMap) -> Result<Option<&str>, ProxyError> {
    let mut named = headers.get_all(MODEL_HEADER);
    let Some(first) = named.next() else {
        return Ok(None);
    };
    if named.any(|other| other != first) {
        return Err(ProxyError::BadModelHeader);
    }
    // Names may be any UTF-8, which clients send unencoded.
    match std::str::from_utf8(first.as_bytes()).map(str::trim) {
        Ok(name) if !name.is_empty() => Ok(Some(name)),
        _ => Err(ProxyError::BadModelHeader),
    }
}

/// A scanner that finds the name in the body of a request with these fields; `None` if the body
/// does not name the model.
///
/// # Errors
/// If no scanner can read such a body.
pub fn in_body(model_in: ModelIn, headers: &HeaderMap) -> Result<Option<BodyScanner>, Fault> {
    Ok(match model_in {
        ModelIn::Body => {
            let mut types = headers.get_all(CONTENT_TYPE);
            let content_type = types.next().map_or(&b""[..], HeaderValue::as_bytes);
            if types.any(|other| other.as_bytes() != content_type)
                || has_other_charset(content_type)
            {
                return Err(Fault::NotUtf8);
            }
            let scanner = match is_form(content_type) {
                false => Scanner::Json(Json::default()),
                true => Multipart::of(content_type)
                    .map(Scanner::Multipart)
                    .ok_or(Fault::NotForm)?,
            };
            Some(BodyScanner::new(scanner, Decoder::of(headers)?))
        }
        ModelIn::Message(field) => Some(BodyScanner::message(field, MessageCoding::of(headers))),
        ModelIn::Path | ModelIn::Query | ModelIn::Response(_) | ModelIn::Nowhere(_) => None,
    })
}

/// A decoded name, and its byte range in the text that it was read from.
pub type NameAt<'a> = (Range<usize>, Cow<'a, str>);

/// The name in the query, if there is one.
///
/// # Errors
/// If there are several, or the name is empty or not UTF-8.
pub fn in_query(query: &str) -> Result<Option<NameAt<'_>>, ProxyError> {
    let mut found = None;
    let mut start = 0;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if percent_decode_str(key).eq(PARAMETER.bytes()) {
            let name = percent_decode_str(value).decode_utf8();
            let end = start + pair.len();
            match (&found, name) {
                (None, Ok(name)) if !name.is_empty() => {
                    found = Some((end - value.len()..end, name))
                }
                _ => return Err(ProxyError::BadModelQuery),
            }
        }
        start += pair.len() + 1;
    }
    Ok(found)
}

/// Whether the content type is that of a form.
fn is_form(content_type: &[u8]) -> bool {
    const FORM: &[u8] = b"multipart/";
    let start = content_type.get(..FORM.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(FORM))
}

/// The candidates for the model's name at the start of a path, longest first: each with its length
/// in the path, in bytes, and its decoded form. `deepest` is the most `/` in any served name.
/// Clients may send those as they are, or as `%2F`.
pub fn names_in_path(text: &str, deepest: usize) -> impl Iterator<Item = (usize, Cow<'_, str>)> {
    let ends: SmallVec<[usize; 4]> = memchr::memchr_iter(b'/', text.as_bytes())
        .chain([text.len()])
        .take(deepest + 1)
        .collect();
    ends.into_iter().rev().filter_map(|end| {
        let read = percent_decode_str(&text[..end]).decode_utf8().ok()?;
        (!read.is_empty()).then_some((end, read))
    })
}

/// Whether `rest`, which follows a model's name in a path, is empty or only a version.
#[must_use]
pub fn is_version(rest: &str) -> bool {
    let version = rest
        .strip_prefix("/versions/")
        .or_else(|| rest.strip_prefix("/labels/"));
    rest.is_empty() || version.is_some_and(|version| !version.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(models: &[&str]) -> HeaderMap {
        models
            .iter()
            .map(|m| (MODEL_HEADER, m.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_header_names_one_model_or_is_wrong() {
        for (models, expected) in [
            (&[][..], Ok(None)),
            (&["tfsimple"], Ok(Some("tfsimple"))),
            (&[" a "], Ok(Some("a"))),
            (&["a", "a"], Ok(Some("a"))),
            (&["a", "b"], Err(ProxyError::BadModelHeader)),
            (&[""], Err(ProxyError::BadModelHeader)),
        ] {
            assert_eq!(in_header(&headers(models)), expected, "{models:?}");
        }
    }

    #[test]
    fn a_query_names_one_model_or_is_wrong() {
        for (query, expected) in [
            ("", Ok(None)),
            ("a=b&models=x", Ok(None)),
            ("model=m", Ok(Some((6..7, "m")))),
            (
                "a=b&model=Qwen%2FQwen2.5&c",
                Ok(Some((10..24, "Qwen/Qwen2.5"))),
            ),
            ("%6dodel=a", Ok(Some((8..9, "a")))),
            ("model=", Err(())),
            ("model", Err(())),
            ("model=%FF", Err(())),
            ("model=a&model=a", Err(())),
        ] {
            let found = in_query(query).map_err(|_| ());
            let found = found.map(|found| found.map(|(at, name)| (at, name.into_owned())));
            let expected =
                expected.map(|e: Option<(_, &str)>| e.map(|(at, name)| (at, name.into())));
            assert_eq!(found, expected, "{query}");
        }
    }

    #[test]
    fn the_content_type_says_how_a_body_is_read() {
        for (content_type, model_in, expected) in [
            ("application/json", ModelIn::Body, "json"),
            ("", ModelIn::Body, "json"),
            ("multipart/form-data; boundary=x", ModelIn::Body, "form"),
            ("Multipart/Form-Data", ModelIn::Body, "NotForm"),
            ("application/grpc", ModelIn::Message(1), "message"),
            ("application/json", ModelIn::Path, "none"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            let found = match in_body(model_in, &headers) {
                Ok(Some(body)) => match body.scanner() {
                    Scanner::Json(_) => "json".into(),
                    Scanner::Multipart(_) => "form".into(),
                    Scanner::Message(_) => "message".into(),
                },
                Ok(None) => "none".into(),
                Err(fault) => format!("{fault:?}"),
            };
            assert_eq!(found, expected, "{content_type} {model_in:?}");
        }
    }

    #[test]
    fn a_path_may_name_a_model_with_slashes_as_they_are_or_escaped() {
        for (rest, deepest, expected) in [
            ("iris/infer", 0, &[(4, "iris")][..]),
            ("iris", 1, &[(4, "iris")]),
            ("my%2Dmodel/ready", 0, &[(10, "my-model")]),
            ("Qwen%2FQwen2.5/infer", 0, &[(14, "Qwen/Qwen2.5")]),
            (
                "Qwen/Qwen2.5/infer",
                1,
                &[(12, "Qwen/Qwen2.5"), (4, "Qwen")],
            ),
            ("a%252Fb", 0, &[(7, "a%2Fb")]),
            ("a%", 0, &[(2, "a%")]),
            ("%FF/infer", 0, &[]),
            ("a//b", 2, &[(4, "a//b"), (2, "a/"), (1, "a")]),
        ] {
            let found: Vec<_> = names_in_path(rest, deepest).collect();
            let found: Vec<_> = found.iter().map(|(end, name)| (*end, &**name)).collect();
            assert_eq!(found, expected, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_path_and_query_is_parsed_without_harm(text in ".*") {
            for (length, name) in names_in_path(&text, 3) {
                prop_assert!(!name.is_empty() && length <= text.len());
            }
            if let Ok(Some((at, name))) = in_query(&text) {
                prop_assert!(!name.is_empty() && text.get(at).is_some());
            }
        }
    }
}
