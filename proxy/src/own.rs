//! Paths of the Open Inference Protocol that are not a model's: the proxy
//! answers them for itself. Everything else without a model is a 404.

use bytes::Bytes;
use http::{Method, Response, StatusCode};

use crate::answer::json;

/// The proxy's own answer to `GET path`, if it has one.
///
/// `/v2/health/live`: the proxy runs. `/v2/health/ready`: it takes requests; a
/// model without replicas has them held, so this does not wait for any model.
#[must_use]
pub fn answer(method: &Method, path: &str) -> Option<Response<Bytes>> {
    if *method != Method::GET && *method != Method::HEAD {
        return None;
    }
    match path {
        "/v2/health/live" => Some(json(StatusCode::OK, &serde_json::json!({ "live": true }))),
        "/v2/health/ready" => Some(json(StatusCode::OK, &serde_json::json!({ "ready": true }))),
        "/v2" => Some(json(
            StatusCode::OK,
            &serde_json::json!({
                "name": "tailback",
                "version": env!("CARGO_PKG_VERSION"),
                "extensions": [],
            }),
        )),
        _ => None,
    }
}
