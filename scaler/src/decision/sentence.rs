//! Writes reasons as sentences with their numbers, for `/models`, `/decisions` and the log.

use std::fmt;

use super::Reason;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Demand {
                lag,
                held,
                load,
                coming,
                start_up,
                replicas,
                slots,
            } => {
                let (now, coming) = (About(*load).to_string(), About(*coming).to_string());
                write!(f, "arrivals need about {now} requests served at once")?;
                if now != coming {
                    let start_up = start_up.as_secs_f64();
                    write!(
                        f,
                        ", and {coming} in {start_up:.0} s, when a replica started now is ready"
                    )?;
                }
                write!(f, ": {} ({})", Each(*replicas, *slots), Inside(*lag, *held))
            }
            Self::SteadyLoad {
                rate,
                service,
                replicas,
                slots,
            } => write!(
                f,
                "{} requests/s that take {} s each, with a reserve for chance: {}",
                About(*rate),
                About(*service),
                Each(*replicas, *slots)
            ),
            Self::Backlog {
                lag,
                held,
                load,
                replicas,
                slots,
            } => write!(
                f,
                "{}: to work off what waits beside what arrives, about {} requests have to be served at once: {}",
                Inside(*lag, *held),
                About(*load),
                Each(*replicas, *slots)
            ),
            Self::Recurring { replicas, start_up } => write!(
                f,
                "demand for {} keeps coming back: to have them ready costs less than to start them again, which takes \
                 {:.0} s",
                Count(*replicas),
                start_up.as_secs_f64()
            ),
            Self::InFlight {
                lag,
                replicas,
                threshold,
            } => write!(
                f,
                "{lag} requests are in flight: {}",
                Each(*replicas, *threshold)
            ),
            Self::InUse { idle, inactive } => write!(
                f,
                "last used {:.0} s ago: one replica stays until the model is unused for {:.0} s (inactiveSeconds)",
                idle.as_secs_f64(),
                inactive.as_secs_f64()
            ),
            Self::NoDemand => f.write_str("no request has come yet"),
            Self::Reference { policy, replicas } => {
                write!(f, "{policy} would ask for {}", Count(*replicas))
            }
            Self::LagOverThreshold {
                lag,
                replicas,
                threshold,
            } => write!(
                f,
                "{lag} requests are in flight, which is as many as {} may carry or more (lagThreshold {threshold} \
                 each): one more",
                Count(*replicas)
            ),
            Self::LagStaysOver {
                mean,
                replicas,
                threshold,
            } => write!(
                f,
                "{} requests were in flight on average of the last 10 s, more than {} may carry (lagThreshold \
                 {threshold} each): one more",
                About(*mean),
                Count(*replicas)
            ),
            Self::NoneThere { lag } => {
                let plural = if *lag == 1 { " is" } else { "s are" };
                write!(
                    f,
                    "{lag} request{plural} in flight and there is no replica: one starts"
                )
            }
            Self::Unused { idle } => write!(f, "unused for {:.0} s", idle.as_secs_f64()),
            Self::Enough {
                lag,
                replicas,
                threshold,
            } => write!(
                f,
                "{} enough for {lag} in flight (lagThreshold {threshold} each)",
                Are(*replicas)
            ),
            Self::NotAvailable { ready, desired } => {
                write!(
                    f,
                    "{ready} of {} ready; no scaling until all are",
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
                    "{wanted} recommended; minReplicas is {min}, maxReplicas {max}"
                )
            }
            Self::NoCapacity { wanted, capacity } => {
                write!(
                    f,
                    "{wanted} recommended, but the server has room for {capacity} only"
                )
            }
            Self::Unstable {
                wanted,
                unchanged,
                stability,
            } => write!(
                f,
                "{wanted} would be enough, but the replicas changed {:.0} s ago; scale-down waits for {:.0} s without a change",
                unchanged.as_secs_f64(),
                stability.as_secs_f64()
            ),
            Self::Unwatched {
                wanted,
                watched,
                needed,
            } => write!(
                f,
                "{wanted} would be enough, but demand has been watched for {:.0} s only; scale-down waits for {:.0} s",
                watched.as_secs_f64(),
                needed.as_secs_f64()
            ),
            Self::Hanging {
                wanted,
                starting,
                stalled,
            } => write!(
                f,
                "{wanted} recommended, but {starting} have been starting for {:.0} s without one becoming ready: \
                 only one more is tried",
                stalled.as_secs_f64()
            ),
            Self::Limited { wanted, limit } => write!(
                f,
                "{wanted} recommended, but the count may change by no more than {limit}"
            ),
            Self::ExternalChange { replicas, quiet } => write!(
                f,
                "somebody else set the count to {replicas}: it is accepted, and not changed in the next {:.0} s",
                quiet.as_secs_f64()
            ),
            Self::Contested { replicas, quiet } => write!(
                f,
                "somebody else keeps changing the count, now to {replicas}: Tailback leaves it alone for {:.0} s; remove \
                 what changes it (such as a HorizontalPodAutoscaler), or set dryRun, or only replicas, on the model",
                quiet.as_secs_f64()
            ),
            Self::Paused { wanted } => {
                write!(
                    f,
                    "{wanted} recommended, but the model is paused: the count stays"
                )
            }
            Self::Manual {
                replicas,
                until,
                by,
            } => write!(
                f,
                "held at {replicas} by an operator ({by}) until {}",
                TimeOfDay(*until)
            ),
            Self::AwaitingState => write!(f, "waiting for the orchestrator to report what runs"),
            Self::Found { replicas } => write!(f, "{replicas} found running, and taken over"),
            Self::Configured { replicas } => write!(f, "{replicas} configured"),
        }
    }
}

