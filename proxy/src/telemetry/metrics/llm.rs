//! Metrics of language models' responses. Names and buckets are those of OpenTelemetry's
//! conventions for generative AI (`gen-ai-metrics.md`), in Prometheus's form.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde::Serialize;
use tailback_scaler::{clock::Nanos, ledger::SpanRef};

use super::histogram::{Histogram, HistogramReading};
use crate::status::{FinishReason, Generation, Operation};

/// Buckets of `gen_ai.server.time_to_first_token`, in seconds.
const TO_FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Buckets of `gen_ai.server.time_per_output_token`, in seconds.
const PER_OUTPUT_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
/// Buckets of `gen_ai.client.token.usage`.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// The metrics of one model.
#[derive(Debug, Default)]
pub struct LlmMetrics {
    operations: [OperationMetrics; Operation::ALL.len()],
    finished: [AtomicU64; FinishReason::ALL.len()],
    cached_tokens: AtomicU64,
    /// Whether any response contained their number.
    has_cached: AtomicBool,
}

#[derive(Debug)]
pub(super) struct OperationMetrics {
    pub to_first_token: Histogram,
    pub per_output_token: Histogram,
    pub input_tokens: Histogram,
    pub output_tokens: Histogram,
}

impl Default for OperationMetrics {
    fn default() -> Self {
        Self {
            to_first_token: Histogram::of_seconds(TO_FIRST_TOKEN),
            per_output_token: Histogram::of_seconds(PER_OUTPUT_TOKEN),
            input_tokens: Histogram::of_counts(TOKENS),
            output_tokens: Histogram::of_counts(TOKENS),
        }
    }
}

/// A summary for the page of a model, since the start of the process. What no response contained is
/// `None`, because 0 would be a claim.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LlmSummary {
    operations: BTreeMap<&'static str, OperationSummary>,
    cached_tokens: Option<u64>,
    finish_reasons: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OperationSummary {
    input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    time_to_first_token_seconds: Quantiles,
    time_per_output_token_seconds: Quantiles,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl LlmMetrics {
    /// Records the response to a request that arrived at `arrived`, and that is traced if it has a
    /// `span`.
    pub fn record(&self, generation: &Generation, arrived: Nanos, span: Option<&SpanRef>) {
        let metrics = self.of(generation.operation);
        let record = |histogram: &Histogram, time: Option<Duration>| {
            if let Some(time) = time {
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                histogram.record_of(nanos, span);
            }
        };
        record(
            &metrics.to_first_token,
            generation.time_to_first_token(arrived),
        );
        record(
            &metrics.per_output_token,
            generation.time_per_output_token(),
        );
        if let Some(tokens) = generation.input_tokens() {
            metrics.input_tokens.record(tokens);
        }
        if let Some(tokens) = generation.output_tokens() {
            metrics.output_tokens.record(tokens);
        }
        if let Some(tokens) = generation.cached_tokens() {
            self.cached_tokens.fetch_add(tokens, Ordering::Relaxed);
            self.has_cached.store(true, Ordering::Relaxed);
        }
        for (reason, count) in generation.finish.iter() {
            self.finished[reason as usize].fetch_add(u64::from(count), Ordering::Relaxed);
        }
    }

    pub(super) fn of(&self, operation: Operation) -> &OperationMetrics {
        &self.operations[operation as usize]
    }

    /// The number of generations that ended for this reason.
    pub(super) fn finished(&self, reason: FinishReason) -> u64 {
        self.finished[reason as usize].load(Ordering::Relaxed)
    }

    /// Input tokens that came from replicas' caches; `None`: no response contained their number.
    pub(super) fn cached_tokens(&self) -> Option<u64> {
        let has_cached = self.has_cached.load(Ordering::Relaxed);
        has_cached.then(|| self.cached_tokens.load(Ordering::Relaxed))
    }

    /// The summary; `None`: nothing was recorded.
    #[must_use]
    pub fn summary(&self) -> Option<LlmSummary> {
        let operations = Operation::ALL.into_iter().filter_map(|operation| {
            let summary = self.of(operation).summary()?;
            Some((operation.label(), summary))
        });
        let operations: BTreeMap<_, _> = operations.collect();
        let reasons = FinishReason::ALL.into_iter();
        let reasons = reasons.map(|reason| (reason.label(), self.finished(reason)));
        let finish_reasons: BTreeMap<_, _> = reasons.filter(|(_, count)| *count > 0).collect();
        (!operations.is_empty() || !finish_reasons.is_empty()).then(|| LlmSummary {
            operations,
            cached_tokens: self.cached_tokens(),
            finish_reasons,
        })
    }
}

impl OperationMetrics {
    fn summary(&self) -> Option<OperationSummary> {
        let (input, output) = (self.input_tokens.read(), self.output_tokens.read());
        let (first, next) = (self.to_first_token.read(), self.per_output_token.read());
        let all = [&input, &output, &first, &next];
        all.iter().any(|reading| reading.count() > 0).then(|| {
            let quantiles = |reading: &HistogramReading| Quantiles {
                p50: reading.quantile(0.5),
                p99: reading.quantile(0.99),
            };
            let sum = |reading: &HistogramReading| (reading.count() > 0).then_some(reading.sum);
            OperationSummary {
                input_tokens: sum(&input),
                output_tokens: sum(&output),
                time_to_first_token_seconds: quantiles(&first),
                time_per_output_token_seconds: quantiles(&next),
            }
        })
    }
}
