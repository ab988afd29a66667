//! How the health of a server's replicas is judged: by what they do with requests, and by probes;
//! and how those that are new or back begin.

use std::fmt;
use std::time::Duration;

use crate::Readiness;

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

/// How replicas are checked once they have become ready. The names are Kubernetes' and Envoy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What they are asked; `None`: what says that they are ready, if they are processes, else
    /// nothing. Never a line of their output.
    pub probe: Option<Readiness>,
    /// From the result of a probe to the next probe. Never zero.
    pub period: Duration,
    /// How long a probe may take. Never zero.
    pub timeout: Duration,
    /// Good results in a row that make an unhealthy replica healthy. Never 0.
    pub healthy_threshold: u32,
    /// Bad results in a row that make a replica unhealthy. Never 0.
    pub unhealthy_threshold: u32,
    /// How long a replica that has requests may send nothing before it is suspected to hang, if
    /// its model was never silent for long; `None`: it is not looked for. Never zero.
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

/// How the share of a replica grows that is new, or gets requests again after it was out for its
/// health. The names are Envoy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowStart {
    /// How long it takes until the replica has a full share. Never zero.
    pub window: Duration,
    /// How the share grows with time, in hundredths: 100 evenly, more fast at first, less slowly at
    /// first. Never 0.
    pub aggression_percent: u32,
    /// The share that it begins with, of 100; 1 to 100.
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
