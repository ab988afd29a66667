//! A histogram with fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering};

use tailback_scaler::ledger::SpanRef;

use super::{
    exemplars::{Exemplar, Exemplars},
    latencies::quantile,
};

/// Counts each value in the bucket of the first bound that is not below it. Recording is two
/// atomic additions.
#[derive(Debug)]
pub(super) struct Histogram {
    /// In the unit that is shown.
    bounds: &'static [f64],
    /// The number of recorded units in one shown unit.
    scale: f64,
    /// One for each bound, and one for larger values.
    buckets: Box<[AtomicU64]>,
    /// The sum in recorded units.
    sum: AtomicU64,
    exemplars: Exemplars,
}

/// A reading of a histogram.
#[derive(Clone, Debug)]
pub(super) struct HistogramReading {
    pub bounds: &'static [f64],
    /// The number of values up to each bound and, last, of all values.
    pub cumulated: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
    /// The exemplar of each bucket; empty if no recorded request was traced.
    pub exemplars: Vec<Option<Exemplar>>,
}

impl Histogram {
    /// A histogram of whole numbers, such as token counts.
    pub(super) fn of_counts(bounds: &'static [f64]) -> Self {
        Self::new(bounds, 1.0)
    }

    /// A histogram of seconds, recorded as nanoseconds.
    pub(super) fn of_seconds(bounds: &'static [f64]) -> Self {
        Self::new(bounds, 1e9)
    }

    fn new(bounds: &'static [f64], scale: f64) -> Self {
        Self {
            bounds,
            scale,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            exemplars: Exemplars::default(),
        }
    }

    pub(super) fn record(&self, value: u64) {
        self.record_of(value, None);
    }

    /// As [`record`](Self::record), for a request that is traced if it has a `span`.
    pub(super) fn record_of(&self, value: u64, span: Option<&SpanRef>) {
        let shown = value as f64 / self.scale;
        let bucket = self.bounds.partition_point(|bound| *bound < shown);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
        if let Some(span) = span {
            let buckets = self.buckets.len();
            self.exemplars.record(span, shown, bucket, buckets);
        }
    }

    pub(super) fn read(&self) -> HistogramReading {
        let mut sum = 0;
        let cumulate = |count: &AtomicU64| {
            sum += count.load(Ordering::Relaxed);
            sum
        };
        HistogramReading {
            bounds: self.bounds,
            cumulated: self.buckets.iter().map(cumulate).collect(),
            sum: self.sum.load(Ordering::Relaxed) as f64 / self.scale,
            exemplars: self.exemplars.read(),
        }
    }
}

impl HistogramReading {
    /// The number of values.
    pub(super) fn count(&self) -> u64 {
        self.cumulated.last().copied().unwrap_or(0)
    }

    /// The value that a share (0 to 1) of the values does not exceed; `None` if there are no
    /// values.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        quantile(self.bounds, &self.cumulated, share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_first_bucket_that_it_does_not_exceed() {
        let histogram = Histogram::of_seconds(&[0.001, 0.01]);
        for nanos in [1_000_000, 1_000_001, 2_000_000_000] {
            histogram.record(nanos);
        }
        let reading = histogram.read();
        assert_eq!(reading.cumulated, [1, 2, 3]);
        assert_eq!(reading.count(), 3);
        assert!((reading.sum - 2.002_000_001).abs() < 1e-9);
        let tokens = Histogram::of_counts(&[1.0, 4.0]);
        assert_eq!(tokens.read().quantile(0.5), None);
        tokens.record(4);
        assert_eq!(tokens.read().quantile(1.0), Some(4.0));
    }
}
