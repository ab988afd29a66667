//! `/events`: what the live page shows, as server-sent events. The first event of each kind
//! has all there is, later ones what has changed since.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Map, Value, json};
use tailback_scaler::{
    clock::Nanos,
    status::{ModelStatus, PauseState, StatusStore},
};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tonic::body::Body;

use super::pages;
use crate::{
    downstream::Lifecycle,
    models::{Model, SharedRoutes},
    telemetry::{build_info, metrics::Latencies},
};

/// Listeners at once: each costs a look at every model at each turn.
pub(super) const LISTENERS: usize = 32;
/// Time between two turns.
const TURN: Duration = Duration::from_millis(500);
/// Quantiles are those of requests that ended within the last one to two of these.
const WINDOW: Duration = Duration::from_secs(10);

/// What is looked at.
pub(super) struct Sources {
    pub routes: Arc<SharedRoutes>,
    pub lifecycle: Arc<Lifecycle>,
    pub status_store: StatusStore,
    /// Whether there is a token by which models can be paused.
    pub controllable: bool,
}

/// One listener's events.
struct Live {
    sources: Sources,
    rows: BTreeMap<String, Row>,
    proxy: Value,
    decisions_seen: u64,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

/// What a listener knows of a model.
struct Row {
    told: Map<String, Value>,
    /// Latencies at the begin of the last window and of the present one.
    windows: [Latencies; 2],
    window: Nanos,
    seen: bool,
}

/// The events, for as long as somebody listens.
pub(super) fn serve(sources: Sources, place: OwnedSemaphorePermit) -> Response<Body> {
    let live = Live {
        sources,
        rows: BTreeMap::new(),
        proxy: Value::Null,
        decisions_seen: 0,
        begun: false,
        _place: place,
    };
    let frames = stream::unfold(live, |mut live| async move {
        if live.begun {
            sleep(TURN).await;
        }
        live.begun = true;
        let frame = Frame::data(Bytes::from(live.turn(Nanos::now())));
        Some((Ok::<_, Infallible>(frame), live))
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
    /// The events of one turn.
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
        // Also if nothing has changed: time goes on.
        event(&mut text, "models", &json!(self.models(now)));
        text
    }

    fn proxy(&self) -> Value {
        let mut proxy = json!({
            "version": build_info::VERSION,
            "draining": self.sources.lifecycle.is_draining(),
            "controllable": self.sources.controllable,
        });
        if let Some(membership) = self.sources.status_store.membership() {
            proxy["proxies"] = pages::membership(&membership);
        }
        proxy
    }

    /// Fields of models that have changed; a model that has gone is null.
    fn models(&mut self, now: Nanos) -> Map<String, Value> {
        let table = self.sources.routes.current();
        let mut changes = Map::new();
        for model in table.models.values() {
            let latencies = model.metrics.latencies();
            let row = self
                .rows
                .entry(model.name().to_owned())
                .or_insert_with(|| Row {
                    told: Map::new(),
                    windows: [latencies; 2],
                    window: now,
                    seen: false,
                });
            row.seen = true;
            if now.since(row.window) >= WINDOW {
                row.windows = [row.windows[1], latencies];
                row.window = now;
            }
            let current = fields(
                model,
                &self.sources.status_store,
                &latencies,
                &row.windows[0],
            );
            let changed: Map<_, _> = current
                .iter()
                .filter(|(name, value)| row.told.get(*name) != Some(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            if !changed.is_empty() {
                changes.insert(model.name().to_owned(), Value::Object(changed));
                row.told = current;
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

/// What is told of a model.
fn fields(
    model: &Model,
    status_store: &StatusStore,
    latencies: &Latencies,
    before: &Latencies,
) -> Map<String, Value> {
    let reading = model.ledger.read();
    let status = |status: &ModelStatus| {
        let failure = status.failure.as_ref().or(status.not_ready.as_ref());
        [
            ("desired", json!(status.desired)),
            ("wanted", json!(status.wanted)),
            ("ready", json!(status.ready_count)),
            ("starting", json!(status.starting)),
            ("draining", json!(status.draining)),
            ("paused", json!(status.pause == PauseState::Paused)),
            ("failure", json!(failure)),
            ("reason", json!(status.reason)),
        ]
    };
    let status = status_store.read(model.name(), status);
    let quantile = |share| json!(latencies.quantile_since(before, share));
    let counts = [
        ("server", json!(model.config.server.name)),
        ("arrived", json!(reading.arrived)),
        ("inFlight", json!(reading.in_flight())),
        ("held", json!(reading.held)),
        ("completed", json!(reading.completed)),
        ("failed", json!(model.metrics.failed())),
        ("p50Seconds", quantile(0.5)),
        ("p99Seconds", quantile(0.99)),
    ];
    counts
        .into_iter()
        .chain(status.into_iter().flatten())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// One event, as HTML's standard writes them. JSON has no line break within.
fn event(text: &mut String, name: &str, data: &Value) {
    text.push_str("event: ");
    text.push_str(name);
    text.push_str("\ndata: ");
    text.push_str(&data.to_string());
    text.push_str("\n\n");
}
