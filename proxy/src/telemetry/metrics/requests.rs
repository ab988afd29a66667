//! Counters of a model's requests. Recording is a few atomic additions, without look-up or lock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tailback_scaler::ledger::SpanRef;

use super::{
    affinity::AffinityCounts,
    exemplars::Exemplars,
    histogram::HistogramReading,
    latencies::{LATENCY, Latencies},
    llm::LlmMetrics,
};
use crate::status::{GrpcCode, MethodType, Outcome, ResponseStatus, RetryReason};

/// The lowest HTTP status code.
const FIRST_STATUS: usize = 100;

/// All method types.
pub(super) const METHODS: [MethodType; 2] = [MethodType::Rest, MethodType::Grpc];

/// The handles that one model's requests record into.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    /// The choice of replicas.
    pub affinity: Arc<AffinityCounts>,
    /// The responses of language models.
    pub llm: Arc<LlmMetrics>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) retries: Arc<Retries>,
    pub(super) questions: Arc<Questions>,
    pub(super) of_model: Arc<ByMethod<MethodMetrics>>,
    pub(super) of_server: Arc<ByMethod<ServerTotals>>,
}

/// Finished requests of a model by outcome, on all servers.
#[derive(Debug, Default)]
pub(super) struct Outcomes([AtomicU64; Outcome::ALL.len()]);

/// Retries of a model by reason, on all servers.
#[derive(Debug, Default)]
pub(super) struct Retries {
    by_reason: [AtomicU64; RetryReason::COUNT],
    refused: AtomicU64,
}

/// Requests about a model, on all servers.
#[derive(Debug, Default)]
pub(super) struct Questions {
    by_replica: AtomicU64,
    by_proxy: AtomicU64,
}

/// Values for each `method_type` of Seldon's metrics.
#[derive(Debug, Default)]
pub(super) struct ByMethod<T> {
    rest: T,
    grpc: T,
}

/// Metrics of one model on one server.
#[derive(Debug, Default)]
pub(super) struct MethodMetrics {
    /// Finished requests by code; index 0 is HTTP status 100, or gRPC code 0.
    codes: Codes,
    /// Finished requests by latency; each counts in the first bucket whose bound is not below its
    /// latency, or in the last one if there is none.
    buckets: [AtomicU64; LATENCY.len() + 1],
    nanos: AtomicU64,
    exemplars: Exemplars,
}

#[derive(Debug)]
struct Codes(Box<[AtomicU64]>);

/// Metrics of all models of a server.
#[derive(Debug, Default)]
pub(super) struct ServerTotals {
    pub requests: AtomicU64,
    /// Sum of their latencies, in nanoseconds.
    pub nanos: AtomicU64,
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// Records a request that ended `latency` after it arrived, and that is traced if it has a
    /// `span`. `status` is the status that its caller got.
    pub fn completed(
        &self,
        outcome: Outcome,
        status: ResponseStatus,
        latency: Duration,
        span: Option<&SpanRef>,
    ) {
        let method = status.method();
        self.outcomes.0[outcome.index()].fetch_add(1, Ordering::Relaxed);
        let code = match status {
            // nginx's code for a client that closed the connection.
            ResponseStatus::Nothing(MethodType::Rest) => 499 - FIRST_STATUS,
            ResponseStatus::Nothing(MethodType::Grpc) => GrpcCode::Cancelled as usize,
            ResponseStatus::Http(status) => {
                usize::from(status.as_u16()).saturating_sub(FIRST_STATUS)
            }
            ResponseStatus::Grpc(code) => code as usize,
        };
        self.of_model.get(method).record(code, latency, span);
        let totals = self.of_server.get(method);
        totals.requests.fetch_add(1, Ordering::Relaxed);
        totals.nanos.fetch_add(nanos(latency), Ordering::Relaxed);
    }

