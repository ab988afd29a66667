//! Names of command-line options that cannot be derived from the variable's name.

/// Variables whose option is not the variable's name without `TAILBACK_`. `None`: there is no
/// option.
pub(super) const FLAGS: &[(&str, Option<&str>)] = &[
    // The options of a process can be read by every user of the machine.
    ("TAILBACK_ADMIN_TOKEN", None),
    (
        "SELDON_SCALING_STATS_PERIOD_SECONDS",
        Some("scaling-period-seconds"),
    ),
    (
        "SELDON_MODEL_INFERENCE_LAG_THRESHOLD",
        Some("lag-threshold"),
    ),
    (
        "SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD",
        Some("inactive-seconds"),
    ),
    (
        "SELDON_OVERCOMMIT_PERCENTAGE",
        Some("overcommit-percentage"),
    ),
    ("SELDON_MAX_LOAD_RETRY_COUNT", Some("load-retries")),
    ("SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES", Some("load-minutes")),
    ("SELDON_MAX_UNLOAD_RETRY_COUNT", Some("unload-retries")),
    (
        "SELDON_MAX_UNLOAD_ELAPSED_TIME_MINUTES",
        Some("unload-minutes"),
    ),
    (
        "SELDON_UNLOAD_GRACE_PERIOD_SECONDS",
        Some("unload-grace-seconds"),
    ),
    ("ENABLE_SERVER_AUTOSCALING", Some("server-autoscaling")),
    ("SERVER_PACKING_ENABLED", Some("server-packing")),
    (
        "SERVER_PACKING_PERCENTAGE",
        Some("server-packing-percentage"),
    ),
];
