//! `/targets`: the addresses of replicas' own metrics, for Prometheus' HTTP service discovery.
//! Processes get a new port at each start, so a static configuration cannot list them.

use serde_json::{Value, json};
use tailback_scaler::status::{ReplicaView, StatusStore};

use crate::models::{Model, RouteTable};

/// The ready replicas of servers with a `metricsPath`, in Prometheus' form (`<http_sd_config>`).
pub(super) fn page(table: &RouteTable, status_store: &StatusStore) -> Value {
    let mut models: Vec<_> = table.models.values().collect();
    models.sort_by(|a, b| a.name().cmp(b.name()));
    let all = models.into_iter();
    all.flat_map(|model| of_model(model, status_store))
        .collect()
}

fn of_model(model: &Model, status_store: &StatusStore) -> Vec<Value> {
    let server = &model.config.server;
    let path = server
        .process()
        .and_then(|process| process.metrics_path.value.as_ref());
    let (Some(path), Some(status)) = (path, status_store.status(model.name())) else {
        return Vec::new();
    };
    let target = |replica: ReplicaView| {
        json!({
            "targets": [replica.endpoint],
            "labels": {
                "__metrics_path__": path,
                "model": model.name(),
                "server": server.name,
                "replica": replica.name,
            },
        })
    };
    status.replicas().into_iter().map(target).collect()
}
