//! The admin endpoints, on an address of their own: what the proxy knows, to be
//! read. Only what is in [`control`] changes state.
//!
//! They are not among pingora's services, which stop listening as soon as the
//! drain begins: that is when they are looked at most.

mod control;
mod ledgers;
mod pages;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tailback_config::Token;
use tailback_scaler::{board::Board, peers::herald::Herald, run::switch::Switch};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use self::control::Order;
use crate::{answer::json, downstream::DataPlane, metrics::render_models};

/// A scraper that says nothing for this long is disconnected.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at once; further ones wait to be accepted. Each other proxy keeps one.
const CONNECTIONS: usize = 256;
/// After an error in accepting, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The admin service.
pub struct Admin {
    /// What is served.
    pub plane: Arc<DataPlane>,
    /// What the scaler shows.
    pub board: Board,
    /// What it tells other proxies.
    pub herald: Herald,
    /// Pauses and resumes models,
    pub switch: Switch,
    /// for who has this.
    pub token: Option<Token>,
    /// What was recorded.
    pub recorder: PrometheusHandle,
}

/// Answers those who connect to `listener`, as long as it is polled.
pub async fn serve(admin: Admin, listener: TcpListener) {
    let (admin, room) = (Arc::new(admin), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        // The semaphore is never closed.
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                // A line that wakes the leader must not wait for the last one's ACK.
                let _ = stream.set_nodelay(true);
                let admin = admin.clone();
                tokio::spawn(async move {
                    admin.converse(stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin address takes no connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Admin {
    async fn converse(&self, stream: TcpStream) {
        let service = service_fn(|request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.answer(&request).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "admin connection");
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let (method, path) = (request.method(), request.uri().path());
        if let Some(order) = Order::parse(path) {
            return whole(if method == Method::POST {
                let (token, headers) = (self.token.as_ref(), request.headers());
                order.carry_out(&self.switch, token, headers).await
            } else {
                not_allowed("POST")
            });
        }
        match (method, path) {
            (&Method::GET, "/ledgers") => ledgers::lines(self.herald.lines()),
            (&Method::GET | &Method::HEAD, _) => whole(self.page(path)),
            _ => whole(not_allowed("GET, HEAD")),
        }
    }

    fn page(&self, path: &str) -> Response<Bytes> {
        let table = self.plane.tables.current();
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => json(StatusCode::OK, &serde_json::json!({ "status": "alive" })),
            "/readyz" => pages::readiness(&self.plane),
            "/models" => json(StatusCode::OK, &pages::models(&table, &self.board)),
            "/decisions" => json(
                StatusCode::OK,
                &serde_json::json!({ "decisions": self.board.decisions() }),
            ),
            _ => error(
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz, /readyz, /models, /decisions and /ledgers",
            ),
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        let mut text = self.recorder.render();
        text.push_str(&render_models(&self.plane.tables.current(), &self.board));
        let mut response = Response::new(Bytes::from(text));
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    }
}

/// An answer, or lines of it as they come.
type Body = UnsyncBoxBody<Bytes, Infallible>;

fn whole(response: Response<Bytes>) -> Response<Body> {
    response.map(|bytes| Full::new(bytes).boxed_unsync())
}

fn not_allowed(methods: &'static str) -> Response<Bytes> {
    let message = format!("the methods here are: {methods}");
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, &message);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    json(status, &serde_json::json!({ "error": message }))
}
