//! The APIs of Hugging Face's servers: Text Generation Inference, and Text Embeddings Inference.
//! SGLang has `/generate` as well. These servers serve one model each, so most bodies name none.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::{
    ApiProtocol,
    pattern::Pattern::Is,
    route::{
        Handling::Inference,
        Handling::Probe as Asks,
        Methods::{Get, Post},
        ModelIn::{Body, Nowhere},
        Probe, Route,
    },
};
use crate::{
    message::Response,
    protocol::{ProxyError, llm::LlmApi},
};

/// Hugging Face's servers.
#[derive(Debug)]
pub(super) struct Tgi;

const INFO: &str = "the path does not say which model is meant: name it in the header \
     seldon-model";

static ROUTES: &[Route] = &[
    Route::new(Post, Is("/generate"), Inference(Body)).generating(LlmApi::TgiGenerate),
    Route::new(Post, Is("/generate_stream"), Inference(Body)).generating(LlmApi::TgiGenerate),
    Route::new(Post, Is("/"), Inference(Body)),
    Route::new(Post, Is("/embed"), Inference(Body)),
    Route::new(Post, Is("/embed_all"), Inference(Body)),
    Route::new(Post, Is("/embed_sparse"), Inference(Body)),
    Route::new(Post, Is("/predict"), Inference(Body)),
    Route::new(Post, Is("/similarity"), Inference(Body)),
    Route::new(Post, Is("/decode"), Inference(Body)),
    Route::new(Get, Is("/info"), Asks(Probe::Details, Nowhere(INFO))),
];

impl ApiProtocol for Tgi {
    fn name(&self) -> &'static str {
        "Text Generation Inference"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        let kind = match error.status() {
            StatusCode::TOO_MANY_REQUESTS => "overloaded",
            status if status.is_client_error() => "validation",
            _ => "generation",
        };
        error.json(&json!({ "error": error.message(), "error_type": kind }))
    }
}
