//! The admin endpoints, on an address of their own, by HTTP/1.1 or HTTP/2 in clear text. All are
//! read-only except those in `control`.
//!
//! They do not run as a pingora service: pingora's services stop listening when draining begins,
//! which is when operators look at these pages most.

mod authorization;
mod control;
mod keda;
mod ledgers;
mod live;
mod logs;
mod model_metrics;
mod page;
mod pages;
mod permitted;
mod replica_metrics;
mod server_info;
mod server_metrics;
mod targets;

use std::{convert::Infallible, error::Error, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tailback_config::Token;
use tailback_scaler::{
    peers::publisher::CountsPublisher, replica_logs::ReplicaLogs, run::pause::PauseHandle,
    server_status::ServerStatusStore, status::StatusStore,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tonic::{Status, body::Body};

pub use self::server_info::ServerInfo;
use self::{control::Order, keda::Keda, logs::LogRequest, permitted::Permitted};
use crate::{
    admin::model_metrics::render_models,
    downstream::Lifecycle,
    models::SharedRoutes,
    net::{HttpVersion, Transport, detect},
    protocol::error::json,
};

/// A connection that sends no complete request header within this time is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Most connections at once; further ones wait to be accepted. Each other proxy keeps one open.
const CONNECTIONS: usize = 256;
/// Most HTTP/2 streams at once on a connection. Above KEDA's limit, so that a KEDA client at that
/// limit gets an error that names it instead of waiting for a stream.
const STREAMS: u32 = keda::STREAMS as u32 + 4_096;
/// Most responses, other than KEDA's, being sent at once: each page is complete in memory before it
/// is sent. Twice what HTTP/1.1 connections can use.
const ANSWERS: usize = 2 * CONNECTIONS;
/// Most bytes of an HTTP/2 header list.
const HEADER_BYTES: u32 = 16 * 1024;
/// HTTP/2 streams reset before they were accepted, after which the connection is closed.
const RESETS: usize = 20;
/// HTTP/2 keep-alive: a ping every 30 s; the connection closes if none is answered within 10 s.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);
/// Delay after an accept error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection may finish its current response once another process has taken over.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The error for any other path.
const THERE_ARE: &str = "there are /, /metrics, /healthz, /readyz, /server_info, /models, /models/{name}, /models/{name}/logs, /servers, /targets, /decisions, /events and /ledgers, \
                         and, by POST, /models/{name}/pause and /models/{name}/resume";

/// The admin service.
pub struct Admin {
    /// The configured models and their state.
    pub routes: Arc<SharedRoutes>,
    /// Whether the proxy is draining.
    pub lifecycle: Arc<Lifecycle>,
    /// What the scaler publishes for reading.
    pub status_store: StatusStore,
    /// The state of multi-model servers.
    pub servers: ServerStatusStore,
    /// The counts that `/ledgers` sends to other proxies.
    pub publisher: CountsPublisher,
    /// Pauses and resumes models.
    pub pause: PauseHandle,
    /// The token that pausing and resuming require; `None`: refused for everyone.
    pub token: Option<Token>,
    /// What replicas printed.
    pub logs: ReplicaLogs,
    /// The recorder of process-wide metrics.
    pub recorder: PrometheusHandle,
    /// Identity and upgrade state of this process.
    pub info: Arc<ServerInfo>,
}

/// Serves connections of `listener` until `stop` is `true`, when another process has taken over the
/// address.
pub async fn serve(admin: Admin, listener: TcpListener, stop: watch::Receiver<bool>) {
    let keda = Arc::new(Keda::new(admin.routes.clone(), admin.status_store.clone()));
    tokio::select! {
        () = keda.push() => {}
        () = accept(Arc::new(admin), &keda, listener, &stop) => {}
        () = stopped(stop.clone()) => {}
    }
}

/// Returns once `stop` is `true`.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|&stop| stop).await.is_err() {
        // The sender is gone: it will never become `true`.
        std::future::pending().await
    }
}

