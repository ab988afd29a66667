//! Answers HTTP requests, and delays inferences.
//!
//! Paths, bodies and status codes are those of the Open Inference Protocol v2. Its readiness says
//! "4xx" for not ready; 503 is what probes and proxies take for "later", so that is used here.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;

use crate::infer::Inference;
use crate::protocol::{
    JSON_LENGTH_HEADER, Live, ModelMetadata, Ready, ServerMetadata, TensorMetadata,
};
use crate::reply::{Refusal, Reply, json, not_allowed};
use crate::repository::Repository;
use crate::route::{OfModel, Route};
use crate::simple;

const MAX_BODY: usize = 1024 * 1024;
/// Of a body that is too large, this much is read and thrown away: closing on a client that is
/// still sending resets the connection, and the refusal would be lost on the way.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;

/// The state of the server, shared by all connections.
pub struct Server {
    models: Models,
    service: ServiceTime,
    /// Permits for inferences. Waiting requests get one in the order of their arrival. A request
    /// whose client disconnects leaves the queue, because hyper drops it with the connection.
    permits: Option<Semaphore>,
    ready_at: Instant,
}

/// What is served.
pub enum Models {
    /// One model of this name.
    One(String),
    /// Those that are loaded.
    Many(Repository),
}

/// How long an inference takes: `mean`, give or take the fraction `jitter` of it.
pub struct ServiceTime {
    pub mean: Duration,
    pub jitter: f64,
}

// === impl Server ===

impl Server {
    /// A server that starts up now.
    pub fn new(
        models: Models,
        service: ServiceTime,
        concurrency: Option<u32>,
        start_up: Duration,
    ) -> Self {
        let permits = concurrency.map(|limit| Semaphore::new(limit as usize));
        Server {
            models,
            service,
            permits,
            ready_at: Instant::now() + start_up,
        }
    }

    /// Answers any request.
    pub async fn handle(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let Some(route) = Route::of(&path) else {
            return Refusal(StatusCode::NOT_FOUND, format!("no such path: {path}")).reply();
        };
        let allowed: &[Method] = match route {
            Route::Model(_, _, OfModel::Infer)
            | Route::Index
            | Route::Load(_)
            | Route::Unload(_) => &[Method::POST],
            _ => &[Method::GET, Method::HEAD],
        };
        if !allowed.contains(request.method()) {
            return not_allowed(request.method(), allowed);
        }
        self.answer(route, request)
            .await
            .unwrap_or_else(Refusal::reply)
    }

    async fn answer(&self, route: Route<'_>, request: Request<Incoming>) -> Result<Reply, Refusal> {
        match route {
            Route::Live => Ok(json(StatusCode::OK, &Live { live: true })),
            Route::Ready => Ok(self.readiness(None)),
            Route::Server => Ok(json(
                StatusCode::OK,
                &ServerMetadata {
                    name: "sample-server",
                    version: env!("CARGO_PKG_VERSION"),
                    extensions: match self.models {
                        Models::One(_) => &["binary_tensor_data"],
                        Models::Many(_) => &["binary_tensor_data", "model_repository"],
                    },
                },
            )),
            Route::Index => Ok(self.repository()?.index()),
            Route::Load(name) => {
                let name = percent_decode_str(name).decode_utf8_lossy();
                self.repository()?.load(&name).await
            }
            Route::Unload(name) => {
                let name = percent_decode_str(name).decode_utf8_lossy();
                self.repository()?.unload(&name)
            }
            Route::Model(name, version, what) => {
                let name = percent_decode_str(name).decode_utf8_lossy();
                self.check_model(&name, version)?;
                match what {
                    OfModel::Metadata => Ok(self.metadata(&name)),
                    OfModel::Ready => Ok(self.readiness(Some(&name))),
                    OfModel::Infer => self.infer(&name, request).await,
                }
            }
        }
    }

    fn repository(&self) -> Result<&Repository, Refusal> {
        match &self.models {
            Models::Many(repository) => Ok(repository),
            Models::One(_) => Err(Refusal(
                StatusCode::NOT_FOUND,
                "this server has one model; start it with --multi-model to load others".to_owned(),
            )),
        }
    }

