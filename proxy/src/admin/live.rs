//! `/events`: the content of the live page as server-sent events. The first event of each kind is
//! complete; later ones hold what has changed since.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Map, Value, json};
use tailback_scaler::{
    clock::Nanos, ledger::Reading, server_status::ServerStatusStore, status::StatusStore,
};
use tokio::time::sleep;
use tonic::body::Body;

use super::{pages, render_turn::RenderTurns, server_info::ServerInfo};
use crate::{
    downstream::Lifecycle,
    models::{Model, SharedRoutes},
    telemetry::{build_info, metrics::Latencies},
};

/// Time between two updates.
const TURN: Duration = Duration::from_millis(500);
/// Quantiles cover the requests that ended within the last one to two windows.
const WINDOW: Duration = Duration::from_secs(10);

/// The sources of the events.
pub(super) struct Sources {
    pub routes: Arc<SharedRoutes>,
    pub lifecycle: Arc<Lifecycle>,
    pub status_store: StatusStore,
    pub servers: ServerStatusStore,
    pub info: Arc<ServerInfo>,
    /// Whether models can be paused and resumed: a token is set.
    pub controllable: bool,
}

/// One listener's events.
struct Live {
    sources: Sources,
    rows: BTreeMap<String, Row>,
    proxy: Value,
    decisions_seen: u64,
    begun: bool,
}

/// What was last sent to this listener about a model.
struct Row {
    sent: Map<String, Value>,
    /// Latencies at the start of the previous window and of the current one.
    windows: [Latencies; 2],
    window: Nanos,
    /// The state that it was computed from.
    made_from: Option<Stamp>,
    seen: bool,
}

/// Identifies the state that a model's fields are computed from. If it is unchanged, so are the
/// fields: most models are idle, and cost no more than this comparison.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    /// The address of the model's configuration.
    model: usize,
    /// Arrived, completed and held.
    counts: [u64; 3],
    failed: u64,
    latencies: Latencies,
    /// The latencies at the beginning of the window for quantiles.
    since: Latencies,
    /// The status' version, if there is a status.
    status: Option<u64>,
}

/// Streams events until the client disconnects.
pub(super) fn serve(sources: Sources, turns: RenderTurns) -> Response<Body> {
    let live = Live {
        sources,
        rows: BTreeMap::new(),
        proxy: Value::Null,
        decisions_seen: 0,
        begun: false,
    };
    let frames = stream::unfold((live, turns), |(mut live, turns)| async move {
        if live.begun {
            sleep(TURN).await;
        }
        live.begun = true;
        turns.next().await;
        let frame = Frame::data(Bytes::from(live.turn(Nanos::now())));
        Some((Ok::<_, Infallible>(frame), (live, turns)))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    *response.headers_mut() = HeaderMap::from_iter([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]);
    response
}

impl Live {
    /// The events of one update, as text.
    fn turn(&mut self, now: Nanos) -> String {
        let mut text = String::new();
        let proxy = self.proxy();
        if proxy != self.proxy {
            event(&mut text, "proxy", &proxy);
            self.proxy = proxy;
        }
        let (decisions, seen) = self
            .sources
            .status_store
            .decisions_since(self.decisions_seen);
        self.decisions_seen = seen;
        if !decisions.is_empty() {
            event(&mut text, "decisions", &json!(decisions));
        }
        // Sent even if nothing has changed, because the page derives the time from it.
        event(&mut text, "models", &json!(self.models(now)));
        text
    }

    fn proxy(&self) -> Value {
        let mut proxy = json!({
            "version": build_info::VERSION,
            "draining": self.sources.lifecycle.is_draining(),
            "controllable": self.sources.controllable,
            "lastReload": self.sources.info.last_reload(),
            // Whether `/servers` has any content.
            "placement": !self.sources.servers.is_empty(),
        });
        if let Some(membership) = self.sources.status_store.membership() {
            proxy["proxies"] = pages::membership(&membership);
        }
        proxy
    }

    /// For each model, the fields that have changed; null for a model that was removed.
    fn models(&mut self, now: Nanos) -> Map<String, Value> {
        let table = self.sources.routes.current();
        let mut changes = Map::new();
        for model in table.models.values() {
            let latencies = model.metrics.latencies();
            let row = self
                .rows
                .entry(model.name().to_owned())
                .or_insert_with(|| Row {
                    sent: Map::new(),
                    windows: [latencies; 2],
                    window: now,
                    made_from: None,
                    seen: false,
                });
            row.seen = true;
            if now.since(row.window) >= WINDOW {
                row.windows = [row.windows[1], latencies];
                row.window = now;
            }
            let status_store = &self.sources.status_store;
            let reading = model.ledger.read();
            let stamp = Stamp {
                model: Arc::as_ptr(model) as usize,
                counts: [reading.arrived, reading.completed, reading.held],
                failed: model.metrics.failed(),
                latencies,
                since: row.windows[0],
                status: status_store.read(model.name(), |status| status.version),
            };
            if row.made_from.replace(stamp) == Some(stamp) {
                continue;
            }
            let current = fields(model, &reading, status_store, &stamp);
            let changed: Map<_, _> = current
                .iter()
                .filter(|(name, value)| row.sent.get(*name) != Some(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            if !changed.is_empty() {
                changes.insert(model.name().to_owned(), Value::Object(changed));
                row.sent = current;
            }
        }
        self.rows.retain(|name, row| {
            let seen = std::mem::take(&mut row.seen);
            if !seen {
                changes.insert(name.clone(), Value::Null);
            }
            seen
        });
        changes
    }
}

/// The fields of a model that the live page shows.
fn fields(
    model: &Model,
    reading: &Reading,
    status_store: &StatusStore,
    stamp: &Stamp,
) -> Map<String, Value> {
    let status = status_store.read(model.name(), |status| {
        let mut fields = pages::replicas(status);
        fields.insert("ready".to_owned(), json!(status.ready_count));
        fields
    });
    let quantile = |share| json!(stamp.latencies.quantile_since(&stamp.since, share));
    let counts = [
        ("server", json!(model.config.server.name)),
        ("arrived", json!(reading.arrived)),
        ("inFlight", json!(reading.in_flight())),
        ("held", json!(reading.held)),
        ("completed", json!(reading.completed)),
        ("failed", json!(stamp.failed)),
        ("p50Seconds", quantile(0.5)),
        ("p99Seconds", quantile(0.99)),
    ];
    let counts = counts.into_iter();
    let counts = counts.map(|(name, value)| (name.to_owned(), value));
    counts.chain(status.into_iter().flatten()).collect()
}

/// One event in the format of HTML's server-sent events. Compact JSON has no line break.
fn event(text: &mut String, name: &str, data: &Value) {
    text.push_str("event: ");
    text.push_str(name);
    text.push_str("\ndata: ");
    text.push_str(&data.to_string());
    text.push_str("\n\n");
}
