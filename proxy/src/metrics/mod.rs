//! Metrics: handles that the data plane records into, resolved when a model is
//! configured, and the text that `/metrics` answers.

mod ledgers;
mod text;

use std::{sync::OnceLock, time::Duration};

use http::StatusCode;
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

pub use self::ledgers::render_models;
use crate::outcome::Outcome;

/// Upper bounds of the latency buckets, in seconds.
const LATENCY: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
/// Upper bounds of the reaction buckets, in seconds.
const REACTION: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0,
];

/// A model's handles: recording is an atomic addition, never a look-up.
#[derive(Debug)]
pub struct ModelMetrics {
    model: String,
    server: String,
    outcomes: [Counter; Outcome::ALL.len()],
    seconds: Histogram,
    /// `seldon_model_infer_total` by status code from 100; a code's handle is
    /// resolved when it first occurs.
    codes: Box<[OnceLock<Counter>]>,
    aggregate: Counter,
}

impl ModelMetrics {
    /// The handles of `model` on `server`.
    #[must_use]
    pub fn new(model: &str, server: &str) -> Self {
        let (model, server) = (model.to_owned(), server.to_owned());
        Self {
            outcomes: Outcome::ALL.map(|outcome| {
                counter!("tailback_model_requests_total", "model" => model.clone(), "outcome" => outcome.label())
            }),
            seconds: histogram!("seldon_model_infer_api_seconds",
                "model" => model.clone(), "server" => server.clone(), "method_type" => "rest"),
            codes: (100..600).map(|_| OnceLock::new()).collect(),
            aggregate: counter!("seldon_model_aggregate_infer_total", "server" => server.clone(), "method_type" => "rest"),
            model,
            server,
        }
    }

    /// A request has ended, `latency` after it arrived; `status` is what its
    /// caller was told, if anything.
    pub fn completed(&self, outcome: Outcome, status: Option<StatusCode>, latency: Duration) {
        self.outcomes[outcome.index()].increment(1);
        self.seconds.record(latency.as_secs_f64());
        self.aggregate.increment(1);
        // 499 is what nginx logs for a caller that left.
        let code = status.map_or(499, |s| s.as_u16());
        if let Some(handle) = usize::from(code)
            .checked_sub(100)
            .and_then(|i| self.codes.get(i))
        {
            handle.get_or_init(|| self.code(code)).increment(1);
        }
    }

    #[cold]
    fn code(&self, code: u16) -> Counter {
        counter!("seldon_model_infer_total",
            "model" => self.model.clone(), "server" => self.server.clone(),
            "method_type" => "rest", "code" => code.to_string())
    }
}

/// Installs the recorder of this process and describes the metrics.
///
/// # Errors
/// If there is one already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    use metrics_exporter_prometheus::Matcher::Full;
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Full("seldon_model_infer_api_seconds".into()), LATENCY)?
        .set_buckets_for_metric(Full("tailback_scale_reaction_seconds".into()), REACTION)?
        .install_recorder()?;
    describe_counter!(
        "tailback_model_requests_total",
        "Requests that ended, by how they did."
    );
    describe_counter!(
        "seldon_model_infer_total",
        "Requests that ended, by HTTP status; 499: the caller left."
    );
    describe_counter!(
        "seldon_model_aggregate_infer_total",
        "Requests that ended, of all models of a server."
    );
    describe_histogram!(
        "seldon_model_infer_api_seconds",
        "Time from a request's arrival to its end, held time included."
    );
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
        "tailback_downstream_connections",
        "Open connections of callers."
    );
    describe_counter!(
        "tailback_downstream_connections_refused_total",
        "Connections refused at the limit."
    );
    describe_counter!(
        "tailback_upstream_connections_total",
        "Connections opened to replicas, by outcome."
    );
    describe_counter!(
        "tailback_upstream_retries_total",
        "Requests sent again because that was safe."
    );
    describe_counter!(
        "tailback_unrouted_requests_total",
        "Requests for no configured model."
    );
    Ok(handle)
}

/// Handles that belong to no model.
#[derive(Debug)]
pub struct ProxyMetrics {
    /// Callers' open connections.
    pub connections: metrics::Gauge,
    /// Connections over the limit.
    pub connections_refused: Counter,
    /// Connections opened to replicas.
    pub connects: Counter,
    /// Connections to replicas that could not be opened.
    pub connects_failed: Counter,
    /// Requests sent again.
    pub retries: Counter,
    /// Requests for no model.
    pub unrouted: Counter,
}

impl Default for ProxyMetrics {
    fn default() -> Self {
        Self {
            connections: gauge!("tailback_downstream_connections"),
            connections_refused: counter!("tailback_downstream_connections_refused_total"),
            connects: counter!("tailback_upstream_connections_total", "outcome" => "opened"),
            connects_failed: counter!("tailback_upstream_connections_total", "outcome" => "failed"),
            retries: counter!("tailback_upstream_retries_total"),
            unrouted: counter!("tailback_unrouted_requests_total"),
        }
    }
}
