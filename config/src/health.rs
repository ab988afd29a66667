//! How the health of a server's replicas is judged by what they do with requests.

use std::fmt;
use std::time::Duration;

/// When a replica that fails requests gets none for a while. The names are Envoy's, whose outlier
/// detection this follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Failures in a row after which a replica is ejected. Never 0.
    pub consecutive_failures: u32,
    /// How often the replicas' shares of failed requests are compared. Never zero.
    pub interval: Duration,
    /// A replica is ejected if its share of failed requests in an interval is larger than that of
    /// the other replicas together by this many percentage points; 1 to 100.
    pub failure_percentage_threshold: u32,
    /// Replicas with fewer requests in an interval are not compared. Never 0.
    pub failure_percentage_request_volume: u32,
    /// How long the first ejection takes; the second one twice as long, and so on. Never zero.
    pub base_ejection: Duration,
    /// How long an ejection takes at most; at least `base_ejection`.
    pub max_ejection: Duration,
    /// How many of the replicas may be ejected at once, of 100; 0 to 100.
    pub max_ejection_percent: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            interval: Duration::from_secs(10),
            failure_percentage_threshold: 30,
            failure_percentage_request_volume: 20,
            base_ejection: Duration::from_secs(10),
            max_ejection: Duration::from_secs(300),
            max_ejection_percent: 50,
        }
    }
}

impl fmt::Display for OutlierDetection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "after {} failures in a row, or {} percentage points more than the others in {} s; \
             for {} to {} s, at most {} % at once",
            self.consecutive_failures,
            self.failure_percentage_threshold,
            self.interval.as_secs_f64(),
            self.base_ejection.as_secs_f64(),
            self.max_ejection.as_secs_f64(),
            self.max_ejection_percent,
        )
    }
}