/// Several reasons as one sentence.
pub(super) fn join(reasons: &[Reason]) -> String {
    let each: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    each.join("; ")
}

/// "20 in flight, 16 held", or "1 in flight" if none is held: the arrival that wakes a model is
/// counted before it is held.
struct Inside(u64, u64);

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in flight", self.0)?;
        match self.1 {
            0 => Ok(()),
            held => write!(f, ", {held} held"),
        }
    }
}

/// "11 replicas at 8 each".
struct Each(u32, u32);

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} each", Count(self.0), self.1)
    }
}

/// A number with about two significant digits: "0.25", "4", "4.5", "84".
struct About(f64);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            n if n < 0.995 => 2,
            n if n < 9.95 => 1,
            _ => 0,
        };
        let text = format!("{:.decimals$}", self.0);
        let text = match decimals {
            0 => &*text,
            _ => text.trim_end_matches('0').trim_end_matches('.'),
        };
        f.write_str(if text.is_empty() { "0" } else { text })
    }
}

/// "14:05:09 UTC", of seconds since 1970.
struct TimeOfDay(u64);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.0 / 60, self.0 % 60);
        let (hour, minute) = (minutes / 60 % 24, minutes % 60);
        write!(f, "{hour:02}:{minute:02}:{seconds:02} UTC")
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_are_rounded_to_what_matters() {
        for (number, expected) in [
            (0.0, "0"),
            (0.004, "0"),
            (0.256, "0.26"),
            (0.999, "1"),
            (4.0, "4"),
            (4.46, "4.5"),
            (9.97, "10"),
            (83.62, "84"),
            (1234.5, "1234"),
        ] {
            assert_eq!(About(number).to_string(), expected);
        }
    }

    #[test]
    fn a_reason_says_what_is_needed_and_why() {
        let start_up = Duration::from_secs(30);
        let demand = |held, coming| Reason::Demand {
            lag: 20,
            held,
            load: 83.62,
            coming,
            start_up,
            replicas: 42,
            slots: 2,
        };
        for (reason, expected) in [
            (
                Reason::Manual {
                    replicas: 3,
                    until: 1_700_000_000,
                    by: "10.0.0.7".into(),
                },
                "held at 3 by an operator (10.0.0.7) until 22:13:20 UTC",
            ),
            (
                demand(0, 83.62),
                "arrivals need about 84 requests served at once: 42 replicas at 2 each (20 in flight)",
            ),
            (
                demand(16, 90.1),
                "arrivals need about 84 requests served at once, and 90 in 30 s, when a replica started now is ready: \
                 42 replicas at 2 each (20 in flight, 16 held)",
            ),
            (
                Reason::Backlog {
                    lag: 20,
                    held: 16,
                    load: 83.62,
                    replicas: 42,
                    slots: 2,
                },
                "20 in flight, 16 held: to work off what waits beside what arrives, about 84 requests have to be \
                 served at once: 42 replicas at 2 each",
            ),
            (
                Reason::SteadyLoad {
                    rate: 10.04,
                    service: 8.0,
                    replicas: 11,
                    slots: 8,
                },
                "10 requests/s that take 8 s each, with a reserve for chance: 11 replicas at 8 each",
            ),
            (
                Reason::Recurring {
                    replicas: 5,
                    start_up,
                },
                "demand for 5 replicas keeps coming back: to have them ready costs less than to start them again, which \
                 takes 30 s",
            ),
        ] {
            assert_eq!(reason.to_string(), expected);
        }
    }
}
