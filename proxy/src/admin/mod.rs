//! The admin endpoints, on an address of their own, by HTTP/1.1 or HTTP/2 in clear text. All are
//! read-only except those in `control`.
//!
//! They do not run as a pingora service: pingora's services stop listening when draining begins,
//! which is when operators look at these pages most.

mod accept;
mod authorization;
mod connections;
mod control;
mod host_metrics;
mod keda;
mod layout;
mod ledgers;
mod live;
mod logs;
mod model_metrics;
mod model_settings;
mod page;
mod page_budget;
mod pages;
mod permitted;
mod process_metrics;
mod reload;
mod render_turn;
mod replica_metrics;
mod requests;
mod scale_order;
mod server_info;
mod server_metrics;
mod targets;
mod wrong_tokens;

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use metrics_exporter_prometheus::PrometheusHandle;
use percent_encoding::percent_decode_str;
use tailback_config::Token;
use tailback_scaler::{
    peers::publisher::CountsPublisher, replica_logs::ReplicaLogs, run::control::ControlHandle,
    server_status::ServerStatusStore, status::StatusStore,
};
use tokio::{net::TcpListener, sync::watch};
use tonic::body::Body;

use self::{
    authorization::Authorization, connections::AnswerKind, control::Order, keda::Keda,
    layout::Layout, logs::LogRequest, page_budget::PageBudget, render_turn::RenderTurns,
};
pub use self::{
    reload::{ReloadHandle, ReloadOutcome},
    server_info::ServerInfo,
};
use crate::{
    admin::model_metrics::render_models,
    downstream::Lifecycle,
    exchange::LiveRequests,
    models::SharedRoutes,
    protocol::error,
    telemetry::metrics::{Exposition, openmetrics},
};

/// How orders are parsed, for fuzzing.
#[cfg(feature = "simulation")]
pub mod orders {
    pub use super::{control::Order, scale_order::ScaleBody};
}

/// The error for any other path.
const THERE_ARE: &str = "there are /, /metrics, /healthz, /readyz, /server_info, /models, /models/{name}, /models/{name}/logs, /models/{name}/requests, /replicas, /servers, /targets, /decisions, /events and /ledgers, \
                         and, by POST, /reload, /models/{name}/pause, /models/{name}/resume, /models/{name}/scale (and DELETE), \
                         /models/{name}/replicas/{replica}/restart, /models/{name}/replicas/{replica}/drain, \
                         /models/{name}/replicas/{replica}/resume and /models/{name}/requests/{request}/cancel";

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
    /// Carries out operators' orders.
    pub control: ControlHandle,
    /// Reloads the configuration.
    pub reload: ReloadHandle,
    /// The token for endpoints that change state; `None`: they are refused to every caller.
    pub token: Option<Token>,
    /// The requests in flight.
    pub live: Arc<LiveRequests>,
    /// What replicas printed.
    pub logs: ReplicaLogs,
    /// The recorder of process-wide metrics.
    pub recorder: PrometheusHandle,
    /// Identity and upgrade state of this process.
    pub info: Arc<ServerInfo>,
    /// The bytes of memory that the process may have; `None`: there is no limit.
    pub memory_limit: Option<u64>,
}

/// Serves connections of `listener` until `stop` is `true`, because a successor process has taken
/// over the address.
pub async fn serve(admin: Admin, listener: TcpListener, stop: watch::Receiver<bool>) {
    let keda = Arc::new(Keda::new(admin.routes.clone(), admin.status_store.clone()));
    let service = Service {
        authorization: Authorization::new(admin.token.clone()),
        turns: RenderTurns::default(),
        page_budget: PageBudget::new(admin.memory_limit),
        admin,
    };
    tokio::select! {
        () = keda.push() => {}
        () = accept::serve(service, &keda, listener, &stop) => {}
    }
}

/// The sender of a request.
struct Caller<'a> {
    headers: &'a HeaderMap,
    /// The `Host` that it called.
    host: Option<&'a str>,
    address: Option<IpAddr>,
}

/// Answers requests.
struct Service {
    admin: Admin,
    authorization: Authorization,
    turns: RenderTurns,
    page_budget: PageBudget,
}

impl Service {
    /// The kind under which the answer for `uri` is limited; `None`: health checks are not
    /// limited.
    fn kind(uri: &Uri) -> Option<AnswerKind> {
        Some(match uri.path() {
            "/healthz" | "/readyz" => return None,
            "/events" => AnswerKind::Stream,
            "/ledgers" => AnswerKind::Ledger,
            path => match LogRequest::parse(path, uri.query()) {
                Some(Ok(request)) if request.follows() => AnswerKind::Stream,
                _ => AnswerKind::Page,
            },
        })
    }

