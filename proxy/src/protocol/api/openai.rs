//! OpenAI's API, at `/v1/…` and, as on KServe's servers, at `/openai/v1/…`.

use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{
    ApiProtocol,
    inference::REPOSITORY,
    pattern::Pattern::{Below, Is, Model},
    route::{
        Handling::{Inference, Models, Refused},
        Local, LocalRequest,
        Methods::{Any, Delete, Get, Post},
        ModelIn::{Body, Nowhere, Query, Response as Stored},
        Route,
    },
};
use crate::{
    message::Response,
    protocol::{
        ProxyError,
        error::json,
        llm::LlmApi,
        local_reply::{LocalReply, ModelList, all_names, started_at},
    },
};

/// OpenAI's API.
#[derive(Debug)]
pub(super) struct OpenAi;

const RESPONSES: &str = "it is not known which replica keeps this response: its answer did not \
     pass through this process, or long ago. Name the model in the header seldon-model, and give it \
     one replica";
const KEPT: &str = "one replica keeps what is asked for, and the path does not say which one: \
     name the model in the header seldon-model, and give it one replica";

const MODELS: Local = Local {
    what: "the models",
    is_open: false,
    answer: |request| {
        let models = request.models;
        let object = |name| object(models, name);
        let data: Vec<_> = all_names(models).into_iter().map(object).collect();
        let list = json!({ "object": "list", "data": data });
        Ok(json(StatusCode::OK, &list).into())
    },
};
const ONE_MODEL: Local = Local {
    what: "that model",
    is_open: false,
    answer: one_model,
};

static ROUTES: &[Route] = &[
    Route::new(Post, Is("/v1/chat/completions"), Inference(Body))
        .generating(LlmApi::ChatCompletions),
    Route::new(Post, Is("/v1/completions"), Inference(Body)).generating(LlmApi::Completions),
    Route::new(Post, Is("/v1/embeddings"), Inference(Body)),
    Route::new(Post, Is("/v1/responses"), Inference(Body))
        .making_responses()
        .generating(LlmApi::Responses),
    // Over WebSocket, whose messages contain the request.
    Route::new(Get, Is("/v1/responses"), Inference(Query)),
    Route::new(Post, Is("/v1/responses/compact"), Inference(Body)).making_responses(),
    Route::new(Post, Is("/v1/responses/input_tokens"), Inference(Body)).making_responses(),
    Route::new(Any, Below("/v1/responses"), Inference(Stored(RESPONSES))),
    Route::new(Post, Is("/v1/audio/transcriptions"), Inference(Body)),
    Route::new(Post, Is("/v1/audio/translations"), Inference(Body)),
    Route::new(Post, Is("/v1/audio/speech"), Inference(Body)),
    Route::new(Post, Is("/v1/images/generations"), Inference(Body)),
    Route::new(Post, Is("/v1/images/edits"), Inference(Body)),
    Route::new(Post, Is("/v1/images/variations"), Inference(Body)),
    Route::new(Post, Is("/v1/moderations"), Inference(Body)),
    Route::new(Get, Is("/v1/realtime"), Inference(Query)),
    Route::new(Get, Is("/v1/models"), Models(MODELS)),
    Route::new(Get, Is("/v1/models/"), Models(MODELS)),
    Route::new(Get, Model("/v1/models/"), Models(ONE_MODEL)),
    Route::new(Delete, Model("/v1/models/"), Refused(REPOSITORY)),
    Route::new(Any, Below("/v1/files"), Inference(Nowhere(KEPT))),
    Route::new(Any, Below("/v1/uploads"), Inference(Nowhere(KEPT))),
    Route::new(Any, Below("/v1/batches"), Inference(Nowhere(KEPT))),
    Route::new(Any, Below("/v1/fine_tuning"), Inference(Nowhere(KEPT))),
    Route::new(Any, Below("/v1/assistants"), Inference(Nowhere(KEPT))),
    Route::new(Any, Below("/v1/threads"), Inference(Nowhere(KEPT))),
    Route::new(Any, Below("/v1/conversations"), Inference(Nowhere(KEPT))),
    Route::new(Any, Below("/v1/vector_stores"), Inference(Nowhere(KEPT))),
    // Everything else.
    Route::new(Post, Below("/v1"), Inference(Body)),
];

impl ApiProtocol for OpenAi {
    fn name(&self) -> &'static str {
        "OpenAI"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        openai_error(error)
    }
}

/// An error in the form of OpenAI's API reference; its clients read `code` and `type`.
pub(super) fn openai_error(error: &ProxyError) -> Response<Bytes> {
    let status = error.status();
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        _ if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    };
    let (param, code) = match error {
        ProxyError::UnknownModel(_) => (Value::from("model"), Value::from("model_not_found")),
        ProxyError::Unnamed(_) => (Value::from("model"), Value::Null),
        ProxyError::NoApiKey | ProxyError::WrongApiKey | ProxyError::ExpiredApiKey => {
            (Value::Null, Value::from("invalid_api_key"))
        }
        _ if status == StatusCode::TOO_MANY_REQUESTS => {
            (Value::Null, Value::from("rate_limit_exceeded"))
        }
        _ => (Value::Null, Value::Null),
    };
    let message = error.message();
    error.json(&json!({
        "error": { "message": message, "type": kind, "param": param, "code": code },
    }))
}

/// The entry of one model. The whole rest of the path is its name, percent-encoded or not.
fn one_model(request: &LocalRequest<'_>) -> Result<LocalReply, ProxyError> {
    let name = percent_decode_str(request.name).decode_utf8_lossy();
    match request.models.is_served(&name) {
        true => Ok(json(StatusCode::OK, &object(request.models, &name)).into()),
        false => Err(ProxyError::UnknownModel(name.into_owned())),
    }
}

/// In vLLM's form, including what the model's replicas report about it. `created` is the start of
/// the proxy, because servers report the time of the request.
fn object(models: &dyn ModelList, name: &str) -> Value {
    let since = started_at().duration_since(UNIX_EPOCH);
    let created = since.map_or(0, |since| since.as_secs());
    let card = models.card(name);
    let owned_by = card.owned_by.unwrap_or_else(|| "tailback".to_owned());
    let mut object = json!({
        "id": name, "object": "model", "created": created, "owned_by": owned_by,
    });
    if let Some(length) = card.max_model_len {
        object["max_model_len"] = length.into();
    }
    object
}