    /// Records a retry.
    pub fn retried(&self, reason: RetryReason) {
        self.retries.by_reason[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Records the end of a request about the model, answered by a replica or by the proxy.
    pub fn asked(&self, by_replica: bool) {
        let questions = &self.questions;
        let count = match by_replica {
            true => &questions.by_replica,
            false => &questions.by_proxy,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a retry that was refused because the budget was used up.
    pub fn retry_refused(&self) {
        self.retries.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of requests that failed because of a replica or the proxy.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let faults = Outcome::ALL.into_iter().filter(|o| o.is_fault());
        faults.map(|outcome| self.outcomes.count(outcome)).sum()
    }

    /// Latencies of the requests that have ended so far, held time included.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        let [rest, grpc] = METHODS.map(|method| self.of_model.get(method).cumulated());
        Latencies(std::array::from_fn(|bucket| rest[bucket] + grpc[bucket]))
    }
}

/// Truncation to 64 bits: overflows after 584 years.
fn nanos(latency: Duration) -> u64 {
    latency.as_nanos() as u64
}

// === impl Outcomes ===

impl Outcomes {
    /// How many requests ended with `outcome`.
    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.0[outcome.index()].load(Ordering::Relaxed)
    }
}

// === impl Retries ===

impl Retries {
    /// How many retries had this reason.
    pub(super) fn count(&self, reason: RetryReason) -> u64 {
        self.by_reason[reason.index()].load(Ordering::Relaxed)
    }

    /// How many retries were refused because the budget was used up.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

// === impl Questions ===

impl Questions {
    /// The counts, by whether a replica or the proxy answered.
    pub(super) fn counts(&self) -> [(&'static str, u64); 2] {
        [
            ("replica", self.by_replica.load(Ordering::Relaxed)),
            ("tailback", self.by_proxy.load(Ordering::Relaxed)),
        ]
    }
}

// === impl ByMethod ===

impl<T> ByMethod<T> {
    pub(super) fn get(&self, method: MethodType) -> &T {
        match method {
            MethodType::Rest => &self.rest,
            MethodType::Grpc => &self.grpc,
        }
    }
}

// === impl Codes ===

impl Default for Codes {
    /// A counter for each HTTP status below 600; gRPC has fewer codes.
    fn default() -> Self {
        Self((FIRST_STATUS..600).map(|_| AtomicU64::new(0)).collect())
    }
}

// === impl MethodMetrics ===

impl MethodMetrics {
    fn record(&self, code: usize, latency: Duration, span: Option<&SpanRef>) {
        if let Some(of_code) = self.codes.0.get(code) {
            of_code.fetch_add(1, Ordering::Relaxed);
        }
        let seconds = latency.as_secs_f64();
        let bucket = LATENCY.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos(latency), Ordering::Relaxed);
        if let Some(span) = span {
            let buckets = self.buckets.len();
            self.exemplars.record(span, seconds, bucket, buckets);
        }
    }

    /// The number of finished requests by code, under the code's label, without codes that never
    /// occurred.
    pub(super) fn codes(&self, method: MethodType) -> impl Iterator<Item = (String, u64)> {
        let counts = self.codes.0.iter().enumerate();
        counts.filter_map(move |(code, count)| {
            let label = match method {
                MethodType::Rest => (code + FIRST_STATUS).to_string(),
                MethodType::Grpc => GrpcCode::ALL.get(code)?.label().to_owned(),
            };
            let count = count.load(Ordering::Relaxed);
            (count > 0).then_some((label, count))
        })
    }

    /// Cumulative counts: requests that took at most each bound, and, last, all requests.
    pub(super) fn cumulated(&self) -> [u64; LATENCY.len() + 1] {
        let mut sum = 0;
        std::array::from_fn(|bucket| {
            sum += self.buckets[bucket].load(Ordering::Relaxed);
            sum
        })
    }

    /// The latencies.
    pub(super) fn read(&self) -> HistogramReading {
        HistogramReading {
            bounds: &LATENCY,
            cumulated: self.cumulated().to_vec(),
            sum: self.seconds(),
            exemplars: self.exemplars.read(),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        seconds(&self.nanos)
    }
}

/// Converts nanoseconds to seconds.
pub(super) fn seconds(nanos: &AtomicU64) -> f64 {
    nanos.load(Ordering::Relaxed) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_counts_in_the_first_bucket_that_it_does_not_exceed() {
        let metrics = MethodMetrics::default();
        for millis in [1, 2, 300_000, 300_001] {
            metrics.record(100, Duration::from_millis(millis), None);
        }
        let cumulated = metrics.cumulated();
        assert_eq!(cumulated[..3], [1, 2, 2], "1 ms, 2.5 ms, 5 ms");
        assert_eq!(cumulated[LATENCY.len() - 1..], [3, 4], "300 s, all");
        assert!((metrics.seconds() - 600.004).abs() < 1e-9);
        let codes: Vec<_> = metrics.codes(MethodType::Rest).collect();
        assert_eq!(codes, [("200".to_owned(), 4)]);
    }

    #[test]
    fn grpc_codes_have_their_names_and_unknown_ones_still_count_in_the_totals() {
        let metrics = MethodMetrics::default();
        metrics.record(GrpcCode::Cancelled as usize, Duration::ZERO, None);
        metrics.record(9_999, Duration::ZERO, None);
        let codes: Vec<_> = metrics.codes(MethodType::Grpc).collect();
        assert_eq!(codes, [(GrpcCode::Cancelled.label().to_owned(), 1)]);
        assert_eq!(metrics.cumulated()[LATENCY.len()], 2);
    }
}