    /// Answers a request other than gRPC.
    async fn answer(&self, request: Request<Incoming>, address: Option<IpAddr>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let (method, uri) = (&head.method, &head.uri);
        let path = uri.path();
        let layout = Layout::asked_for(&head);
        let whole = |response| whole(layout.apply(response));
        let host = head.headers.get(header::HOST);
        let caller = Caller {
            headers: &head.headers,
            host: match uri.authority() {
                Some(authority) => Some(authority.as_str()),
                None => host.map(|host| host.to_str().unwrap_or_default()),
            },
            address,
        };
        let Self {
            admin,
            authorization,
            ..
        } = self;
        if let Some(order) = Order::parse(path) {
            let answer = order.carry_out(admin, authorization, &caller, method, body);
            return whole(answer.await);
        }
        if let Some(asked) = LogRequest::parse(path, uri.query()) {
            return match *method {
                Method::GET => {
                    let sources = (&*admin.routes.current(), &admin.logs);
                    logs::serve(asked, &caller, authorization, sources)
                }
                _ => whole(not_allowed("GET")),
            };
        }
        if let Some(model) = requests::model_in(path) {
            return whole(match *method {
                Method::GET | Method::HEAD => requests::page(admin, &model).await,
                _ => not_allowed("GET, HEAD"),
            });
        }
        match (path, method) {
            ("/ledgers", &Method::GET) => {
                return ledgers::serve(admin.publisher.subscribe(), self.turns.clone());
            }
            ("/events", &Method::GET) => {
                return live::serve(self.live_sources(), self.turns.clone());
            }
            ("/ledgers" | "/events", _) => return whole(not_allowed("GET")),
            _ => {}
        }
        whole(match (admin.page(path, caller.headers), method) {
            (None, _) => error(StatusCode::NOT_FOUND, THERE_ARE),
            (Some(page), &Method::GET | &Method::HEAD) => page,
            (Some(_), _) => not_allowed("GET, HEAD"),
        })
    }

    fn live_sources(&self) -> live::Sources {
        live::Sources {
            routes: self.admin.routes.clone(),
            lifecycle: self.admin.lifecycle.clone(),
            status_store: self.admin.status_store.clone(),
            servers: self.admin.servers.clone(),
            info: self.admin.info.clone(),
            controllable: self.authorization.has_token(),
        }
    }
}

impl Admin {
    /// The read-only page at `path`, if there is one.
    fn page(&self, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
        if let Some(file) = page::file(path) {
            return Some(file);
        }
        let table = self.routes.current();
        Some(match path {
            "/metrics" => self.metrics(headers),
            "/server_info" => json(StatusCode::OK, &self.info.page()),
            "/healthz" => json(StatusCode::OK, &serde_json::json!({ "status": "alive" })),
            "/readyz" => pages::readiness(&self.lifecycle),
            "/models" => json(StatusCode::OK, &pages::models(&table, &self.status_store)),
            "/replicas" => {
                let page = pages::all_replicas(&table, &self.status_store);
                json(StatusCode::OK, &page)
            }
            "/targets" => json(StatusCode::OK, &targets::page(&table, &self.status_store)),
            "/servers" => json(StatusCode::OK, &pages::servers(&self.servers)),
            "/decisions" => json(
                StatusCode::OK,
                &serde_json::json!({
                    "decisions": self.status_store.decisions(),
                    "placement": self.servers.decisions(),
                }),
            ),
            _ => {
                let name = path.strip_prefix("/models/")?;
                match pages::one(&table, &self.status_store, name) {
                    Some(model) => json(StatusCode::OK, &model),
                    // More likely a mistyped path than a model's name.
                    None if name.contains('/') => return None,
                    None => {
                        let name = percent_decode_str(name).decode_utf8_lossy();
                        let message = format!("there is no model {name:?}; /models lists them");
                        error(StatusCode::NOT_FOUND, &message)
                    }
                }
            }
        })
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Bytes> {
        let open = openmetrics::is_asked_for(headers);
        let (mut exposition, kind) = match open {
            true => (Exposition::with_exemplars(), openmetrics::CONTENT_TYPE),
            false => (
                Exposition::default(),
                "text/plain; version=0.0.4; charset=utf-8",
            ),
        };
        process_metrics::render(&mut exposition, self.info.started());
        let mut text = self.recorder.render();
        let table = self.routes.current();
        text.push_str(&render_models(
            exposition,
            &table,
            &self.status_store,
            &self.servers,
        ));
        if open {
            text = openmetrics::of_text(&text);
        }
        let mut response = Response::new(Bytes::from(text));
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        fields.insert(header::VARY, HeaderValue::from_static("accept"));
        response
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

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    error::json(status, body).into()
}

fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    json(status, &serde_json::json!({ "error": message }))
}
