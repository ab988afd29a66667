//! gRPC: the service of the Open Inference Protocol (open-inference-protocol,
//! `specification/protocol/open_inference_grpc.proto`, and Triton's `grpc_service.proto`, which has
//! more methods), and all other services.

use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_TYPE};
use serde_json::json;

use super::{
    ApiProtocol,
    inference::{INDEX_HAS, REPOSITORY, SETTINGS, state},
    pattern::Pattern::{Below, Is},
    route::{
        Handling::{Inference, Local as Answered, Probe as Asks, Refused, Service},
        Local,
        Methods::Any,
        ModelIn::Message,
        Probe, Route,
        Service::{Health, Reflection, ReflectionAlpha},
    },
};
use crate::{
    message::Response,
    protocol::{
        ProxyError, grpc,
        local_reply::{LocalReply, ModelList, own_names},
    },
    status::{MethodType, write_status},
};

/// gRPC of any service.
#[derive(Debug)]
pub(super) struct Grpc;

const LIVE: Local = Local {
    what: "the proxy runs",
    is_open: true,
    answer: |_| Ok(grpc::live()),
};
const READY: Local = Local {
    what: "the proxy takes requests",
    is_open: true,
    answer: |_| Ok(grpc::ready(true)),
};
const SERVER: Local = Local {
    what: "the proxy's name and version",
    is_open: true,
    answer: |_| Ok(grpc::server_metadata()),
};
const INDEX: Local = Local {
    what: INDEX_HAS,
    is_open: false,
    answer: |request| Ok(index(request.models)),
};
/// The number of the field `model_name` or `name`, which is the first in all these messages.
const NAME: u32 = 1;

macro_rules! oip {
    ($method:literal) => {
        Is(concat!("/inference.GRPCInferenceService/", $method))
    };
}

static ROUTES: &[Route] = &[
    Route::new(Any, oip!("ModelInfer"), Inference(Message(NAME))),
    Route::new(Any, oip!("ModelStreamInfer"), Inference(Message(NAME))),
    Route::new(
        Any,
        oip!("ModelReady"),
        Asks(Probe::Readiness(grpc::ready), Message(NAME)),
    ),
    Route::new(
        Any,
        oip!("ModelMetadata"),
        Asks(Probe::Details, Message(NAME)),
    ),
    Route::new(
        Any,
        oip!("ModelConfig"),
        Asks(Probe::Details, Message(NAME)),
    ),
    Route::new(
        Any,
        oip!("ModelStatistics"),
        Asks(Probe::Details, Message(NAME)),
    ),
    Route::new(Any, oip!("RepositoryIndex"), Answered(INDEX)),
    Route::new(Any, oip!("RepositoryModelLoad"), Refused(REPOSITORY)),
    Route::new(Any, oip!("RepositoryModelUnload"), Refused(REPOSITORY)),
    // MLServer's own service.
    Route::new(
        Any,
        Below("/inference.model_repository.ModelRepositoryService"),
        Refused(REPOSITORY),
    ),
    Route::new(Any, oip!("TraceSetting"), Refused(SETTINGS)),
    Route::new(Any, oip!("LogSettings"), Refused(SETTINGS)),
    Route::new(Any, oip!("ServerLive"), Answered(LIVE)),
    Route::new(Any, oip!("ServerReady"), Answered(READY)),
    Route::new(Any, oip!("ServerMetadata"), Answered(SERVER)),
    Route::new(Any, Is("/grpc.health.v1.Health/Check"), Service(Health)),
    Route::new(Any, Is("/grpc.health.v1.Health/Watch"), Service(Health)),
    Route::new(
        Any,
        Is("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
        Service(Reflection),
    ),
    Route::new(
        Any,
        Is("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
        Service(ReflectionAlpha),
    ),
];

impl ApiProtocol for Grpc {
    fn name(&self) -> &'static str {
        "gRPC"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn method_type(&self) -> MethodType {
        MethodType::Grpc
    }

    /// A gRPC status in the header of a response without a body.
    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        if *error == ProxyError::GrpcNeedsHttp2 {
            return error.json(&json!({ "error": error.message() }));
        }
        let mut response = Response::new(Bytes::new());
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        write_status(fields, error.code(), &error.message());
        response
    }
}

fn index(models: &dyn ModelList) -> LocalReply {
    let entry = |name: &str| grpc::ModelIndex {
        name: name.into(),
        version: "1".into(),
        state: state(models, name).into(),
        reason: String::new(),
    };
    grpc::repository_index(own_names(models).into_iter().map(entry).collect())
}
