//! What names no model. The proxy answers for itself what asks about the server
//! or the list of models; everything else is refused, and nothing is forwarded:
//!
//! | | |
//! |---|---|
//! | `GET /v2` | name, version, extensions |
//! | `GET /v2/health/live` | the proxy runs |
//! | `GET /v2/health/ready` | it takes requests; those of models without replicas are held |
//! | `POST /v2/repository/index` | the models |
//! | other `/v2/repository/…` | 501: manifests say what is loaded |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the models, in OpenAI's form |
//! | gRPC `ServerLive`, `ServerReady`, `ServerMetadata` | as over REST |
//! | anything else | 404; gRPC: UNIMPLEMENTED |

use std::{
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::protocol::{
    ApiProtocol,
    error::{self, ProxyError},
    grpc,
};

/// The models that are served, as far as answers tell of them.
pub trait ModelList {
    /// The models' own names, in any order.
    fn names(&self) -> Vec<&str>;
    /// Their further names, in any order.
    fn aliases(&self) -> Vec<&str>;
    /// Whether a model has this name, its own or an alias.
    fn is_served(&self, name: &str) -> bool;
    /// Whether the model of this own name has a replica that takes requests.
    fn is_ready(&self, name: &str) -> bool;
}

/// When this process started, in seconds since 1970: since when it has its models.
static STARTED: LazyLock<u64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs())
});

/// An answer of the proxy's own, whole.
#[derive(Debug)]
pub struct LocalReply {
    /// Head and body.
    pub response: Response<Bytes>,
    /// What follows the body, in gRPC.
    pub trailers: Option<HeaderMap>,
}

impl From<Response<Bytes>> for LocalReply {
    fn from(response: Response<Bytes>) -> Self {
        Self {
            response,
            trailers: None,
        }
    }
}

/// The answer to a request that is for no model.
///
/// # Errors
/// If there is none.
pub fn answer(
    api: ApiProtocol,
    method: &Method,
    path: &str,
    models: &dyn ModelList,
) -> Result<LocalReply, ProxyError> {
    let get = *method == Method::GET || *method == Method::HEAD;
    let found = match api {
        ApiProtocol::Grpc => return of_grpc(path),
        ApiProtocol::OpenAi if get => match path.strip_prefix("/v1/models") {
            Some("" | "/") => Some(openai_models(models)),
            Some(id) => Some(openai_model(id, models)?),
            None => None,
        },
        ApiProtocol::OpenAi => None,
        ApiProtocol::Inference if get => of_server(path),
        ApiProtocol::Inference if *method == Method::POST && path == "/v2/repository/index" => {
            Some(index(models))
        }
        ApiProtocol::Inference => None,
    };
    match found {
        Some(body) => Ok(error::json(StatusCode::OK, &body).into()),
        None if path.starts_with("/v2/repository/") => Err(ProxyError::Repository),
        None => Err(ProxyError::NoModel),
    }
}

fn of_server(path: &str) -> Option<Value> {
    match path {
        "/v2/health/live" => Some(json!({ "live": true })),
        "/v2/health/ready" => Some(json!({ "ready": true })),
        "/v2" => Some(json!({
            "name": "tailback",
            "version": env!("CARGO_PKG_VERSION"),
            "extensions": [],
        })),
        _ => None,
    }
}

fn of_grpc(path: &str) -> Result<LocalReply, ProxyError> {
    match grpc::Method::of(path) {
        grpc::Method::OfServer(own) => {
            let (response, trailers) = grpc::reply(own);
            Ok(LocalReply {
                response,
                trailers: Some(trailers),
            })
        }
        _ => Err(ProxyError::NoMethod),
    }
}

/// Own names of all models, sorted.
fn names(models: &dyn ModelList) -> Vec<&str> {
    let mut names = models.names();
    names.sort_unstable();
    names
}

/// Under each name that clients may use.
fn openai_models(models: &dyn ModelList) -> Value {
    let mut all = names(models);
    all.extend(models.aliases());
    all.sort_unstable();
    let data: Vec<_> = all.into_iter().map(openai_object).collect();
    json!({ "object": "list", "data": data })
}

/// `id`: the path's rest, `/` included: all of it is the name, percent-encoded or not.
fn openai_model(id: &str, models: &dyn ModelList) -> Result<Value, ProxyError> {
    let id = id.strip_prefix('/').ok_or(ProxyError::NoModel)?;
    let name = percent_decode_str(id).decode_utf8_lossy();
    if models.is_served(&name) {
        Ok(openai_object(&name))
    } else {
        Err(ProxyError::UnknownModel(name.into_owned()))
    }
}

fn openai_object(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": *STARTED, "owned_by": "tailback" })
}

/// As Triton's model repository extension has it.
fn index(models: &dyn ModelList) -> Value {
    let entry = |name: &str| {
        let state = if models.is_ready(name) {
            "READY"
        } else {
            "UNAVAILABLE"
        };
        json!({ "name": name, "version": "1", "state": state, "reason": "" })
    };
    names(models).into_iter().map(entry).collect()
}
