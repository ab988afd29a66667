//! The settings of multi-model servers, for people.

use std::time::Duration;

use crate::Placement;
use crate::number::show_seconds;

/// Setting, value and variable.
type Row = (&'static str, String, &'static str);

pub(super) fn rows(placement: &Placement) -> [Row; 9] {
    let minutes = |time: Duration| format!("{} min", time.as_secs_f64() / 60.0);
    [
        (
            "over-commit",
            format!("{} %", placement.overcommit),
            "SELDON_OVERCOMMIT_PERCENTAGE",
        ),
        (
            "load retries",
            placement.load_retries.to_string(),
            "SELDON_MAX_LOAD_RETRY_COUNT",
        ),
        (
            "load limit",
            minutes(placement.load_limit),
            "SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES",
        ),
        (
            "unload retries",
            placement.unload_retries.to_string(),
            "SELDON_MAX_UNLOAD_RETRY_COUNT",
        ),
        (
            "unload limit",
            minutes(placement.unload_limit),
            "SELDON_MAX_UNLOAD_ELAPSED_TIME_MINUTES",
        ),
        (
            "unload grace",
            show_seconds(placement.unload_grace),
            "SELDON_UNLOAD_GRACE_PERIOD_SECONDS",
        ),
        (
            "server scaling",
            placement.server_scaling.to_string(),
            "ENABLE_SERVER_AUTOSCALING",
        ),
        (
            "server packing",
            placement.packing.to_string(),
            "SERVER_PACKING_ENABLED",
        ),
        (
            "packing share",
            "without effect".to_owned(),
            "SERVER_PACKING_PERCENTAGE",
        ),
    ]
}
