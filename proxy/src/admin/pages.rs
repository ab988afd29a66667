//! What `/readyz` and `/models` say.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tailback_config::RateLimit;
use tailback_scaler::board::Board;

use crate::{answer, downstream::DataPlane, model::Model, table::Table};

/// Ready: the proxy takes new connections. Not whether any model has replicas,
/// since requests are held for them.
pub(super) fn readiness(plane: &DataPlane) -> Response<Bytes> {
    if plane.draining.load(Ordering::Relaxed) {
        return answer::json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": "draining" }),
        );
    }
    answer::json(StatusCode::OK, &json!({ "status": "ready" }))
}

/// Counts, replicas and settings of every model, by name.
pub(super) fn models(table: &Table, board: &Board) -> Value {
    let mut models: Vec<_> = table.models.values().collect();
    models.sort_by(|a, b| a.name().cmp(b.name()));
    json!({ "models": models.into_iter().map(|m| model(m, board)).collect::<Vec<_>>() })
}

fn model(model: &Model, board: &Board) -> Value {
    let reading = model.ledger.read();
    let status = board.status(model.name()).unwrap_or_default();
    let config = &model.config;
    let max = if config.replicas.max == u32::MAX {
        Value::Null
    } else {
        json!(config.replicas.max)
    };
    json!({
        "name": model.name(),
        "server": config.server.name,
        "arrived": reading.arrived,
        "completed": reading.completed,
        "inFlight": reading.in_flight(),
        "held": reading.held,
        "replicas": {
            "desired": status.desired,
            "wanted": status.wanted,
            "ready": status.replicas(),
            "readyCount": status.ready_count,
            "starting": status.starting,
            "draining": status.draining,
            "startUpSeconds": status.start_up_seconds,
            "failure": status.failure,
            "reason": status.reason,
        },
        "settings": {
            "scaled": config.replicas.scaled,
            "minReplicas": config.replicas.min,
            "maxReplicas": max,
            "policy": config.scaling.policy.value.as_str(),
            "lagThreshold": config.scaling.lag_threshold.value,
            "inactiveSeconds": config.scaling.inactive.value.as_secs_f64(),
            "stabilitySeconds": config.scaling.stability.value.as_secs_f64(),
            "targetWaitSeconds": config.scaling.target_wait.value.as_secs_f64(),
            "scaleUpLimit": limit(config.scaling.up_limit.value),
            "scaleDownLimit": limit(config.scaling.down_limit.value),
            "dryRun": config.scaling.dry_run.value,
            "concurrency": config.concurrency.value,
            "holdQueue": config.hold.queue.value,
            "holdSeconds": config.hold.deadline.value.as_secs_f64(),
        },
    })
}

fn limit(limit: Option<RateLimit>) -> Value {
    limit.map_or(
        Value::Null,
        |limit| json!({ "replicas": limit.replicas, "seconds": limit.within.as_secs_f64() }),
    )
}
