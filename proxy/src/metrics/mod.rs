//! Metrics: handles that the data plane records into, resolved when a model is
//! configured, and the text that `/metrics` answers.

mod ledgers;
mod seconds;
mod text;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

pub use self::ledgers::render_models;
use crate::{
    downstream::{Method, Told},
    grpc::Code,
    outcome::Outcome,
};

/// The lowest status of HTTP.
const FIRST_STATUS: usize = 100;

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
    rest: MethodMetrics,
    grpc: MethodMetrics,
}

/// What Seldon's metrics have for each `method_type`.
#[derive(Debug)]
struct MethodMetrics {
    seconds: Histogram,
    /// `seldon_model_infer_total` by code: HTTP's from 100, gRPC's from 0. A
    /// code's handle is resolved when it first occurs.
    codes: Box<[OnceLock<Counter>]>,
    aggregate: Counter,
    /// Nanoseconds that requests have taken that have ended: those of the same
    /// model before a reload as well.
    nanos: Arc<AtomicU64>,
}

impl ModelMetrics {
    /// The handles of `model` on `server`.
    #[must_use]
    pub fn new(model: &str, server: &str) -> Self {
        let of = |method| MethodMetrics::new(model, server, method);
        let (rest, grpc) = (of(Method::Rest), of(Method::Grpc));
        let (model, server) = (recorder_label(model), server.to_owned());
        Self {
            outcomes: Outcome::ALL.map(|outcome| {
                counter!("tailback_model_requests_total", "model" => model.clone(), "outcome" => outcome.label())
            }),
            rest,
            grpc,
            model,
            server,
        }
    }

    /// A request has ended, `latency` after it arrived; `told` is what its
    /// caller was told.
    pub fn completed(&self, outcome: Outcome, told: Told, latency: Duration) {
        self.outcomes[outcome.index()].increment(1);
        let of_method = self.of(told.method());
        of_method.seconds.record(latency.as_secs_f64());
        of_method.aggregate.increment(1);
        // Wraps after centuries.
        of_method
            .nanos
            .fetch_add(latency.as_nanos() as u64, Ordering::Relaxed);
        let place = match told {
            // 499 is what nginx logs for a caller that left.
            Told::Nothing(Method::Rest) => 499 - FIRST_STATUS,
            Told::Nothing(Method::Grpc) => Code::Cancelled as usize,
            Told::Http(status) => usize::from(status.as_u16()).saturating_sub(FIRST_STATUS),
            Told::Grpc(code) => code as usize,
        };
        if let Some(handle) = of_method.codes.get(place) {
            handle
                .get_or_init(|| self.code(told.method(), place))
                .increment(1);
        }
    }

    fn of(&self, method: Method) -> &MethodMetrics {
        match method {
            Method::Rest => &self.rest,
            Method::Grpc => &self.grpc,
        }
    }

    #[cold]
    fn code(&self, method: Method, place: usize) -> Counter {
        let code = match method {
            Method::Rest => (place + FIRST_STATUS).to_string(),
            Method::Grpc => Code::ALL[place].label().to_owned(),
        };
        counter!("seldon_model_infer_total",
            "model" => self.model.clone(), "server" => self.server.clone(),
            "method_type" => method.label(), "code" => code)
    }
}

/// A label's value as the recorder wants it: of backslashes it takes pairs for escaped ones, so
/// that two names that differ by one would become the same series.
fn recorder_label(value: &str) -> String {
    value.replace('\\', r"\\")
}

impl MethodMetrics {
    fn new(model: &str, server: &str, method: Method) -> Self {
        let nanos = seconds::nanos(model, server, method);
        let (model, server) = (recorder_label(model), server.to_owned());
        let codes = match method {
            Method::Rest => 600 - FIRST_STATUS,
            Method::Grpc => Code::ALL.len(),
        };
        Self {
            nanos,
            seconds: histogram!("seldon_model_infer_api_seconds",
                "model" => model, "server" => server.clone(), "method_type" => method.label()),
            codes: (0..codes).map(|_| OnceLock::new()).collect(),
            aggregate: counter!("seldon_model_aggregate_infer_total",
                "server" => server, "method_type" => method.label()),
        }
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
        "Requests that ended, by status of HTTP or gRPC; 499, Canceled: the caller left."
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
    describe_counter!(
        "tailback_scale_decisions_total",
        "Decisions to change a model's count, by what wanted it and what held it back."
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
    describe_counter!(
        "tailback_access_log_dropped_total",
        "Finished requests that could not be written to the access log."
    );
    // There from the beginning, so that the first one is an increase.
    for direction in ["up", "down"] {
        for outcome in ["accepted", "dry_run", "failed"] {
            let _ = counter!("tailback_scale_requests_total",
                "direction" => direction, "outcome" => outcome);
        }
    }
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
