//! A trace: the requests of a simulation.

use std::time::Duration;

use crate::clock::Nanos;

/// A request: when it arrives, and how long it occupies a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it arrives, on the trace's clock, which starts at 0.
    pub at: Nanos,
    /// Time in service, without any wait.
    pub service: Duration,
}

/// Requests in the order of their arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    requests: Vec<Request>,
}

impl Trace {
    /// Sorts `requests` by arrival.
    #[must_use]
    pub fn new(mut requests: Vec<Request>) -> Self {
        requests.sort_by_key(|request| request.at);
        Self { requests }
    }

    /// The requests in the order of their arrival.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Time from the clock's origin to the last arrival.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.requests
            .last()
            .map_or(Duration::ZERO, |last| last.at.since(Nanos(0)))
    }

    /// Time from the clock's origin until all requests are done, if none waits.
    #[must_use]
    pub fn end(&self) -> Duration {
        let ends = self.requests.iter().map(|r| r.at + r.service);
        ends.max().unwrap_or_default().since(Nanos(0))
    }

    /// The sum of all times in service, in seconds.
    #[must_use]
    pub fn work(&self) -> f64 {
        self.requests
            .iter()
            .map(|request| request.service.as_secs_f64())
            .sum()
    }

    /// A trace with `rate` times as many requests. Each request is repeated as often as the
    /// integer part of `rate`, and once more with the probability of the fraction. Every copy is
    /// delayed by a uniform random time of up to `jitter`, drawn with `seed`.
    #[must_use]
    pub fn times(&self, rate: f64, jitter: Duration, seed: u64) -> Self {
        Self::new(repeat(&self.requests, rate, seed, |request, share| {
            Request {
                at: request.at + jitter.mul_f64(share),
                ..*request
            }
        }))
    }
}

/// Repeats each request as often as the integer part of `rate`, and once more with the probability
/// of the fraction. `copy` gets a random number from 0 to 1 for each copy.
pub(super) fn repeat<T>(
    requests: &[T],
    rate: f64,
    seed: u64,
    copy: impl Fn(&T, f64) -> T,
) -> Vec<T> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (whole, rest) = (rate.max(0.0).floor(), rate.max(0.0).fract());
    let mut copies = Vec::with_capacity((requests.len() as f64 * rate) as usize + 1);
    for request in requests {
        let more = u64::from(rng.f64() < rest);
        for _ in 0..whole as u64 + more {
            copies.push(copy(request, rng.f64()));
        }
    }
    copies
}

impl FromIterator<Request> for Trace {
    fn from_iter<I: IntoIterator<Item = Request>>(requests: I) -> Self {
        Self::new(requests.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_multiplies_requests_and_keeps_their_order() {
        let trace: Trace = (0..1000)
            .map(|i| Request {
                at: Nanos(i * 1_000_000_000),
                service: Duration::from_millis(i),
            })
            .collect();
        let more = trace.times(2.5, Duration::from_secs(2), 7);
        let ratio = more.requests().len() as f64 / 1000.0;
        assert!((2.45..2.55).contains(&ratio), "{ratio}");
        assert!(more.requests().is_sorted_by_key(|r| r.at));
        assert_eq!(more, trace.times(2.5, Duration::from_secs(2), 7), "seeded");
        assert_eq!(trace.times(1.0, Duration::ZERO, 7), trace);
    }
}
