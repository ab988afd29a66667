//! Metrics: the handles that the data plane records into, resolved once per configuration, and the
//! text of `/metrics`.
//!
//! Process-wide metrics are kept by the recorder of the crate `metrics` for as long as the process
//! runs. Series of models are kept by `store`, which removes them some time after their model; the
//! recorder cannot do that while a handle to a series exists.

mod affinity;
mod exemplars;
mod exposition;
mod histogram;
mod key_counts;
mod latencies;
mod llm;
mod llm_families;
pub mod openmetrics;
mod request_families;
mod requests;
mod series;
mod store;

use metrics::{Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

pub use self::{
    affinity::{AffinityCounts, Preference},
    exposition::Exposition,
    key_counts::KeyCounts,
    latencies::Latencies,
    llm::{LlmMetrics, LlmSummary},
    requests::ModelMetrics,
    store::MetricsStore,
};

/// Upper bounds of the buckets of `tailback_scale_reaction_seconds`, in seconds.
const REACTION: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0,
];

/// Installs the recorder of this process and describes the metrics.
///
/// # Errors
/// If a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    use metrics_exporter_prometheus::Matcher::Full;
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Full("tailback_scale_reaction_seconds".into()), REACTION)?
        .install_recorder()?;
    describe_counter!(
        "tailback_scale_requests_total",
        "Scale requests, by direction and outcome."
    );
    describe_histogram!(
        "tailback_scale_reaction_seconds",
        "Time from the arrival that crossed the threshold to the scale request."
    );
    describe_counter!(
        "tailback_config_reloads_total",
        "Configuration reloads, by outcome."
    );
    describe_gauge!(
        "tailback_config_last_reload_successful",
        "1 while the manifests as they are now are in force, 0 since they were refused."
    );
    describe_gauge!(
        "tailback_downstream_connections",
        "Open connections of callers."
    );
    describe_counter!(
        "tailback_downstream_connections_refused_total",
        "Connections refused at the limit."
    );
    describe_gauge!(
        "tailback_memory_limit_bytes",
        "Memory that the process may have."
    );
    describe_gauge!(
        "tailback_memory_used_bytes",
        "Memory that the process uses, with the buffers of its sockets."
    );
    describe_gauge!(
        "tailback_memory_level",
        "How short memory is: 0 normal, 1 scarce, 2 tight, 3 exhausted."
    );
    describe_counter!(
        "tailback_memory_shed_total",
        "What was refused or closed because memory was short, by reason."
    );
    describe_counter!(
        "tailback_admin_connections_closed_total",
        "Connections on the admin address that were closed to make room."
    );
    describe_counter!(
        "tailback_admin_requests_refused_total",
        "Requests that were refused on the admin address, by reason."
    );
    describe_counter!(
        "tailback_upstream_connections_total",
        "Connections opened to replicas, by outcome."
    );
    describe_counter!(
        "tailback_unrouted_requests_total",
        "Requests for no configured model."
    );
    describe_counter!(
        "tailback_access_log_dropped_total",
        "Finished requests that could not be written to the access log."
    );
    describe_counter!(
        "tailback_traces_dropped_total",
        "Traced requests that did not fit into the queue, and spans that were not exported or were rejected."
    );
    describe_counter!(
        "tailback_log_dropped_total",
        "Log lines that were dropped because standard error did not take them."
    );
    // Created at 0, so that Prometheus sees the first event as an increase.
    for direction in ["up", "down"] {
        for outcome in ["accepted", "dry_run", "failed"] {
            let _ = counter!("tailback_scale_requests_total",
                "direction" => direction, "outcome" => outcome);
        }
    }
    Ok(handle)
}

/// Handles for downstream connections.
#[derive(Debug)]
pub struct DownstreamMetrics {
    /// Connections open now.
    pub connections: metrics::Gauge,
    /// Connections refused at the limit.
    pub connections_refused: Counter,
}

impl Default for DownstreamMetrics {
    fn default() -> Self {
        Self {
            connections: gauge!("tailback_downstream_connections"),
            connections_refused: counter!("tailback_downstream_connections_refused_total"),
        }
    }
}

/// Handles for upstream connections.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// Connections opened.
    pub connects: Counter,
    /// Connections that could not be opened.
    pub connects_failed: Counter,
}

impl Default for UpstreamMetrics {
    fn default() -> Self {
        Self {
            connects: counter!("tailback_upstream_connections_total", "outcome" => "opened"),
            connects_failed: counter!("tailback_upstream_connections_total", "outcome" => "failed"),
        }
    }
}

/// The counter of requests that match no configured model.
pub fn unrouted() -> Counter {
    counter!("tailback_unrouted_requests_total")
}
