//! The contents of `/readyz` and `/models`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tailback_scaler::{
    clock::Nanos,
    ledger::Reading,
    peers::{Role, peer_counts::PeerStatus},
    replica::Transition,
    server_status::ServerStatusStore,
    status::{MembershipStatus, ModelStatus, PauseState, StatusStore, UsageView},
};

use super::model_settings;
use crate::{
    downstream::Lifecycle,
    models::{Model, RouteTable},
};

/// The proxy is ready if it takes new connections. This does not depend on replicas, because
/// requests are held until there is one.
pub(super) fn readiness(lifecycle: &Lifecycle) -> Response<Bytes> {
    if lifecycle.is_draining() {
        return super::json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": "draining" }),
        );
    }
    super::json(StatusCode::OK, &json!({ "status": "ready" }))
}

/// Counts, replicas and settings of every model, by name.
pub(super) fn models(table: &RouteTable, status_store: &StatusStore) -> Value {
    let mut models: Vec<_> = table.models.values().collect();
    models.sort_by(|a, b| a.name().cmp(b.name()));
    let proxies = status_store.membership();
    let one = |m: &Arc<Model>| model(m, status_store, proxies.as_ref());
    let mut page = json!({
        "models": models.into_iter().map(one).collect::<Vec<_>>(),
        "draining": table.draining().map(|m| counts(m, &m.ledger.read())).collect::<Vec<_>>(),
    });
    if let Some(proxies) = &proxies {
        page["proxies"] = membership(proxies);
    }
    page
}

/// The entry of [`models`] for one model, found by its name or an alias, percent-encoded or not.
pub(super) fn one(table: &RouteTable, status_store: &StatusStore, name: &str) -> Option<Value> {
    let name = percent_decode_str(name).decode_utf8().ok()?;
    let found = table.model(&name)?;
    Some(model(
        found,
        status_store,
        status_store.membership().as_ref(),
    ))
}

/// All replicas by model: ready, starting and draining ones.
pub(super) fn all_replicas(table: &RouteTable, status_store: &StatusStore) -> Value {
    let mut models: Vec<_> = table.models.values().collect();
    models.sort_by(|a, b| a.name().cmp(b.name()));
    let of_model = |model: &Arc<Model>| {
        let status = status_store.status(model.name()).unwrap_or_default();
        let moving = |all: &[Transition]| all.iter().map(transition).collect::<Value>();
        let states = [
            ("ready", ready(model, &status)),
            ("starting", moving(&status.coming)),
            ("draining", moving(&status.leaving)),
        ];
        let mut all = Vec::new();
        for (state, views) in states {
            for mut view in views.as_array().cloned().unwrap_or_default() {
                view["model"] = json!(model.name());
                view["server"] = json!(model.config.server.name);
                view["state"] = json!(state);
                all.push(view);
            }
        }
        all
    };
    json!({ "replicas": models.into_iter().flat_map(of_model).collect::<Vec<_>>() })
}

/// All multi-model servers with their replicas, the host with its devices, and the models in each.
pub(super) fn servers(store: &ServerStatusStore) -> Value {
    json!({ "servers": store.servers(), "hosts": store.host().as_slice() })
}

/// The group of proxies that this one belongs to.
pub(super) fn membership(proxies: &MembershipStatus) -> Value {
    let peer = |peer: &PeerStatus| {
        json!({
            "instance": peer.instance,
            "address": peer.address.to_string(),
            "leads": peer.leads,
            "lostSeconds": peer.lost.map(|lost| Nanos::now().since(lost).as_secs_f64()),
        })
    };
    json!({
        "instance": proxies.instance,
        "leads": proxies.role == Role::Leads,
        "leader": proxies.leader,
        "peers": proxies.peers.iter().map(peer).collect::<Vec<_>>(),
        "notHeard": proxies.unreachable.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "trouble": proxies.trouble,
    })
}

/// The identity and counts of a model.
fn counts(model: &Model, reading: &Reading) -> Value {
    json!({
        "name": model.name(),
        "server": model.config.server.name,
        "arrived": reading.arrived,
        "completed": reading.completed,
        "inFlight": reading.in_flight(),
        "held": reading.held,
        "receiving": reading.receiving,
    })
}

fn model(model: &Model, status_store: &StatusStore, proxies: Option<&MembershipStatus>) -> Value {
    let reading = model.ledger.read();
    let status = status_store.status(model.name()).unwrap_or_default();
    let config = &model.config;
    let mut page = counts(model, &reading);
    let mut all = replicas(&status);
    let more = json_object([
        ("ready", ready(model, &status)),
        ("readyCount", json!(status.ready_count)),
        ("unhealthyCount", json!(status.unhealthy())),
        ("coming", status.coming.iter().map(transition).collect()),
        ("leaving", status.leaving.iter().map(transition).collect()),
        ("startUpSeconds", json!(status.start_up_seconds)),
        ("warning", json!(status.warning)),
    ]);
    all.extend(more);
    page["replicas"] = Value::Object(all);
    page["serverKind"] = json!(config.server.kind.to_string());
    if let Some(summary) = model.metrics.llm.summary() {
        page["llm"] = json!(summary);
    }
    if let Some(placement) = &status.placement {
        page["placement"] = json!(placement);
    }
    page["settings"] = model_settings::values(config);
    page["origins"] = model_settings::origins(config);
    if proxies.is_some() {
        let all = reading.plus(&status.others);
        page["allProxies"] = json!({
            "arrived": all.arrived,
            "completed": all.completed,
            "inFlight": all.in_flight(),
            "held": all.held,
            "receiving": all.receiving,
        });
    }
    page
}

/// The ready replicas, each with the number of prompt blocks that it is known to have.
fn ready(model: &Model, status: &ModelStatus) -> Value {
    let mut ready = json!(status.replicas());
    if let (Some(table), Some(views)) = (&model.prefix_table, ready.as_array_mut()) {
        let counts = table.block_counts();
        for (view, replica) in views.iter_mut().zip(&status.ready) {
            view["prefixBlocks"] = json!(counts.of(replica.id()));
        }
    }
    ready
}

/// A model's replicas, for the pages and the live page.
pub(super) fn replicas(status: &ModelStatus) -> Map<String, Value> {
    let failure = status.failure.as_ref().or(status.not_ready.as_ref());
    json_object([
        ("desired", json!(status.desired)),
        ("wanted", json!(status.wanted)),
        ("starting", json!(status.starting)),
        ("draining", json!(status.draining)),
        ("failure", json!(failure)),
        ("paused", json!(status.pause == PauseState::Paused)),
        ("manual", json!(status.manual)),
        ("serviceSeconds", json!(status.service_seconds)),
        ("reason", json!(status.reason)),
    ])
}

fn json_object<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A starting or draining replica.
fn transition(moving: &Transition) -> Value {
    let mut view = json!({
        "name": moving.replica.name(),
        "endpoint": moving.replica.authority(),
        "inFlight": moving.replica.in_flight(),
        "seconds": Nanos::now().since(moving.since).as_secs_f64(),
    });
    if let Some(usage) = UsageView::of(&moving.replica) {
        view["cpuSeconds"] = json!(usage.cpu_seconds);
        view["memoryBytes"] = json!(usage.memory_bytes);
        view["processes"] = json!(usage.processes);
    }
    view
}
