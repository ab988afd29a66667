//! How the health of a server's replicas is judged (outlier detection and probes), and how a new
//! or recovered replica gets its share of requests (slow start).

use std::fmt;
use std::time::Duration;

use crate::Readiness;

/// When a replica that fails requests is ejected: it gets none for a while. The names are those of
/// Envoy, whose outlier detection this follows.
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
    /// How long the first ejection lasts. The second one lasts twice as long, and so on. Never
    /// zero.
    pub base_ejection: Duration,
    /// How long an ejection lasts at most; at least `base_ejection`.
    pub max_ejection: Duration,
    /// The largest share of the replicas that may be ejected at once, in percent; 0 to 100.
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

/// How replicas are checked once they have become ready. The names are Kubernetes' and Envoy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The probe. `None`: the readiness check if the replicas are processes, else no probe. Never
    /// a readiness check that waits for a line of output.
    pub probe: Option<Readiness>,
    /// The time between a probe's result and the next probe. Never zero.
    pub period: Duration,
    /// How long a probe may take. Never zero.
    pub timeout: Duration,
    /// Successful probes in a row that make an unhealthy replica healthy. Never 0.
    pub healthy_threshold: u32,
    /// Failed probes in a row that make a replica unhealthy. Never 0.
    pub unhealthy_threshold: u32,
    /// How long a replica with requests in flight may send nothing before it is suspected to hang,
    /// unless its model has been silent as long before; `None`: hangs are not looked for. Never
    /// zero.
    pub hang: Option<Duration>,
    /// How long a process may be unhealthy before it is replaced; `None`: it never is. Never zero.
    pub replace_after: Option<Duration>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            probe: None,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            healthy_threshold: 1,
            unhealthy_threshold: 3,
            hang: Some(Duration::from_millis(1500)),
            replace_after: Some(Duration::from_secs(60)),
        }
    }
}

impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "every {} s, unhealthy after {} and healthy after {}",
            self.period.as_secs_f64(),
            self.unhealthy_threshold,
            self.healthy_threshold
        )
    }
}

/// How the share of requests grows for a replica that is new, or that gets requests again after an
/// ejection or failed probes. The names are Envoy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowStart {
    /// The time after which the replica has a full share. Never zero.
    pub window: Duration,
    /// How the share grows over the window, in hundredths: at 100 evenly, above that faster at
    /// first, below that slower at first. Never 0.
    pub aggression_percent: u32,
    /// The share at the beginning, in percent of a full one; 1 to 100.
    pub min_weight_percent: u32,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            aggression_percent: 100,
            min_weight_percent: 10,
        }
    }
}

impl fmt::Display for SlowStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "over {} s from {} %, aggression {}",
            self.window.as_secs_f64(),
            self.min_weight_percent,
            f64::from(self.aggression_percent) / 100.0,
        )
    }
}
