//! The effective settings of a model by the names of the manifest's fields, and their origins.

use serde_json::{Value, json};
use tailback_config::{Model, RateLimit, RequestTimeouts};

/// The settings.
pub(super) fn values(config: &Model) -> Value {
    let (scaling, replicas) = (&config.scaling, &config.replicas);
    json!({
        "scaled": replicas.scaled,
        "minReplicas": replicas.min,
        "maxReplicas": (replicas.max != u32::MAX).then_some(replicas.max),
        "policy": scaling.policy.value.as_str(),
        "lagThreshold": scaling.lag_threshold.value,
        "inactiveSeconds": scaling.inactive.value.as_secs_f64(),
        "stabilitySeconds": scaling.stability.value.as_secs_f64(),
        "targetWaitSeconds": scaling.target_wait.value.as_secs_f64(),
        "scaleUpLimit": limit(scaling.up_limit.value),
        "scaleDownLimit": limit(scaling.down_limit.value),
        "dryRun": scaling.dry_run.value,
        "concurrency": config.concurrency.value,
        "holdQueue": config.hold.queue.value,
        "holdSeconds": config.hold.deadline.value.as_secs_f64(),
        "timeouts": timeouts(&config.timeouts),
    })
}

/// The origin of each setting, such as `environment TAILBACK_HOLD_QUEUE` or `default`. The names
/// of time limits begin with `timeouts.`.
pub(super) fn origins(config: &Model) -> Value {
    let (scaling, replicas, timeouts) = (&config.scaling, &config.replicas, &config.timeouts);
    json!({
        "minReplicas": replicas.min_origin.to_string(),
        "maxReplicas": replicas.max_origin.to_string(),
        "policy": scaling.policy.origin.to_string(),
        "lagThreshold": scaling.lag_threshold.origin.to_string(),
        "inactiveSeconds": scaling.inactive.origin.to_string(),
        "stabilitySeconds": scaling.stability.origin.to_string(),
        "targetWaitSeconds": scaling.target_wait.origin.to_string(),
        "scaleUpLimit": scaling.up_limit.origin.to_string(),
        "scaleDownLimit": scaling.down_limit.origin.to_string(),
        "dryRun": scaling.dry_run.origin.to_string(),
        "concurrency": config.concurrency.origin.to_string(),
        "holdQueue": config.hold.queue.origin.to_string(),
        "holdSeconds": config.hold.deadline.origin.to_string(),
        "timeouts.connectSeconds": timeouts.connect.origin.to_string(),
        "timeouts.responseHeaderSeconds": timeouts.response_header.origin.to_string(),
        "timeouts.firstByteSeconds": timeouts.first_byte.origin.to_string(),
        "timeouts.streamIdleSeconds": timeouts.stream_idle.origin.to_string(),
        "timeouts.totalSeconds": timeouts.total.origin.to_string(),
    })
}

fn timeouts(timeouts: &RequestTimeouts) -> Value {
    json!({
        "connectSeconds": timeouts.connect.value.as_secs_f64(),
        "responseHeaderSeconds": timeouts.response_header.value.as_secs_f64(),
        "firstByteSeconds": timeouts.first_byte.value.as_secs_f64(),
        "streamIdleSeconds": timeouts.stream_idle.value.as_secs_f64(),
        "totalSeconds": timeouts.total.value.map(|total| total.as_secs_f64()),
    })
}

fn limit(limit: Option<RateLimit>) -> Value {
    limit.map_or(
        Value::Null,
        |limit| json!({ "replicas": limit.replicas, "seconds": limit.within.as_secs_f64() }),
    )
}
