//! The admin endpoints, on an address of their own: what the proxy knows, to be
//! read. Nothing here changes state.

mod pages;

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use pingora_core::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use tailback_scaler::board::Board;

use crate::{answer::json, downstream::DataPlane, metrics::render_models};

/// A scraper that says nothing for this long is disconnected.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The admin service.
pub struct Admin {
    /// What is served.
    pub plane: Arc<DataPlane>,
    /// What the scaler shows.
    pub board: Board,
    /// What was recorded.
    pub recorder: PrometheusHandle,
}

#[async_trait]
impl ServerApp for Admin {
    async fn process_new(self: &Arc<Self>, stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        let service = service_fn(|request: Request<Incoming>| {
            let answer = self.answer(request.method(), request.uri().path());
            async move { Ok::<_, Infallible>(answer.map(Full::new)) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "admin connection");
        }
        None
    }
}

impl Admin {
    fn answer(&self, method: &Method, path: &str) -> Response<Bytes> {
        if *method != Method::GET && *method != Method::HEAD {
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
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
                "there are /metrics, /healthz, /readyz, /models and /decisions",
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

fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    json(status, &serde_json::json!({ "error": message }))
}
