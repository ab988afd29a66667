//! What the ledgers and the scaler know already, read when it is asked for.

use std::sync::Arc;

use tailback_scaler::{board::Board, ledger::Reading};

use super::text::Text;
use crate::{downstream::Method, model::Model, table::Table};

/// The families that are read from `table`'s ledgers and from `board`.
#[must_use]
pub fn render_models(table: &Table, board: &Board) -> String {
    let mut models: Vec<_> = table
        .models
        .values()
        .map(|m| (m, m.ledger.read()))
        .collect();
    models.sort_by(|a, b| a.0.name().cmp(b.0.name()));
    let mut text = Text::default();
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

    let mut seconds = text.family(
        "seldon_model_infer_seconds_total",
        "counter",
        "Time that requests that ended have spent inside, in seconds.",
    );
    for (model, _) in &models {
        for method in [Method::Rest, Method::Grpc] {
            let labels = [
                ("model", model.name()),
                ("server", &*model.config.server.name),
                ("method_type", method.label()),
            ];
            seconds.sample(&labels, model.metrics.seconds(method));
        }
    }
    let mut servers = std::collections::BTreeMap::<(&str, &str), f64>::new();
    for (model, _) in &models {
        for method in [Method::Rest, Method::Grpc] {
            let series = (&*model.config.server.name, method.label());
            *servers.entry(series).or_default() += model.metrics.seconds(method);
        }
    }
    let mut aggregate = text.family(
        "seldon_model_aggregate_infer_seconds_total",
        "counter",
        "Time that requests that ended have spent inside, of all models of a server, in seconds.",
    );
    for ((server, method), total) in servers {
        aggregate.sample(&[("server", server), ("method_type", method)], total);
    }

    let mut replicas = text.family(
        "tailback_model_replicas",
        "gauge",
        "Replicas by state; desired: asked for.",
    );
    for (model, _) in &models {
        let status = board.status(model.name()).unwrap_or_default();
        let states = [
            ("desired", status.desired as usize),
            ("ready", status.ready_count as usize),
            ("starting", status.starting as usize),
            ("draining", status.draining as usize),
        ];
        for (state, count) in states {
            replicas.sample(&[("model", model.name()), ("state", state)], count as f64);
        }
    }
    limits(&mut text, &models, board);
    text.into_string()
}

/// What the counts are to be compared with, so that an alert need not repeat the
/// configuration.
fn limits(text: &mut Text, models: &[(&Arc<Model>, Reading)], board: &Board) {
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
    let mut failing = text.family(
        "tailback_model_failing",
        "gauge",
        "1 from a replica's failure until one is ready after it, else 0.",
    );
    for (model, _) in models {
        let failure = board.status(model.name()).and_then(|s| s.failure);
        failing.sample(&[("model", model.name())], f64::from(failure.is_some()));
    }
}
