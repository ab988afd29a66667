//! Which model a request is for. Pure: the one parse that routes it.
//!
//! In order: the `seldon-model` header (in gRPC: metadata), then the path of the
//! Open Inference Protocol, `/v2/models/{name}[/versions/{version}]/…`, then the
//! body: of POST below `/v1`, the field `model`; of gRPC, the first message. The
//! destination never comes from the request: a name only selects among
//! configured models.

use http::{HeaderMap, HeaderName, Method, header::CONTENT_TYPE};

use crate::{
    answer::Failure,
    dialect::Dialect,
    grpc,
    peek::{Fault, Json, Message, Multipart, Scanner},
};

/// Names the model, and wins over path and body.
pub const MODEL_HEADER: HeaderName = HeaderName::from_static("seldon-model");

/// What a request is for.
#[derive(Debug)]
pub enum Route<'a> {
    /// The model of this name, configured or not.
    Model(&'a str),
    /// The model that the body names.
    InBody(Scanner),
    /// None: for the proxy to answer itself, if it can.
    Own,
    /// None: it is wrong.
    Wrong(Failure),
}

/// The route of a request of this kind to this path (without query).
#[must_use]
pub fn route<'a>(
    dialect: Dialect,
    method: &Method,
    headers: &'a HeaderMap,
    path: &'a str,
) -> Route<'a> {
    let mut named = headers.get_all(MODEL_HEADER).iter();
    if let Some(first) = named.next() {
        if named.any(|other| other != first) {
            return Route::Wrong(Failure::BadModelHeader);
        }
        return match first.to_str().map(str::trim) {
            Ok(name) if !name.is_empty() => Route::Model(name),
            _ => Route::Wrong(Failure::BadModelHeader),
        };
    }
    match dialect {
        Dialect::Inference => model_in_path(path).map_or(Route::Own, Route::Model),
        Dialect::OpenAi | Dialect::Grpc => {
            in_body(dialect, method, headers, path).map_or_else(|own| own, Route::InBody)
        }
    }
}

/// What reads the model from the body of such a request, or why nothing can.
///
/// # Errors
/// The route that it takes instead.
pub fn in_body<'a>(
    dialect: Dialect,
    method: &Method,
    headers: &HeaderMap,
    path: &str,
) -> Result<Scanner, Route<'a>> {
    match dialect {
        Dialect::Inference => Err(Route::Own),
        Dialect::OpenAi if *method != Method::POST => Err(Route::Own),
        Dialect::OpenAi if headers.contains_key(http::header::CONTENT_ENCODING) => {
            Err(Route::Wrong(Failure::Unnamed(Fault::Compressed)))
        }
        Dialect::OpenAi => match form(headers) {
            None => Ok(Scanner::Json(Json::default())),
            Some(content_type) => Multipart::of(content_type)
                .map(Scanner::Multipart)
                .ok_or(Route::Wrong(Failure::Unnamed(Fault::NotForm))),
        },
        Dialect::Grpc => match grpc::Method::of(path) {
            grpc::Method::OfModel { field } => Ok(Scanner::Message(Message::new(field))),
            grpc::Method::OfServer(_) => Err(Route::Own),
            grpc::Method::NotOffered | grpc::Method::Unknown => {
                Err(Route::Wrong(Failure::NoMethod))
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

/// `{name}` of `/v2/models/{name}` and all below it.
#[must_use]
pub fn model_in_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/models/")?;
    let name = rest.split('/').next()?;
    (!name.is_empty()).then_some(name)
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
            Route::InBody(Scanner::Json(_)) => "json".into(),
            Route::InBody(Scanner::Multipart(_)) => "form".into(),
            Route::InBody(Scanner::Message(_)) => "message".into(),
            Route::Own => "own".into(),
            Route::Wrong(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn finds_the_model_in_header_then_path() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&[], "/v2/models/iris/infer", "model iris"),
            (&[], "/v2/models/iris/versions/1/infer", "model iris"),
            (&[], "/v2/models/iris", "model iris"),
            (&[], "/v2/models/iris/ready", "model iris"),
            (&["tfsimple"], "/v2/models/iris/infer", "model tfsimple"),
            (&["tfsimple"], "/v1/anything", "model tfsimple"),
            (&["a", "a"], "/", "model a"),
            (&["a", "b"], "/v2/models/a/infer", "BadModelHeader"),
            (&[""], "/v2/models/a/infer", "BadModelHeader"),
            (&[], "/v2/models/", "own"),
            (&[], "/v2/models", "own"),
            (&[], "/v2/models//infer", "own"),
            (&[], "/V2/models/iris/infer", "own"),
            (&[], "/v2/models/../admin", "model .."),
            (&[], "/", "own"),
        ];
        for (models, path, expected) in cases {
            let headers = headers(models);
            let dialect = Dialect::of(&headers, path);
            let found = told(route(dialect, &Method::POST, &headers, path));
            assert_eq!(found, *expected, "{models:?} {path}");
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
            let dialect = Dialect::of(&headers, path);
            let method = method.parse().unwrap();
            let found = told(route(dialect, &method, &headers, path));
            assert_eq!(found, expected, "{content_type} {method} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_parsed_without_harm(path in ".*") {
            if let Some(name) = model_in_path(&path) {
                prop_assert!(!name.is_empty() && !name.contains('/'));
            }
        }
    }
}
