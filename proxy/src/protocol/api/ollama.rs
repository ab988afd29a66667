//! Ollama's own API.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    ApiProtocol,
    inference::REPOSITORY,
    pattern::Pattern::{Below, Is},
    route::{
        Handling::{Inference, Local as Answered, Probe as Asks, Refused},
        Local,
        Methods::{Any, Delete, Get, Post},
        ModelIn::Body,
        Probe, Route,
    },
};
use crate::{
    message::Response,
    protocol::{
        ProxyError,
        error::json,
        llm::LlmApi,
        local_reply::{ModelList, all_names, own_names, started_at},
    },
};

/// Ollama's own API.
#[derive(Debug)]
pub(super) struct Ollama;

const TAGS: Local = Local {
    what: "the models",
    is_open: false,
    answer: |request| {
        let names = all_names(request.models);
        Ok(json(StatusCode::OK, &listed(&names)).into())
    },
};
const RUNNING: Local = Local {
    what: "the models that have a replica",
    is_open: false,
    answer: |request| {
        let models: &dyn ModelList = request.models;
        let mut names = own_names(models);
        names.retain(|name| models.is_ready(name));
        Ok(json(StatusCode::OK, &listed(&names)).into())
    },
};
const VERSION: Local = Local {
    what: "the proxy's version",
    is_open: true,
    answer: |_| {
        let version = json!({ "version": env!("CARGO_PKG_VERSION") });
        Ok(json(StatusCode::OK, &version).into())
    },
};

static ROUTES: &[Route] = &[
    Route::new(Post, Is("/api/chat"), Inference(Body)).generating(LlmApi::OllamaChat),
    Route::new(Post, Is("/api/generate"), Inference(Body)).generating(LlmApi::OllamaGenerate),
    Route::new(Post, Is("/api/embed"), Inference(Body)),
    Route::new(Post, Is("/api/embeddings"), Inference(Body)),
    Route::new(Post, Is("/api/show"), Asks(Probe::Details, Body)),
    Route::new(Get, Is("/api/tags"), Answered(TAGS)),
    Route::new(Get, Is("/api/ps"), Answered(RUNNING)),
    Route::new(Get, Is("/api/version"), Answered(VERSION)),
    Route::new(Post, Is("/api/pull"), Refused(REPOSITORY)),
    Route::new(Post, Is("/api/push"), Refused(REPOSITORY)),
    Route::new(Post, Is("/api/create"), Refused(REPOSITORY)),
    Route::new(Post, Is("/api/copy"), Refused(REPOSITORY)),
    Route::new(Delete, Is("/api/delete"), Refused(REPOSITORY)),
    Route::new(Any, Below("/api/blobs"), Refused(REPOSITORY)),
];

impl ApiProtocol for Ollama {
    fn name(&self) -> &'static str {
        "Ollama"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        error.json(&json!({ "error": error.message() }))
    }
}

fn listed(names: &[&str]) -> Value {
    let entry = |name: &&str| {
        json!({
            "name": name,
            "model": name,
            "modified_at": humantime::format_rfc3339_seconds(started_at()).to_string(),
            "size": 0,
            "digest": "",
            "details": {},
        })
    };
    json!({ "models": names.iter().map(entry).collect::<Vec<_>>() })
}
