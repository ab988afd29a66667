//! The Open Inference Protocol v2 over REST with Triton's extensions, and all HTTP requests that
//! belong to no other API.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    ApiProtocol,
    pattern::Pattern::{Below, BelowModel, Between, Is, Model},
    route::{
        Handling::{Inference as Infer, Local as Answered, Passthrough, Probe as Asks, Refused},
        Local,
        Methods::{Any, Get, Post},
        ModelIn::{Nowhere, Path},
        Probe, Route,
    },
};
use crate::{
    message::Response,
    protocol::{
        ProxyError,
        error::json,
        llm::LlmApi,
        local_reply::{LocalReply, ModelList, own_names},
    },
};

/// The Open Inference Protocol over REST, and requests of no known API.
#[derive(Debug)]
pub struct Inference;

/// Only the operator loads and unloads models, in all APIs.
pub(super) const REPOSITORY: &str =
    "models are loaded and unloaded by the manifests, not by requests";
const ALL_STATISTICS: &str = "each replica has statistics of its own: ask for one model's, at \
     /v2/models/{name}/stats, or see /metrics on the admin address";
const MEMORY: &str = "shared memory is registered with one replica, and the path does not say \
     with which: name the model in the header seldon-model, and give it one replica";
pub(super) const SETTINGS: &str = "callers cannot change a replica's settings";

pub(super) const INDEX_HAS: &str = "the models, and whether they have a replica";

const LIVE: Local = Local {
    what: "the proxy runs",
    is_open: true,
    answer: |_| Ok(json(StatusCode::OK, &json!({ "live": true })).into()),
};
const READY: Local = Local {
    what: "the proxy takes requests",
    is_open: true,
    answer: |_| Ok(json(StatusCode::OK, &json!({ "ready": true })).into()),
};
const SERVER: Local = Local {
    what: "the proxy's name and version",
    is_open: true,
    answer: |_| {
        let server = json!({
            "name": "tailback",
            "version": env!("CARGO_PKG_VERSION"),
            "extensions": [],
        });
        Ok(json(StatusCode::OK, &server).into())
    },
};
const INDEX: Local = Local {
    what: INDEX_HAS,
    is_open: false,
    answer: |request| Ok(json(StatusCode::OK, &index(request.models)).into()),
};

static ROUTES: &[Route] = &[
    Route::new(Post, Between("/v2/models/", "/infer"), Infer(Path)),
    Route::new(Post, Between("/v2/models/", "/generate"), Infer(Path))
        .generating(LlmApi::TritonGenerate),
    Route::new(
        Post,
        Between("/v2/models/", "/generate_stream"),
        Infer(Path),
    )
    .generating(LlmApi::TritonGenerate),
    Route::new(
        Get,
        Between("/v2/models/", "/ready"),
        Asks(Probe::Readiness(readiness), Path),
    ),
    Route::new(Get, Model("/v2/models/"), Asks(Probe::Details, Path)),
    Route::new(
        Get,
        Between("/v2/models/", "/config"),
        Asks(Probe::Details, Path),
    ),
    Route::new(
        Get,
        Between("/v2/models/", "/stats"),
        Asks(Probe::Details, Path),
    ),
    Route::new(Any, BelowModel("/v2/models/"), Infer(Path)),
    Route::new(
        Get,
        Is("/v2/models/stats"),
        Asks(Probe::Details, Nowhere(ALL_STATISTICS)),
    ),
    Route::new(Get, Is("/v2"), Answered(SERVER)),
    Route::new(Get, Is("/v2/"), Answered(SERVER)),
    Route::new(Get, Is("/v2/health/live"), Answered(LIVE)),
    Route::new(Get, Is("/v2/health/ready"), Answered(READY)),
    Route::new(Post, Is("/v2/repository/index"), Answered(INDEX)),
    Route::new(Any, Below("/v2/repository"), Refused(REPOSITORY)),
    Route::new(Any, Below("/v2/systemsharedmemory"), Infer(Nowhere(MEMORY))),
    Route::new(Any, Below("/v2/cudasharedmemory"), Infer(Nowhere(MEMORY))),
    Route::new(Post, Is("/v2/logging"), Refused(SETTINGS)),
    Route::new(Post, Is("/v2/trace/setting"), Refused(SETTINGS)),
    Route::new(
        Post,
        Between("/v2/models/", "/trace/setting"),
        Refused(SETTINGS),
    ),
    // Health paths of load balancers, which vLLM, SGLang and llama.cpp answer, too.
    Route::new(Get, Is("/"), Answered(SERVER)),
    Route::new(Get, Is("/health"), Answered(LIVE)),
    Route::new(Get, Is("/healthz"), Answered(LIVE)),
    Route::new(Get, Is("/ping"), Answered(LIVE)),
    Route::new(Any, BelowModel("/upstream/"), Passthrough),
];

impl ApiProtocol for Inference {
    fn name(&self) -> &'static str {
        "Open Inference Protocol"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        error.json(&json!({ "error": error.message() }))
    }
}

/// `GET …/ready`: clients of Triton and MLServer read its status.
fn readiness(ready: bool) -> LocalReply {
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &json!({ "ready": ready })).into()
}

/// The repository index of Triton's model repository extension.
fn index(models: &dyn ModelList) -> Value {
    let names = own_names(models).into_iter();
    let entry = |name| {
        let state = state(models, name);
        json!({ "name": name, "version": "1", "state": state, "reason": "" })
    };
    names.map(entry).collect()
}

/// The state of the model with this name, in the terms of that extension.
pub(super) fn state(models: &dyn ModelList, name: &str) -> &'static str {
    match models.is_ready(name) {
        true => "READY",
        false => "UNAVAILABLE",
    }
}
