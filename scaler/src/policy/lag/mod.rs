//! `lag`: as many replicas as demand needs, and as many in reserve as are worth their cost.
//!
//! Demand is counted in slots, that is, requests served at once; a replica has
//! [`Settings::slots`] of them. Each of several [candidates](Lag::candidates) is a count of
//! replicas with a reason. The highest is recommended:
//!
//! - *in use*: one replica, if the model was used within the inactive time;
//! - *arrivals*: what arrivals need now, plus their growth until a replica that is asked for now
//!   is ready; growth at most doubles it;
//! - *steady load*: what a [steady load](staffing) of the last minute's rate, or of the rate it
//!   grows to by then, needs so that chance makes hardly any request wait;
//! - *backlog*: if requests are held, what is needed to also [work them off](load). Held requests
//!   are work to be done once, and not a lasting load: a policy that reads the queue as
//!   concurrency asks for far too many replicas during a cold start;
//! - *recurring*: replicas that are [worth keeping, or starting](recurrence), because demand for
//!   them keeps coming back;
//! - *in flight*: on the way down, as many as may carry the current lag;
//! - *over the threshold*: one more than desired, if the lag is over what all replicas may carry
//!   and none is starting. At once if the threshold is above the slots of a replica, else if the
//!   mean lag of the last seconds is over it.
//!
//! If the model was unused for the inactive time, the recommendation is the minimum.

mod load;
mod recurrence;
mod staffing;

use std::time::Duration;

use self::recurrence::{Price, Recurrence};
use super::{Observation, Recommendation, ScalingPolicy, Settings, Tuning};
use crate::{decision::Reason, signals};

/// Time between two evaluations: it weighs each second of demand.
const INTERVAL: Duration = Duration::from_secs(1);
/// The age of the measured rate, in seconds: it is the rate in the middle of its window.
const RATE_AGE: f64 = signals::RATE.as_secs() as f64 / 2.0;

/// The policy, and its memory of which counts were needed when.
#[derive(Debug)]
pub struct Lag {
    tuning: Tuning,
    recurrence: Recurrence,
}

impl Lag {
    /// A policy without a memory of demand.
    #[must_use]
    pub fn new(tuning: Tuning) -> Self {
        Self {
            tuning,
            recurrence: Recurrence::new(&tuning),
        }
    }
}

impl ScalingPolicy for Lag {
    fn name(&self) -> &'static str {
        super::Policy::Lag.as_str()
    }

    fn interval(&self) -> Option<Duration> {
        Some(INTERVAL)
    }

    fn recommend(&mut self, seen: &Observation, settings: &Settings) -> Recommendation {
        let idle = seen.demand.idle;
        if idle >= settings.inactive {
            let start_up = self.start_up(seen);
            self.recurrence.see(0, start_up, seen.reading.at);
            return Recommendation {
                replicas: settings.min,
                reason: Reason::Unused { idle },
            };
        }
        let candidates = self.candidates(seen, settings);
        // Of equal candidates the first one wins: they are ordered by how much they explain.
        let mut highest = Recommendation {
            replicas: 0,
            reason: Reason::NoDemand,
        };
        for candidate in candidates.into_iter().flatten() {
            if candidate.replicas > highest.replicas {
                highest = candidate;
            }
        }
        highest
    }

    fn wake_at(&self, settings: &Settings, desired: u32) -> Option<u64> {
        Some(u64::from(settings.threshold) * u64::from(desired) + 1)
    }
}

impl Lag {
    /// Seconds that a start takes, as measured or assumed.
    fn start_up(&self, seen: &Observation) -> f64 {
        let measured = seen.start_up.map(|start_up| start_up.as_secs_f64());
        measured.unwrap_or(self.tuning.unmeasured_start_up)
    }

