//! The repository API over HTTP:
//!
//! - `POST /v2/repository/index` lists the models with their states.
//! - `POST /v2/repository/models/{name}/load` returns when the model is loaded, with a message if
//!   it cannot be.
//! - `POST /v2/repository/models/{name}/unload` may return before the memory is free.

use std::time::Duration;

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use tailback_config::path_segment;
use tokio::time::timeout;

use super::{CallError, IndexEntry, LARGEST, NOT_READY, SHORT};
use crate::{
    orchestrator::http1_connection::{connect, no_response},
    replica::Address,
};

/// Bytes of a response that an error message shows.
const SHOWN: usize = 500;
/// Loads `model` into the server at `address`, and makes sure that it takes requests.
pub(super) async fn load(
    address: Address<'_>,
    model: &str,
    limit: Duration,
) -> Result<(), CallError> {
    let path = format!("/v2/repository/models/{}/load", path_segment(model));
    let (status, body) = call(address, Method::POST, &path, "{}", limit).await?;
    judge("load", status, &body)?;
    let path = format!("/v2/models/{}/ready", path_segment(model));
    let (status, _) = call(address, Method::GET, &path, "", SHORT).await?;
    if status.is_success() {
        return Ok(());
    }
    Err(CallError::Failed(format!("{NOT_READY} ({status})")))
}

/// Unloads `model` from the server at `address`. A model that is not loaded counts as unloaded.
pub(super) async fn unload(
    address: Address<'_>,
    model: &str,
    limit: Duration,
) -> Result<(), CallError> {
    let path = format!("/v2/repository/models/{}/unload", path_segment(model));
    let (status, body) = call(address, Method::POST, &path, "{}", limit).await?;
    if status == StatusCode::NOT_FOUND {
        return Ok(());
    }
    judge("unload", status, &body)
}

/// The models that the server at `address` lists.
pub(super) async fn index(address: Address<'_>) -> Result<Vec<IndexEntry>, CallError> {
    let path = "/v2/repository/index";
    let (status, body) = call(address, Method::POST, path, "{}", SHORT).await?;
    judge("index", status, &body)?;
    serde_json::from_slice(&body).map_err(|error| {
        CallError::Failed(format!(
            "the index is no list of models: {error}: {}",
            shown(&body)
        ))
    })
}

/// One request on a connection of its own.
async fn call(
    address: Address<'_>,
    method: Method,
    path: &str,
    body: &'static str,
    limit: Duration,
) -> Result<(StatusCode, Bytes), CallError> {
    let answer = async {
        let mut sender = connect(address.authority).await?;
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(HOST, address.name)
            .header(USER_AGENT, "tailback")
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, body.len())
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .map_err(|error| format!("cannot be sent: {error}"))?;
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(no_response)?
            .into_parts();
        let body = Limited::new(body, LARGEST).collect().await;
        let body = body.map_err(|error| format!("the response broke off: {error}"))?;
        Ok((head.status, body.to_bytes()))
    };
    let why = match timeout(limit, answer).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(why)) => why,
        Err(_) => format!("no response within {} s", limit.as_secs_f64()),
    };
    Err(CallError::Failed(format!("{method} {path}: {why}")))
}

/// An answer other than 2xx is a refusal, with the server's own message.
fn judge(what: &str, status: StatusCode, body: &[u8]) -> Result<(), CallError> {
    if status.is_success() {
        return Ok(());
    }
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }
    let message = match serde_json::from_slice::<Answer>(body) {
        Ok(answer) => answer.error,
        Err(_) => shown(body),
    };
    let message = match message.is_empty() {
        true => format!("{what} answered {status}"),
        false => format!("{what} answered {status}: {message}"),
    };
    // 4xx and 500 mean that the server cannot do it; others, that it cannot do it at present.
    match status.is_client_error() || status == StatusCode::INTERNAL_SERVER_ERROR {
        true => Err(CallError::Refused(message)),
        false => Err(CallError::Failed(message)),
    }
}

/// The beginning of a body, on one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
