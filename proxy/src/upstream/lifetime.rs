//! How long a connection to a replica is used. A busy connection would otherwise stay for ever at
//! the address to which it was opened, even if its name resolves to others by now, or a load
//! balancer in between has more of them.

use std::time::Duration;

use tailback_scaler::clock::Nanos;

/// The age from which on a connection takes no further request. Up to a quarter is added at
/// random, so that not all are renewed at once.
const AGE: Duration = Duration::from_secs(300);
/// The number of requests after which it takes no further one.
const REQUESTS: u32 = 100_000;

/// The age of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    end: Nanos,
    requests: u32,
}

impl Lifetime {
    /// A connection that is opened at `now`.
    pub(super) fn begin(now: Nanos) -> Self {
        Self {
            end: now + AGE.mul_f64(1.0 + 0.25 * fastrand::f64()),
            requests: 0,
        }
    }

    /// Counts a request.
    pub(super) fn request(&mut self) {
        self.requests = self.requests.saturating_add(1);
    }

    /// Whether it must take no further request at `now`.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        now >= self.end || self.requests >= REQUESTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_by_age_or_by_requests() {
        let start = Nanos(1_000);
        let mut lifetime = Lifetime::begin(start);
        assert!(!lifetime.is_over(start + Duration::from_secs(299)));
        assert!(lifetime.is_over(start + Duration::from_secs(376)));
        for _ in 0..REQUESTS {
            assert!(!lifetime.is_over(start));
            lifetime.request();
        }
        assert!(lifetime.is_over(start));
    }
}
