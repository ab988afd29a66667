//! Anthropic's Messages API, as vLLM, llama.cpp, Ollama and SGLang serve it.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    ApiProtocol,
    pattern::Pattern::{Below, Is},
    route::{
        Handling::{Inference, Local as Answered},
        Local,
        Methods::{Any, Get, Post},
        ModelIn::{Body, Nowhere},
        Route,
    },
};
use crate::{
    message::Response,
    protocol::{
        ProxyError,
        error::json,
        llm::LlmApi,
        local_reply::{ModelList, all_names, started_at},
    },
};

/// Anthropic's Messages API.
#[derive(Debug)]
pub(super) struct Anthropic;

/// All of Anthropic's clients send this header.
const VERSION: &str = "anthropic-version";

const BATCHES: &str = "batches are kept by one replica, and the path does not say by which: name \
     the model in the header seldon-model, and give it one replica";

const MODELS: Local = Local {
    what: "the models",
    is_open: false,
    answer: |request| Ok(json(StatusCode::OK, &models(request.models)).into()),
};

static ROUTES: &[Route] = &[
    Route::new(Post, Is("/v1/messages"), Inference(Body)).generating(LlmApi::Messages),
    Route::new(Post, Is("/v1/messages/count_tokens"), Inference(Body)),
    Route::new(
        Any,
        Below("/v1/messages/batches"),
        Inference(Nowhere(BATCHES)),
    ),
    Route::new(Get, Is("/v1/models"), Answered(MODELS)).with_header(VERSION),
];

impl ApiProtocol for Anthropic {
    fn name(&self) -> &'static str {
        "Anthropic"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        let kind = match error.status() {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::NOT_FOUND => "not_found_error",
            StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            StatusCode::GATEWAY_TIMEOUT => "timeout_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "api_error",
        };
        error.json(&json!({
            "type": "error",
            "error": { "type": kind, "message": error.message() },
        }))
    }
}

fn models(models: &dyn ModelList) -> Value {
    let names = all_names(models);
    let entry = |name: &&str| {
        json!({
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": humantime::format_rfc3339_seconds(started_at()).to_string(),
        })
    };
    json!({
        "data": names.iter().map(entry).collect::<Vec<_>>(),
        "has_more": false,
        "first_id": names.first(),
        "last_id": names.last(),
    })
}