    fn is_ready(&self) -> bool {
        Instant::now() >= self.ready_at
    }

    fn readiness(&self, name: Option<&str>) -> Reply {
        let ready = self.is_ready();
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json(status, &Ready { name, ready })
    }

    fn check_model(&self, name: &str, version: Option<&str>) -> Result<(), Refusal> {
        let missing = |what| Err(Refusal(StatusCode::NOT_FOUND, what));
        match &self.models {
            Models::One(model) if name != model => {
                let name = simple::shorten(name);
                return missing(format!("no model {name} here, expected {model}"));
            }
            Models::Many(repository) if !repository.is_loaded(name) => {
                let name = simple::shorten(name);
                return missing(format!("model {name} is not loaded"));
            }
            Models::One(_) | Models::Many(_) => {}
        }
        match version {
            Some(version) if version != simple::VERSION => missing(format!(
                "no version {} of model {name}, expected {}",
                simple::shorten(version),
                simple::VERSION,
            )),
            _ => Ok(()),
        }
    }

    fn metadata(&self, name: &str) -> Reply {
        let tensor = |name| TensorMetadata {
            name,
            datatype: simple::DATATYPE,
            shape: simple::SHAPE,
        };
        let metadata = ModelMetadata {
            name,
            versions: [simple::VERSION],
            platform: "tailback_sample",
            inputs: simple::INPUTS.map(tensor),
            outputs: simple::OUTPUTS.map(tensor),
        };
        json(StatusCode::OK, &metadata)
    }

    async fn infer(&self, model: &str, request: Request<Incoming>) -> Result<Reply, Refusal> {
        let (head, body) = request.into_parts();
        let body = read(body).await?;
        if !self.is_ready() {
            let message = format!("model {model} is still loading");
            return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        if let Some(encoding) = head.headers.get(CONTENT_ENCODING) {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            let encoding = simple::shorten(&encoding);
            let message = format!("the body is encoded as {encoding}, expected no encoding");
            return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let json_length = head
            .headers
            .get(JSON_LENGTH_HEADER)
            .map(HeaderValue::as_bytes);
        let inference = Inference::read(&body, json_length)
            .map_err(|message| Refusal(StatusCode::BAD_REQUEST, message))?;

        // The semaphore is never closed, so that a place is always got in the end.
        let _permit = match &self.permits {
            Some(permits) => permits.acquire().await.ok(),
            None => None,
        };
        self.service.pass().await;
        let answer = inference.answer(model).map_err(|error| {
            Refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot write the answer: {error}"),
            )
        })?;

        let mut reply = Response::new(Full::from(answer.body));
        let headers = reply.headers_mut();
        let content_type = match answer.json_length {
            None => "application/json",
            Some(length) => {
                headers.insert(JSON_LENGTH_HEADER, HeaderValue::from(length));
                "application/octet-stream"
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Ok(reply)
    }
}

// === impl ServiceTime ===

impl ServiceTime {
    async fn pass(&self) {
        if self.mean.is_zero() {
            return;
        }
        // The standard library's hash keys are random and new each time: as good a die as any
        // for spreading a delay, and no dependency.
        let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
        let factor = 1.0 + self.jitter * (2.0 * random - 1.0);
        tokio::time::sleep(self.mean.mul_f64(factor.max(0.0))).await;
    }
}

/// The whole body, unless it is too large.
async fn read(mut body: Incoming) -> Result<Bytes, Refusal> {
    let mut kept = BytesMut::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal(
                StatusCode::BAD_REQUEST,
                format!("the body ended early: {error}"),
            )
        })?;
        // Frames that are not data are trailers, which say nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length <= MAX_BODY {
            kept.extend_from_slice(&data);
        } else if length > MAX_DISCARDED {
            break;
        }
    }
    if length > MAX_BODY {
        let message = format!("the body is too large, expected at most {MAX_BODY} bytes");
        return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(kept.freeze())
}
