//! Which model a request is for. Pure: the one parse that routes it.
//!
//! In order: the `seldon-model` header, then the path of the Open Inference
//! Protocol, `/v2/models/{name}[/versions/{version}]/…`. The destination never
//! comes from the request: a name only selects among configured models.

use http::{HeaderMap, HeaderName};

/// Names the model, and wins over the path.
pub const MODEL_HEADER: HeaderName = HeaderName::from_static("seldon-model");

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// The model of this name, configured or not.
    Model(&'a str),
    /// No model is named.
    NoModel,
    /// The header names several models, or none legibly.
    BadHeader,
}

/// The route of a request with these headers to this path (without query).
#[must_use]
pub fn route<'a>(headers: &'a HeaderMap, path: &'a str) -> Route<'a> {
    let mut named = headers.get_all(MODEL_HEADER).iter();
    if let Some(first) = named.next() {
        if named.any(|other| other != first) {
            return Route::BadHeader;
        }
        return match first.to_str().map(str::trim) {
            Ok(name) if !name.is_empty() => Route::Model(name),
            _ => Route::BadHeader,
        };
    }
    model_in_path(path).map_or(Route::NoModel, Route::Model)
}

/// `{name}` of `/v2/models/{name}` and all below it.
fn model_in_path(path: &str) -> Option<&str> {
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

    #[test]
    fn finds_the_model_in_header_then_path() {
        use Route::*;
        let cases: &[(&[&str], &str, Route<'_>)] = &[
            (&[], "/v2/models/iris/infer", Model("iris")),
            (&[], "/v2/models/iris/versions/1/infer", Model("iris")),
            (&[], "/v2/models/iris", Model("iris")),
            (&[], "/v2/models/iris/ready", Model("iris")),
            (&["tfsimple"], "/v2/models/iris/infer", Model("tfsimple")),
            (&["tfsimple"], "/v1/anything", Model("tfsimple")),
            (&["a", "a"], "/", Model("a")),
            (&["a", "b"], "/v2/models/a/infer", BadHeader),
            (&[""], "/v2/models/a/infer", BadHeader),
            (&[], "/v2/models/", NoModel),
            (&[], "/v2/models", NoModel),
            (&[], "/v2/models//infer", NoModel),
            (&[], "/V2/models/iris/infer", NoModel),
            (&[], "/v2/models/../admin", Model("..")),
            (&[], "/", NoModel),
        ];
        for (models, path, expected) in cases {
            assert_eq!(
                route(&headers(models), path),
                *expected,
                "{models:?} {path}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_path_is_parsed_without_harm(path in ".*") {
            if let Route::Model(name) = route(&HeaderMap::new(), &path) {
                prop_assert!(!name.is_empty() && !name.contains('/'));
            }
        }
    }
}