async fn accept(
    admin: Arc<Admin>,
    keda: &Arc<Keda>,
    listener: TcpListener,
    stop: &watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let answers = Arc::new(Semaphore::new(ANSWERS));
    let listeners = Arc::new(Semaphore::new(live::LISTENERS));
    loop {
        // Fails only on a closed semaphore, and nobody closes this one.
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                // Otherwise a small update of the counts waits for the ACK of the previous one
                // (Nagle).
                let _ = stream.set_nodelay(true);
                let (admin, keda) = (admin.clone(), keda.clone());
                let semaphores = Semaphores {
                    answers: answers.clone(),
                    listeners: listeners.clone(),
                };
                let stop = stopped(stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        ended = admin.converse(stream, keda, semaphores) => if let Err(error) = ended {
                            tracing::debug!(error, "an admin connection ended with an error");
                        },
                        () = async { stop.await; sleep(LAST_WORDS).await } => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the admin address");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Limits on the responses being sent at once.
#[derive(Clone)]
struct Semaphores {
    answers: Arc<Semaphore>,
    /// For `/events`.
    listeners: Arc<Semaphore>,
}

impl Admin {
    async fn converse(
        self: Arc<Self>,
        stream: TcpStream,
        keda: Arc<Keda>,
        semaphores: Semaphores,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let caller = stream.peer_addr().ok().map(|address| address.ip());
        let detected = detect::version(Transport::clear(stream));
        let (io, version) = timeout(HEADER_TIMEOUT, detected).await??;
        let service = service_fn(|request: Request<Incoming>| {
            let (admin, keda, semaphores) = (self.clone(), keda.clone(), semaphores.clone());
            // Boxed: the future is freed when the response is ready, while its task lives on for as
            // long as the stream does.
            Box::pin(async move {
                Ok::<_, Infallible>(if is_grpc(&request) {
                    call(&keda, request).await
                } else if let Ok(permit) = semaphores.answers.try_acquire_owned() {
                    let answer = admin.answer(request, caller, semaphores.listeners).await;
                    answer.map(|body| {
                        Body::new(Permitted {
                            body,
                            _permit: permit,
                        })
                    })
                } else {
                    whole(error(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "too many requests at once",
                    ))
                })
            })
        });
        let io = TokioIo::new(io);
        match version {
            HttpVersion::Http1 => {
                http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(io, service)
                    .await?;
            }
            HttpVersion::Http2 => {
                http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .keep_alive_interval(PING)
                    .keep_alive_timeout(PONG)
                    .max_concurrent_streams(STREAMS)
                    .max_header_list_size(HEADER_BYTES)
                    .max_pending_accept_reset_streams(RESETS)
                    .serve_connection(io, service)
                    .await?;
            }
        }
        Ok(())
    }

    /// Answers a request other than gRPC.
    async fn answer(
        &self,
        request: Request<Incoming>,
        caller: Option<IpAddr>,
        listeners: Arc<Semaphore>,
    ) -> Response<Body> {
        let (method, path) = (request.method(), request.uri().path());
        if let Some(order) = Order::parse(path) {
            return whole(if method == Method::POST {
                let (token, headers) = (self.token.as_ref(), request.headers());
                order.carry_out(&self.pause, token, headers).await
            } else {
                not_allowed("POST")
            });
        }
        if let Some(asked) = LogRequest::parse(path, request.uri().query()) {
            if method != Method::GET {
                return whole(not_allowed("GET"));
            }
            let host = request.headers().get(header::HOST);
            let caller = logs::Caller {
                headers: request.headers(),
                host: match request.uri().authority() {
                    Some(authority) => Some(authority.as_str()),
                    None => host.map(|host| host.to_str().unwrap_or_default()),
                },
                address: caller,
            };
            let sources = (&*self.routes.current(), &self.logs);
            let place = listeners.try_acquire_owned().ok();
            return logs::serve(asked, &caller, self.token.as_ref(), sources, place);
        }
        if path == "/ledgers" {
            return match *method {
                Method::GET => ledgers::serve(self.publisher.subscribe()),
                _ => whole(not_allowed("GET")),
            };
        }
        if path == "/events" {
            return match (method, listeners.try_acquire_owned()) {
                (&Method::GET, Ok(place)) => live::serve(self.live_sources(), place),
                (&Method::GET, Err(_)) => whole(error(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many live pages are open",
                )),
                _ => whole(not_allowed("GET")),
            };
        }
        whole(match (self.page(path), method) {
            (None, _) => error(StatusCode::NOT_FOUND, THERE_ARE),
            (Some(page), &Method::GET | &Method::HEAD) => page,
            (Some(_), _) => not_allowed("GET, HEAD"),
        })
    }

    fn live_sources(&self) -> live::Sources {
        live::Sources {
            routes: self.routes.clone(),
            lifecycle: self.lifecycle.clone(),
            status_store: self.status_store.clone(),
            controllable: self.token.is_some(),
        }
    }

    /// The read-only page at `path`, if there is one.
    fn page(&self, path: &str) -> Option<Response<Bytes>> {
        if let Some(file) = page::file(path) {
            return Some(file);
        }
        let table = self.routes.current();
        Some(match path {
            "/metrics" => self.metrics(),
            "/server_info" => json(StatusCode::OK, &self.info.page()),
            "/healthz" => json(StatusCode::OK, &serde_json::json!({ "status": "alive" })),
            "/readyz" => pages::readiness(&self.lifecycle),
            "/models" => json(StatusCode::OK, &pages::models(&table, &self.status_store)),
            "/targets" => json(StatusCode::OK, &targets::page(&table, &self.status_store)),
            "/servers" => json(StatusCode::OK, &pages::servers(&self.servers)),
            "/decisions" => json(
                StatusCode::OK,
                &serde_json::json!({ "decisions": self.status_store.decisions() }),
            ),
            _ => {
                let name = path.strip_prefix("/models/")?;
                match pages::one(&table, &self.status_store, name) {
                    Some(model) => json(StatusCode::OK, &model),
                    None => return None,
                }
            }
        })
    }

    fn metrics(&self) -> Response<Bytes> {
        let mut text = self.recorder.render();
        let (table, servers) = (self.routes.current(), self.servers.servers());
        text.push_str(&render_models(&table, &self.status_store, &servers));
        let mut response = Response::new(Bytes::from(text));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    }
}

/// gRPC needs HTTP/2: it ends with trailers.
fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    request.version() == http::Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

async fn call(keda: &Arc<Keda>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match path.strip_prefix(keda::SERVICE) {
        Some(method) => keda.clone().call(method, request).await,
        None => Status::unimplemented(format!("there is no {path}; there is {}", keda::SERVICE))
            .into_http(),
    }
}

fn whole(response: Response<Bytes>) -> Response<Body> {
    response.map(|bytes| Body::new(Full::new(bytes)))
}

fn not_allowed(methods: &'static str) -> Response<Bytes> {
    let message = format!("the methods allowed here are: {methods}");
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &message);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    json(status, &serde_json::json!({ "error": message }))
}
