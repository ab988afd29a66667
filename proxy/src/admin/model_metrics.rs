//! Metrics read from the ledgers and the scaler's status at scrape time.

use std::sync::Arc;

use tailback_scaler::{
    clock::Nanos,
    ledger::Reading,
    peers::Role,
    server_status::ServerStatusStore,
    status::{PauseState, StatusStore},
};

use super::{host_metrics, replica_metrics, server_metrics};
use crate::{
    models::{Model, RouteTable},
    telemetry::metrics::Exposition,
};

/// Writes the families that are read from `table`'s ledgers, from `status_store` and from
/// `servers` into `text`.
#[must_use]
pub fn render_models(
    mut text: Exposition,
    table: &RouteTable,
    status_store: &StatusStore,
    servers: &ServerStatusStore,
) -> String {
    let mut models: Vec<_> = table
        .models
        .values()
        .map(|m| (m, m.ledger.read()))
        .collect();
    models.sort_by(|a, b| a.0.name().cmp(b.0.name()));
    let mut of_ledger = |name, kind, help, value: fn(&Reading) -> f64| {
        let mut family = text.family(name, kind, help);
        for (model, reading) in &models {
            family.sample(&[("model", model.name())], value(reading));
        }
    };
    of_ledger(
        "tailback_model_lag",
        "gauge",
        "Requests inside now: arrived minus completed.",
        |r| r.in_flight() as f64,
    );
    of_ledger(
        "tailback_model_held",
        "gauge",
        "Requests that wait for a replica.",
        |r| r.held as f64,
    );
    of_ledger(
        "tailback_model_receiving",
        "gauge",
        "Requests inside whose body is awaited from their caller.",
        |r| r.receiving as f64,
    );
    of_ledger(
        "tailback_model_arrived_total",
        "counter",
        "Requests that came in.",
        |r| r.arrived as f64,
    );
    of_ledger(
        "tailback_model_completed_total",
        "counter",
        "Requests that went out.",
        |r| r.completed as f64,
    );
    of_ledger(
        "tailback_model_in_flight_seconds_total",
        "counter",
        "Integral of the lag over time, in request-seconds: its rate is the mean lag.",
        Reading::integral_seconds,
    );

    table.expire_metrics(Nanos::now());
    table.metrics.render(&mut text);
    decisions(&mut text, status_store);
    let mut replicas = text.family(
        "tailback_model_replicas",
        "gauge",
        "Replicas by state; desired: asked for.",
    );
    for (model, _) in &models {
        let status = status_store.status(model.name()).unwrap_or_default();
        let states = [
            ("desired", status.desired),
            ("ready", status.ready_count),
            (
                "unhealthy",
                u32::try_from(status.unhealthy()).unwrap_or(u32::MAX),
            ),
            ("starting", status.starting),
            ("draining", status.draining),
        ];
        for (state, count) in states {
            replicas.sample(
                &[("model", model.name()), ("state", state)],
                f64::from(count),
            );
        }
    }
    ejections(&mut text, &models);
    let all: Vec<_> = models.iter().map(|(model, _)| &***model).collect();
    replica_metrics::render(&mut text, &all, status_store);
    limits(&mut text, &models, status_store);
    server_metrics::render(&mut text, &servers.servers());
    if let Some(host) = servers.host() {
        host_metrics::render(&mut text, &host);
    }
    render_proxies(&mut text, status_store);
    text.into_string()
}

/// Counts of scaling decisions, by model.
fn decisions(text: &mut Exposition, status_store: &StatusStore) {
    let mut family = text.family(
        "tailback_scale_decisions_total",
        "counter",
        "Decisions to change a model's count, by what wanted it and what held it back.",
    );
    for (model, kind, count) in status_store.decision_counts() {
        let labels = [
            ("model", &*model),
            ("direction", kind.direction),
            ("reason", kind.reason),
            ("held_back", kind.held_back),
        ];
        family.sample(&labels, count as f64);
    }
}

/// How often replicas were ejected.
fn ejections(text: &mut Exposition, models: &[(&Arc<Model>, Reading)]) {
    let mut family = text.family(
        "tailback_model_ejections_total",
        "counter",
        "How often a replica was ejected: it got no requests for a while, as its health was bad.",
    );
    for (model, _) in models {
        for (reason, count) in model.pool.ejections() {
            let labels = [("model", model.name()), ("reason", reason)];
            family.sample(&labels, count as f64);
        }
    }
}

/// Limits that alert rules compare counts with, so that the rules need not repeat the
/// configuration.
fn limits(text: &mut Exposition, models: &[(&Arc<Model>, Reading)], status_store: &StatusStore) {
    let mut most = text.family(
        "tailback_model_replicas_max",
        "gauge",
        "Most replicas the model may have; none where there is no limit.",
    );
    for (model, _) in models {
        let max = model.config.replicas.max;
        if max != u32::MAX {
            most.sample(&[("model", model.name())], f64::from(max));
        }
    }
    let mut threshold = text.family(
        "tailback_model_lag_threshold",
        "gauge",
        "Lag one replica may carry before scale-up.",
    );
    for (model, _) in models {
        let lag = model.config.scaling.lag_threshold.value;
        threshold.sample(&[("model", model.name())], f64::from(lag.get()));
    }
    let mut paused = text.family(
        "tailback_model_paused",
        "gauge",
        "1 while the model is paused, else 0.",
    );
    for (model, _) in models {
        let status = status_store.status(model.name()).unwrap_or_default();
        let is_paused = status.pause == PauseState::Paused;
        paused.sample(&[("model", model.name())], f64::from(is_paused));
    }
    let mut failing = text.family(
        "tailback_model_failing",
        "gauge",
        "1 from a replica's failure, or since starts hang, until one is ready after it, else 0.",
    );
    for (model, _) in models {
        let failure = status_store.status(model.name()).and_then(|s| s.failure);
        failing.sample(&[("model", model.name())], f64::from(failure.is_some()));
    }
}

/// Metrics of the group of proxies, if this proxy is in one.
fn render_proxies(text: &mut Exposition, status_store: &StatusStore) {
    let Some(proxies) = status_store.membership() else {
        return;
    };
    let mut leader = text.family(
        "tailback_leader",
        "gauge",
        "1 if this proxy is the one that asks for replicas, else 0.",
    );
    let leads = proxies.role == Role::Leads;
    leader.sample(&[], f64::from(u8::from(leads)));
    let mut peers = text.family(
        "tailback_peers",
        "gauge",
        "Other proxies that this one hears from.",
    );
    let connected = proxies.peers.iter().filter(|peer| peer.lost.is_none());
    peers.sample(&[], connected.count() as f64);
}
