//! Latency quantiles between two readings of a histogram. Pure.

/// Upper bounds of the latency buckets, in seconds.
pub(super) const LATENCY: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Cumulative bucket counts: how many requests took at most each bound of `LATENCY`, and, last,
/// the number of all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latencies(pub(super) [u64; LATENCY.len() + 1]);

impl Latencies {
    /// The latency in seconds that a share `quantile` (0 to 1) of the requests since `before` did
    /// not exceed. `None` if there were no requests. A quantile above the last bound is reported as that bound.
    #[must_use]
    pub fn quantile_since(&self, before: &Self, quantile: f64) -> Option<f64> {
        let counts: [u64; LATENCY.len() + 1] =
            std::array::from_fn(|i| self.0[i].saturating_sub(before.0[i]));
        self::quantile(&LATENCY, &counts, quantile)
    }
}

/// The value that a share (0 to 1) of values does not exceed, interpolated within its bucket like
/// Prometheus's `histogram_quantile`. `counts` has the number of values up to each of `bounds`
/// and, last, of all values.
pub(super) fn quantile(bounds: &[f64], counts: &[u64], share: f64) -> Option<f64> {
    let all = *counts.last()?;
    if all == 0 {
        return None;
    }
    let rank = share * all as f64;
    let bucket = counts.iter().position(|count| *count as f64 >= rank)?;
    let Some(&upper) = bounds.get(bucket) else {
        return bounds.last().copied();
    };
    let (lower, below) = match bucket.checked_sub(1) {
        Some(previous) => (bounds[previous], counts[previous]),
        None => (0.0, 0),
    };
    let within = (counts[bucket] - below) as f64;
    let share = match within > 0.0 {
        true => (rank - below as f64) / within,
        false => 1.0,
    };
    Some(lower + (upper - lower) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latencies with the given number of requests in each bucket, by its index.
    fn of(counts: &[(usize, u64)]) -> Latencies {
        let mut cumulated = [0; LATENCY.len() + 1];
        for (bucket, count) in counts {
            for sum in &mut cumulated[*bucket..] {
                *sum += count;
            }
        }
        Latencies(cumulated)
    }

    #[test]
    fn a_quantile_lies_within_its_bucket_and_counts_only_what_is_new() {
        let none = of(&[]);
        assert_eq!(none.quantile_since(&none, 0.5), None);
        let ten = of(&[(3, 10)]);
        // Bucket 3 spans 5 ms to 10 ms.
        let median = ten.quantile_since(&none, 0.5).unwrap();
        assert!((median - 0.0075).abs() < 1e-9, "{median}");
        assert_eq!(ten.quantile_since(&ten, 0.5), None);
        let more = of(&[(3, 10), (9, 90)]);
        let median = more.quantile_since(&ten, 0.5).unwrap();
        assert!((0.5..=1.0).contains(&median), "{median}");
        let slow = of(&[(LATENCY.len(), 1)]);
        assert_eq!(slow.quantile_since(&none, 0.99), Some(300.0));
    }
}
