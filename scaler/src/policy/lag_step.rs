//! `lag-step`: the documented rules of Seldon Core 2, for users who migrate from it.
//!
//! Source: Seldon Core 2 documentation, "Autoscaling of models":
//!
//! 1. Scale up by one when the inference lag of the replicas reaches the threshold.
//! 2. Scale down by one when the model has not been used for the inactive time.
//! 3. Scale only while the model is available: no replica is starting or missing.
//! 4. Never scale below one replica. (If there is none, as with `minReplicas: 0` or a workload
//!    that was found at zero, the first request starts one.)
//!
//! The [constraints](crate::constraints) add bounds, stability time and capacity.

use super::{Observation, Policy, Recommendation, ScalingPolicy, Settings};
use crate::decision::Reason;

/// The policy. It remembers nothing.
#[derive(Debug)]
pub struct LagStep;

impl ScalingPolicy for LagStep {
    fn name(&self) -> &'static str {
        Policy::LagStep.as_str()
    }

    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation {
        recommend(seen, settings)
    }

    fn wake_at(&self, settings: &Settings, desired: u32) -> Option<u64> {
        Some(u64::from(settings.threshold) * u64::from(desired))
    }
}

/// Recommends one step up, one step down, or none.
fn recommend(seen: &Observation, settings: &Settings) -> Recommendation {
    let desired = seen.desired;
    let keep = |reason| Recommendation {
        replicas: desired,
        reason,
    };
    if seen.starting > 0 || seen.ready != desired {
        return keep(Reason::NotAvailable {
            ready: seen.ready,
            desired,
        });
    }
    if desired == 0 && seen.lag() > 0 {
        return Recommendation {
            replicas: 1,
            reason: Reason::NoneThere { lag: seen.lag() },
        };
    }
    let carried = u64::from(settings.threshold) * u64::from(desired.max(1));
    if seen.lag() >= carried {
        return Recommendation {
            replicas: desired.saturating_add(1),
            reason: Reason::LagOverThreshold {
                lag: seen.lag(),
                replicas: desired,
                threshold: settings.threshold,
            },
        };
    }
    if seen.demand.idle >= settings.inactive && desired > 1 {
        return Recommendation {
            replicas: desired - 1,
            reason: Reason::Unused {
                idle: seen.demand.idle,
            },
        };
    }
    keep(Reason::Enough {
        lag: seen.lag(),
        replicas: desired,
        threshold: settings.threshold,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Reading;
    use crate::signals::MeasuredDemand;
    use std::time::Duration;

    #[test]
    fn follows_each_documented_rule() {
        let settings = Settings {
            policy: Policy::LagStep,
            slots: 30,
            max: 10,
            ..Settings::sample()
        };
        struct Case(&'static str, u64, u64, [u32; 3], u32);
        let cases = [
            // rule, lag, idle seconds, [desired, ready, starting], expected
            Case(
                "1: lag below the threshold changes nothing",
                29,
                0,
                [1, 1, 0],
                1,
            ),
            Case("1: lag at the threshold adds one", 30, 0, [1, 1, 0], 2),
            Case(
                "1: one only, however much lag there is",
                3000,
                0,
                [1, 1, 0],
                2,
            ),
            Case("1: the threshold is each replica's", 59, 0, [2, 2, 0], 2),
            Case("1: the threshold is each replica's", 60, 0, [2, 2, 0], 3),
            Case("2: unused, but not for long enough", 0, 599, [3, 3, 0], 3),
            Case(
                "2: unused for the inactive time removes one",
                0,
                600,
                [3, 3, 0],
                2,
            ),
            Case("2: one only, however long unused", 0, 86_400, [3, 3, 0], 2),
            Case("3: not while a replica starts", 300, 0, [2, 1, 1], 2),
            Case("3: not while a replica is missing", 300, 0, [2, 1, 0], 2),
            Case("3: nor down while a replica starts", 0, 600, [3, 2, 1], 3),
            Case("4: never below one", 0, 600, [1, 1, 0], 1),
            Case("4: the first request starts one", 1, 0, [0, 0, 0], 1),
            Case("4: and nothing else does", 0, 600, [0, 0, 0], 0),
        ];
        for Case(rule, lag, idle, [desired, ready, starting], expected) in cases {
            let seen = Observation {
                reading: Reading::inside(lag, 0),
                demand: MeasuredDemand {
                    idle: Duration::from_secs(idle),
                    ..MeasuredDemand::default()
                },
                desired,
                ready,
                starting,
                ..Observation::default()
            };
            let recommendation = recommend(&seen, &settings);
            assert_eq!(
                recommendation.replicas, expected,
                "rule {rule}: {}",
                recommendation.reason
            );
        }
    }
}
