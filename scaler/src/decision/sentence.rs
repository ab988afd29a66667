//! A reason as a sentence with its numbers, for `/models`, `/decisions` and the log.

use std::fmt;

use super::Reason;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demand {
                lag,
                held,
                load,
                replicas,
                slots,
            } => write!(
                f,
                "lag {lag}{}: {load:.2} slots are needed now; with room for growth and chance, {} of {slots}",
                Waiting(*held),
                Count(*replicas)
            ),
            Self::Recurring {
                load,
                slots,
                replicas,
                start_up,
            } => write!(
                f,
                "{load:.2} slots are needed now, a replica has {slots}; but {} needed so often that it is worth not to \
                 wait {:.0} s for a start",
                Are(*replicas),
                start_up.as_secs_f64()
            ),
            Self::LessDemand {
                load,
                slots,
                start_up,
            } => write!(
                f,
                "{load:.2} slots are needed, a replica has {slots}; more would cost more in reserve \
                 than their start of {:.0} s when they are needed again",
                start_up.as_secs_f64()
            ),
            Self::LagOverThreshold {
                lag,
                replicas,
                threshold,
            } => {
                write!(
                    f,
                    "lag {lag} reached {threshold} for each of {}",
                    Count(*replicas)
                )
            }
            Self::LagStaysOver {
                mean,
                replicas,
                threshold,
            } => write!(
                f,
                "lag has been {mean:.1} on average of the last 10 s, over {threshold} for each of {}",
                Count(*replicas)
            ),
            Self::NoneThere { lag } => {
                write!(f, "lag {lag}, and no replica is asked for: one at least")
            }
            Self::Unused { idle } => write!(f, "unused for {:.0} s", idle.as_secs_f64()),
            Self::Enough {
                lag,
                replicas,
                threshold,
            } if *lag > u64::from(*threshold) * u64::from(*replicas) => {
                write!(
                    f,
                    "lag {lag} is over {threshold} for each of {}; but that is enough to work it off",
                    Count(*replicas)
                )
            }
            Self::Enough {
                lag,
                replicas,
                threshold,
            } => {
                write!(
                    f,
                    "lag {lag}: {} enough, at {threshold} each",
                    Are(*replicas)
                )
            }
            Self::NotAvailable { ready, desired } => {
                write!(
                    f,
                    "{ready} of {} ready; no step before all are",
                    Are(*desired)
                )
            }
            Self::NotScaled { replicas } => {
                write!(
                    f,
                    "fixed at {replicas}: neither minReplicas nor maxReplicas is set"
                )
            }
            Self::Followed { replicas } => write!(
                f,
                "{replicas}, as the workload has it: none of minReplicas, maxReplicas and replicas is set"
            ),
            Self::Bounded { wanted, min, max } => {
                write!(
                    f,
                    "{wanted} wanted, bounded by minReplicas {min} and maxReplicas {max}"
                )
            }
            Self::NoCapacity { wanted, capacity } => {
                write!(
                    f,
                    "{wanted} wanted, but the server has room for {capacity} only"
                )
            }
            Self::Unstable {
                wanted,
                unchanged,
                stability,
            } => write!(
                f,
                "{wanted} would do, but the replicas changed {:.0} s ago; scale-down waits for {:.0} s without a change",
                unchanged.as_secs_f64(),
                stability.as_secs_f64()
            ),
            Self::Unwatched {
                wanted,
                watched,
                needed,
            } => write!(
                f,
                "{wanted} would do, but demand has been watched for {:.0} s only; scale-down waits for {:.0} s",
                watched.as_secs_f64(),
                needed.as_secs_f64()
            ),
            Self::Hanging {
                wanted,
                starting,
                stalled,
            } => write!(
                f,
                "{wanted} wanted, but {starting} have been starting for {:.0} s without one getting ready: \
                 only one more is tried",
                stalled.as_secs_f64()
            ),
            Self::Limited { wanted, limit } => write!(
                f,
                "{wanted} wanted, but the count may change by no more than {limit}"
            ),
            Self::ExternalChange { replicas, quiet } => write!(
                f,
                "somebody else set the count to {replicas}: it is taken over; nothing is asked for in the next {:.0} s",
                quiet.as_secs_f64()
            ),
            Self::Contested { replicas, quiet } => write!(
                f,
                "somebody else keeps changing the count, now to {replicas}: it is left to them for {:.0} s; remove \
                 what changes it (such as a HorizontalPodAutoscaler), or set dryRun, or replicas alone, on the model",
                quiet.as_secs_f64()
            ),
            Self::Paused { wanted } => {
                write!(
                    f,
                    "{wanted} wanted, but the model is paused: nothing is asked for"
                )
            }
            Self::AwaitingState => write!(f, "waiting to hear what runs"),
            Self::Found { replicas } => write!(f, "{replicas} found, and taken over"),
            Self::Configured { replicas } => write!(f, "{replicas} configured"),
        }
    }
}

/// Several of them.
pub(super) fn join(reasons: &[Reason]) -> String {
    let each: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    each.join("; ")
}

/// " (3 held)". Nothing for none: the arrival that wakes a model is looked at
/// before it is held.
struct Waiting(u64);

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            held => write!(f, " ({held} held)"),
        }
    }
}

/// "1 replica", "2 replicas".
struct Count(u32);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} replica{plural}", self.0)
    }
}

/// "1 replica is", "2 replicas are".
struct Are(u32);

impl fmt::Display for Are {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.0 == 1 { "is" } else { "are" };
        write!(f, "{} {verb}", Count(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_said_where_somebody_does() {
        for (held, expected) in [(0, "lag 9: 9.00 slots"), (3, "lag 9 (3 held): 9.00 slots")] {
            let reason = Reason::Demand {
                lag: 9,
                held,
                load: 9.0,
                replicas: 2,
                slots: 8,
            };
            let said = reason.to_string();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