    /// The candidates, in the order of the module's documentation; `None` where one does not
    /// apply.
    fn candidates(
        &mut self,
        seen: &Observation,
        settings: &Settings,
    ) -> [Option<Recommendation>; 8] {
        let now = seen.reading.at;
        let (slots, threshold) = (settings.slots.max(1), settings.threshold.max(1));
        let per_replica = f64::from(slots);
        let start_up = self.start_up(seen);
        let rate = seen.demand.rate;

        let present_load = self.staffed(rate, seen, settings);
        let present = whole(seen.demand.slots / per_replica)
            .max(present_load)
            .max(u32::from(seen.lag() > 0));
        self.recurrence.see(present, start_up, now);

        let ahead = start_up + RATE_AGE;
        let likely = |replicas: f64| self.recurrence.likely(replicas, ahead, now);
        let growing = load::arriving(&seen.demand, start_up);
        let arriving = likely(growing / per_replica) * per_replica;
        let backlog = load::backlog(seen, settings, &self.recurrence, start_up, &self.tuning);
        let growth = (seen.demand.growth.max(0.0) * ahead).min(rate);
        let coming = likely(f64::from(self.staffed(rate + growth, seen, settings)));
        let price = Price {
            late: self.tuning.late_price,
            start_up,
            max_idle: settings.inactive.as_secs_f64(),
        };
        let kept = self.recurrence.keep(seen.desired, price, now);
        let start_up = Duration::from_secs_f64(start_up);

        let candidate = |replicas, reason: &dyn Fn(u32) -> Reason| {
            Some(Recommendation {
                replicas,
                reason: reason(replicas),
            })
        };
        let (lag, held) = (seen.lag(), seen.held());
        [
            (seen.desired == 0 && lag > 0)
                .then(|| candidate(1, &|_| Reason::NoneThere { lag }))
                .flatten(),
            candidate(whole(finite(arriving) / per_replica), &|replicas| {
                Reason::Demand {
                    lag,
                    held,
                    load: finite(seen.demand.slots),
                    coming: finite(arriving),
                    start_up,
                    replicas,
                    slots,
                }
            }),
            // A replica that exists stays. From 0, it takes a request to start one.
            candidate(u32::from(seen.desired > 0 || lag > 0), &|_| Reason::InUse {
                idle: seen.demand.idle,
                inactive: settings.inactive,
            }),
            candidate(whole(coming).max(present_load), &|replicas| {
                Reason::SteadyLoad {
                    rate: finite(rate),
                    service: finite(seen.demand.service),
                    replicas,
                    slots,
                }
            }),
            (backlog > 0.0)
                .then(|| {
                    let load = finite(arriving + backlog);
                    candidate(whole(load / per_replica), &|replicas| Reason::Backlog {
                        lag,
                        held,
                        load,
                        replicas,
                        slots,
                    })
                })
                .flatten(),
            candidate(kept, &|replicas| Reason::Recurring { replicas, start_up }),
            candidate(
                whole(lag as f64 / f64::from(threshold)).min(seen.desired),
                &|replicas| Reason::InFlight {
                    lag,
                    replicas,
                    threshold,
                },
            ),
            over(seen, slots, threshold)
                .and_then(|reason| candidate(seen.desired.saturating_add(1), &|_| reason.clone())),
        ]
    }

    /// How many replicas a steady load of `rate` requests a second needs.
    fn staffed(&self, rate: f64, seen: &Observation, settings: &Settings) -> u32 {
        let replicas = |dispersion| {
            let load = staffing::OfferedLoad {
                offered: rate * seen.demand.service,
                dispersion,
                service: seen.demand.service,
                target: settings.target_wait.as_secs_f64(),
            };
            let slots = f64::from(settings.slots.max(1));
            staffing::replicas(load, slots, self.tuning.late_price)
        };
        // Arrivals that vary more than a Poisson process may be bursts, which the recurrence
        // already covers.
        let even = replicas(1.0);
        replicas(seen.demand.dispersion).min(self.recurrence.highest().max(even))
    }
}

/// The reason to add a replica: the lag is over what all may carry, and none is starting.
fn over(seen: &Observation, slots: u32, threshold: u32) -> Option<Reason> {
    let on_their_way = seen.starting > 0 || seen.ready < seen.desired;
    if on_their_way && !seen.hangs() {
        return None;
    }
    let replicas = seen.desired;
    let carried = f64::from(threshold) * f64::from(replicas);
    let lag = seen.lag() as f64;
    if threshold > slots {
        return (lag > carried).then_some(Reason::LagOverThreshold {
            lag: seen.lag(),
            replicas,
            threshold,
        });
    }
    // The mean, because a single held request takes the lag over the threshold by chance.
    let mean = seen.demand.mean_lag.min(lag);
    (mean > carried).then_some(Reason::LagStaysOver {
        mean,
        replicas,
        threshold,
    })
}

/// `n`, or 0 if it is negative or not finite.
fn finite(n: f64) -> f64 {
    if n.is_finite() { n.max(0.0) } else { 0.0 }
}

fn whole(n: f64) -> u32 {
    // `as` saturates and turns NaN into 0.
    (n - 1e-9).ceil() as u32
}

#[cfg(test)]
mod tests;
