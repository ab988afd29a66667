//! Which model a request is for. Pure: the one parse that routes it.
//!
//! In order: the `seldon-model` header (in gRPC: metadata), then the path of the
//! Open Inference Protocol, `/v2/models/{name}[/versions/{version}]/…`, then the
//! body: of POST below `/v1`, the field `model`; of gRPC, the first message. The
//! destination never comes from the request: a name only selects among
//! configured models.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method, header::CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use crate::protocol::{
    ApiProtocol,
    error::ProxyError,
    grpc,
    peek::{BodyScanner, Decoder, Fault, Json, MessageCoding, Multipart, Scanner},
};

/// Names the model, and wins over path and body.
pub const MODEL_HEADER: HeaderName = HeaderName::from_static("seldon-model");

/// What a request is for.
#[derive(Debug)]
pub enum Route<'a> {
    /// The model of this name, configured or not.
    Model(&'a str),
    /// The model whose name this begins with: the path behind `/v2/models/`.
    InPath(&'a str),
    /// The model that the body names.
    InBody(BodyScanner),
    /// None: for the proxy to answer itself, if it can.
    Local,
    /// None: it is wrong.
    Wrong(ProxyError),
}

/// The route of a request of this kind to this path (without query).
#[must_use]
pub fn route<'a>(
    api: ApiProtocol,
    method: &Method,
    headers: &'a HeaderMap,
    path: &'a str,
) -> Route<'a> {
    let mut named = headers.get_all(MODEL_HEADER).iter();
    if let Some(first) = named.next() {
        if named.any(|other| other != first) {
            return Route::Wrong(ProxyError::BadModelHeader);
        }
        // Names may be any UTF-8, which clients write as it is.
        return match std::str::from_utf8(first.as_bytes()).map(str::trim) {
            Ok(name) if !name.is_empty() => Route::Model(name),
            _ => Route::Wrong(ProxyError::BadModelHeader),
        };
    }
    match api {
        ApiProtocol::Inference => below_models(path).map_or(Route::Local, Route::InPath),
        ApiProtocol::OpenAi | ApiProtocol::Grpc => {
            in_body(api, method, headers, path).map_or_else(|own| own, Route::InBody)
        }
    }
}

/// What reads the model from the body of such a request, or why nothing can.
///
/// # Errors
/// The route that it takes instead.
pub fn in_body<'a>(
    api: ApiProtocol,
    method: &Method,
    headers: &HeaderMap,
    path: &str,
) -> Result<BodyScanner, Route<'a>> {
    let unnamed = |fault| Route::Wrong(ProxyError::Unnamed(fault));
    match api {
        ApiProtocol::Inference => Err(Route::Local),
        ApiProtocol::OpenAi if *method != Method::POST => Err(Route::Local),
        ApiProtocol::OpenAi => {
            let scanner = match form(headers) {
                None => Scanner::Json(Json::default()),
                Some(content_type) => Multipart::of(content_type)
                    .map(Scanner::Multipart)
                    .ok_or(unnamed(Fault::NotForm))?,
            };
            let decoder = Decoder::of(headers).map_err(unnamed)?;
            Ok(BodyScanner::new(scanner, decoder))
        }
        ApiProtocol::Grpc => match grpc::Method::of(path) {
            grpc::Method::OfModel { field } => {
                Ok(BodyScanner::message(field, MessageCoding::of(headers)))
            }
            grpc::Method::OfServer(_) => Err(Route::Local),
            grpc::Method::NotOffered | grpc::Method::Unknown => {
                Err(Route::Wrong(ProxyError::NoMethod))
            }
        },
    }
}

/// The content type, if it is that of a form.
fn form(headers: &HeaderMap) -> Option<&str> {
    const FORM: &str = "multipart/";
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let start = content_type.get(..FORM.len())?;
    start.eq_ignore_ascii_case(FORM).then_some(content_type)
}

/// What precedes a model's name in a path of the Open Inference Protocol.
pub const MODELS: &str = "/v2/models/";

/// The path behind `/v2/models/`, if there is a name.
#[must_use]
pub fn below_models(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(MODELS)?;
    (!rest.is_empty() && !rest.starts_with('/')).then_some(rest)
}

