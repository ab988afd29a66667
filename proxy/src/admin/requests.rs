//! `GET /models/{name}/requests`: the model's requests in flight, and how one is cancelled.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{Admin, error};

/// Most requests that are listed.
const MOST: usize = 500;

/// The model in `path`; `None`: it is another path.
pub(super) fn model_in(path: &str) -> Option<Cow<'_, str>> {
    let name = path.strip_prefix("/models/")?.strip_suffix("/requests")?;
    // Names are percent-encoded in paths; a `/` may be left as it is.
    percent_decode_str(name).decode_utf8().ok()
}

/// The requests of the model with this name or alias, oldest first.
pub(super) async fn page(admin: &Admin, name: &str) -> Response<Bytes> {
    let Some(model) = own_name(admin, name) else {
        return no_model(name);
    };
    let list = admin.live.list(&model, MOST).await;
    let page = json!({ "model": model, "total": list.total, "requests": list.requests });
    super::json(StatusCode::OK, &page)
}

/// Cancels the request with this id.
pub(super) async fn cancel(admin: &Admin, name: &str, id: &str) -> Response<Bytes> {
    let Some(model) = own_name(admin, name) else {
        return no_model(name);
    };
    if admin.live.cancel(&model, id).await {
        let answer = json!({ "model": model, "request": id, "cancelled": true });
        return super::json(StatusCode::OK, &answer);
    }
    let message = format!("{model:?} has no request {id:?} in flight; it may have ended");
    error(StatusCode::NOT_FOUND, &message)
}

fn own_name(admin: &Admin, name: &str) -> Option<String> {
    let table = admin.routes.current();
    Some(table.model(name)?.name().to_owned())
}

fn no_model(name: &str) -> Response<Bytes> {
    let message = format!("there is no model {name:?}; /models lists them");
    error(StatusCode::NOT_FOUND, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_requests_are_taken() {
        for (path, model) in [
            ("/models/m/requests", Some("m")),
            ("/models/a/b/requests", Some("a/b")),
            ("/models/a%2Fb/requests", Some("a/b")),
            ("/models/m/requests/1-2", None),
            ("/models/%FF/requests", None),
            ("/requests", None),
        ] {
            assert_eq!(model_in(path).as_deref(), model, "{path}");
        }
    }
}
