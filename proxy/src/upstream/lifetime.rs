//! How long a connection to a replica may be used. A busy one would stay for ever at the address that
//! it was opened to, although its name stands for others by now, or a balancer in between has more
//! of them.

use std::time::Duration;

use tailback_scaler::clock::Nanos;

/// The age from which on it takes no further request: this, and up to a quarter more, so that not
/// all are opened anew at once.
const AGE: Duration = Duration::from_secs(300);
/// Most requests.
const REQUESTS: u32 = 100_000;

/// The age of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    end: Nanos,
    requests: u32,
}

impl Lifetime {
    /// Of a connection that is opened at `now`.
    pub(super) fn begin(now: Nanos) -> Self {
        Self {
            end: now + AGE.mul_f64(1.0 + 0.25 * fastrand::f64()),
            requests: 0,
        }
    }

    /// It takes one more request.
    pub(super) fn request(&mut self) {
        self.requests = self.requests.saturating_add(1);
    }

    /// Whether it is to take no further one, at `now`.
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