/// How a path may name the model, longest first: each with its length in the path and what it
/// reads. `deepest` is the most `/` in any name that is served; clients leave them as they are,
/// or write `%2F`.
pub fn names_in_path(
    below_models: &str,
    deepest: usize,
) -> impl Iterator<Item = (usize, Cow<'_, str>)> {
    let ends: SmallVec<[usize; 4]> = memchr::memchr_iter(b'/', below_models.as_bytes())
        .chain([below_models.len()])
        .take(deepest + 1)
        .collect();
    ends.into_iter().rev().filter_map(|end| {
        let read = percent_decode_str(&below_models[..end])
            .decode_utf8()
            .ok()?;
        (!read.is_empty()).then_some((end, read))
    })
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

    /// The route in a word.
    fn told(route: Route<'_>) -> String {
        match route {
            Route::Model(name) => format!("model {name}"),
            Route::InPath(rest) => format!("path {rest}"),
            Route::InBody(body) => match body.scanner() {
                Scanner::Json(_) => "json".into(),
                Scanner::Multipart(_) => "form".into(),
                Scanner::Message(_) => "message".into(),
            },
            Route::Local => "own".into(),
            Route::Wrong(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn finds_the_model_in_header_then_path() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&[], "/v2/models/iris/infer", "path iris/infer"),
            (
                &[],
                "/v2/models/iris/versions/1/infer",
                "path iris/versions/1/infer",
            ),
            (&[], "/v2/models/iris", "path iris"),
            (&[], "/v2/models/iris/ready", "path iris/ready"),
            (&["tfsimple"], "/v2/models/iris/infer", "model tfsimple"),
            (&["tfsimple"], "/v1/anything", "model tfsimple"),
            (&["a", "a"], "/", "model a"),
            (&["a", "b"], "/v2/models/a/infer", "BadModelHeader"),
            (&[""], "/v2/models/a/infer", "BadModelHeader"),
            (&[], "/v2/models/", "own"),
            (&[], "/v2/models", "own"),
            (&[], "/v2/models//infer", "own"),
            (&[], "/V2/models/iris/infer", "own"),
            (&[], "/v2/models/../admin", "path ../admin"),
            (&[], "/", "own"),
        ];
        for (models, path, expected) in cases {
            let headers = headers(models);
            let api = ApiProtocol::of(&headers, path);
            let found = told(route(api, &Method::POST, &headers, path));
            assert_eq!(found, *expected, "{models:?} {path}");
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

    #[test]
    fn else_the_body_names_it() {
        let cases = [
            ("application/json", "POST", "/v1/chat/completions", "json"),
            ("", "POST", "/v1/completions", "json"),
            (
                "multipart/form-data; boundary=x",
                "POST",
                "/v1/audio/transcriptions",
                "form",
            ),
            (
                "Multipart/Form-Data",
                "POST",
                "/v1/images/edits",
                "Unnamed(NotForm)",
            ),
            ("", "GET", "/v1/models", "own"),
            (
                "application/grpc",
                "POST",
                "/inference.GRPCInferenceService/ModelInfer",
                "message",
            ),
            (
                "application/grpc",
                "POST",
                "/inference.GRPCInferenceService/ServerLive",
                "own",
            ),
            (
                "application/grpc",
                "POST",
                "/inference.GRPCInferenceService/Other",
                "NoMethod",
            ),
            ("application/grpc", "POST", "/a.B/C", "NoMethod"),
            ("application/grpc", "POST", "/v2/models/m/infer", "NoMethod"),
        ];
        for (content_type, method, path, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            let api = ApiProtocol::of(&headers, path);
            let method = method.parse().unwrap();
            let found = told(route(api, &method, &headers, path));
            assert_eq!(found, expected, "{content_type} {method} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_parsed_without_harm(path in ".*") {
            for (length, name) in below_models(&path).into_iter().flat_map(|rest| names_in_path(rest, 3)) {
                prop_assert!(!name.is_empty() && length <= path.len());
            }
        }
    }
}
