//! The rows of the process's settings.

mod placement;

use std::path::PathBuf;

use super::{Row, seconds};
use crate::variables::{FROM_DESCRIPTORS, NONE, OWN_NAMESPACE, SKIP_OTHER_KINDS};
use crate::{Origin, Process};

/// One row for each setting.
pub(super) fn rows(process: &Process) -> Vec<Row> {
    let from = |name: &'static str| {
        let either = [Origin::Flag(name), Origin::Environment(name)];
        let found = process.set.iter().find(|origin| either.contains(origin));
        found.unwrap_or(&Origin::Default).to_string()
    };
    let (timeouts, limits, tls) = (&process.timeouts, &process.limits, process.tls.as_ref());
    let (peers, cors) = (process.peers.as_ref(), process.cors.as_ref());
    let any = || "*".to_owned();
    let path = |path: Option<&PathBuf>| {
        path.map_or_else(|| NONE.to_owned(), |path| path.display().to_string())
    };
    let text = |text: Option<&String>| text.map_or_else(|| NONE.to_owned(), String::clone);
    let opentelemetry = process.opentelemetry.iter();
    let opentelemetry = opentelemetry.map(|(name, value)| (*name, value.clone(), *name));
    let connections = limits
        .connections
        .map_or_else(|| FROM_DESCRIPTORS.to_owned(), |count| count.to_string());
    [
        ("listen", process.listen.to_string(), "TAILBACK_LISTEN"),
        ("admin", process.admin.to_string(), "TAILBACK_ADMIN"),
        (
            "admin token",
            process
                .admin_token
                .as_ref()
                .map_or(NONE, |_| "set")
                .to_owned(),
            "TAILBACK_ADMIN_TOKEN",
        ),
        (
            "API keys",
            path(process.api_keys.as_ref()),
            "TAILBACK_API_KEYS_FILE",
        ),
        ("workers", process.workers.to_string(), "TAILBACK_WORKERS"),
        ("log", process.log.clone(), "TAILBACK_LOG"),
        (
            "log format",
            process.log_format.to_string(),
            "TAILBACK_LOG_FORMAT",
        ),
        (
            "access log",
            process
                .access_log
                .as_ref()
                .map_or_else(|| NONE.to_owned(), ToString::to_string),
            "TAILBACK_ACCESS_LOG",
        ),
        (
            "scaling period",
            seconds(&process.scaling_period),
            "SELDON_SCALING_STATS_PERIOD_SECONDS",
        ),
        (
            "header timeout",
            seconds(&timeouts.header),
            "TAILBACK_HEADER_TIMEOUT_SECONDS",
        ),
        (
            "keep-alive",
            seconds(&timeouts.keep_alive),
            "TAILBACK_KEEP_ALIVE_SECONDS",
        ),
        (
            "body timeout",
            seconds(&timeouts.body),
            "TAILBACK_BODY_TIMEOUT_SECONDS",
        ),
        (
            "body rate",
            timeouts.body_rate.to_string(),
            "TAILBACK_BODY_MIN_BYTES_PER_SECOND",
        ),
        (
            "half-close",
            process.half_close.to_string(),
            "TAILBACK_HALF_CLOSE",
        ),
        ("drain", seconds(&timeouts.drain), "TAILBACK_DRAIN_SECONDS"),
        (
            "header bytes",
            limits.header_bytes.to_string(),
            "TAILBACK_HEADER_MAX_BYTES",
        ),
        (
            "header fields",
            limits.header_fields.to_string(),
            "TAILBACK_HEADER_MAX_FIELDS",
        ),
        (
            "held bytes",
            limits.held_bytes.to_string(),
            "TAILBACK_HOLD_MAX_BYTES",
        ),
        (
            "memory",
            (limits.memory.limit()).map_or_else(|| NONE.to_owned(), |limit| limit.to_string()),
            "TAILBACK_MEMORY_MAX",
        ),
        ("connections", connections, "TAILBACK_MAX_CONNECTIONS"),
        (
            "tunnel drain",
            seconds(&timeouts.tunnel_drain),
            "TAILBACK_TUNNEL_DRAIN_SECONDS",
        ),
        (
            "upgrade drain",
            seconds(&timeouts.upgrade_drain),
            "TAILBACK_UPGRADE_DRAIN_SECONDS",
        ),
        (
            "skip other kinds",
            process.skip_other_kinds.to_string(),
            SKIP_OTHER_KINDS,
        ),
        (
            "default model",
            text(process.routing.default_model.as_ref()),
            "TAILBACK_DEFAULT_MODEL",
        ),
        (
            "fallback model",
            text(process.routing.fallback_model.as_ref()),
            "TAILBACK_FALLBACK_MODEL",
        ),
        (
            "probes wake",
            process.routing.probes_wake.to_string(),
            "TAILBACK_PROBES_WAKE",
        ),
        (
            "CORS origins",
            cors.map_or_else(
                || NONE.to_owned(),
                |cors| cors.origins.as_ref().map_or_else(any, |all| all.join(", ")),
            ),
            "TAILBACK_CORS_ORIGINS",
        ),
        (
            "CORS methods",
            cors.map_or_else(|| NONE.to_owned(), |cors| listed(&cors.methods)),
            "TAILBACK_CORS_METHODS",
        ),
        (
            "CORS headers",
            cors.map_or_else(
                || NONE.to_owned(),
                |cors| cors.headers.as_ref().map_or_else(any, |all| listed(all)),
            ),
            "TAILBACK_CORS_HEADERS",
        ),
        (
            "CORS max age",
            cors.map_or_else(|| NONE.to_owned(), |cors| seconds(&cors.max_age)),
            "TAILBACK_CORS_MAX_AGE_SECONDS",
        ),
        (
            "TLS certificate",
            path(tls.map(|tls| &tls.cert)),
            "TAILBACK_TLS_CERT",
        ),
        ("TLS key", path(tls.map(|tls| &tls.key)), "TAILBACK_TLS_KEY"),
        (
            "TLS client CA",
            path(tls.and_then(|tls| tls.client_ca.as_ref())),
            "TAILBACK_TLS_CLIENT_CA",
        ),
        (
            "TLS at least",
            tls.map_or("none", |tls| tls.min_version.as_str())
                .to_owned(),
            "TAILBACK_TLS_MIN_VERSION",
        ),
        (
            "cluster models",
            process.cluster_models.as_ref().map_or_else(
                || NONE.to_owned(),
                |models| models.namespace.clone().unwrap_or_else(|| "*".into()),
            ),
            "TAILBACK_KUBE_MODELS",
        ),
        (
            "cluster gateway",
            text(
                process
                    .cluster_models
                    .as_ref()
                    .map(|models| &models.gateway),
            ),
            "TAILBACK_KUBE_GATEWAY",
        ),
        (
            "peers' Service",
            text(peers.map(|peers| &peers.service)),
            "TAILBACK_KUBE_PEERS",
        ),
        (
            "peers' Lease",
            text(peers.map(|peers| &peers.lease)),
            "TAILBACK_KUBE_LEASE",
        ),
        (
            "peers' namespace",
            peers
                .map_or(NONE, |peers| {
                    peers.namespace.as_deref().unwrap_or(OWN_NAMESPACE)
                })
                .to_owned(),
            "TAILBACK_KUBE_NAMESPACE",
        ),
    ]
    .into_iter()
    .chain(placement::rows(&process.placement))
    .chain(opentelemetry)
    .map(|(name, value, variable)| (name, value, from(variable)))
    .collect()
}

fn listed<T: ToString>(all: &[T]) -> String {
    let all: Vec<_> = all.iter().map(T::to_string).collect();
    all.join(", ")
}
