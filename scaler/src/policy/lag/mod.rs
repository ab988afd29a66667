//! `lag`: as many replicas as demand needs, and as are worth having in reserve.
//!
//! Demand is counted in slots: requests served at once, of which a replica has
//! [`Settings::slots`]. The number of replicas is the highest of
//!
//! - those that what arrives needs now, and what it grows by until a replica
//!   that is asked for now is ready, at most doubling it;
//! - those that a [steady load](staffing) needs, of the last minute's rate or of
//!   that which it grows to until then, so that chance makes hardly anyone wait;
//! - where requests are held, those that also [work off the backlog](backlog):
//!   what waits is work to be done once, not a lasting load. To read the queue
//!   as concurrency asks for far too much during a cold start;
//! - those that are [worth keeping, or starting](recurrence), because demand comes
//!   back sooner than they would start;
//! - one more than there are, where lag is over what all may carry and none is
//!   on its way, at once if a replica may carry more than its slots, else if it
//!   stays so; and, going down, as many as carry the present lag.
//!
//! Unused for the inactive time, it is the minimum.

mod recurrence;
mod staffing;

use std::time::Duration;

use self::recurrence::{Price, Recurrence};
use super::{Observation, Recommendation, Settings};
use crate::{clock::Nanos, decision::Reason, signals};

/// Start-up time assumed before one has been measured.
const UNMEASURED_START_UP: Duration = Duration::from_secs(30);
/// What late work costs, as a multiple of the idle slot that would have prevented it.
const LATE: f64 = 40.0;
/// The same while a backlog is worked off: less, as replicas for it go together,
/// and so not before the last of them was there for the stability time.
const LATE_MEANWHILE: f64 = 30.0;
/// The rate is that of the middle of its window, so many seconds ago.
const RATE_AGE: f64 = signals::RATE.as_secs() as f64 / 2.0;
/// A backlog is not worked off faster than this, in seconds.
const SHORTEST_DRAIN: f64 = 2.0;

/// What it remembers: which numbers of replicas were needed when.
#[derive(Clone, Debug, Default)]
pub struct LagState {
    recurrence: Recurrence,
}

/// See the [module](self).
pub fn recommend(
    seen: &Observation,
    settings: &Settings,
    state: &mut LagState,
    now: Nanos,
) -> Recommendation {
    let idle = seen.demand.idle;
    let start_up = seen.start_up.unwrap_or(UNMEASURED_START_UP).as_secs_f64();
    if idle >= settings.inactive {
        state.recurrence.see(0, start_up, now);
        return Recommendation {
            replicas: settings.min,
            reason: Reason::Unused { idle },
        };
    }
    let (slots, threshold) = (settings.slots.max(1), settings.threshold.max(1));
    let highest = state.recurrence.highest();
    let staffed = |rate: f64| {
        let replicas = |dispersion| {
            let load = staffing::Load {
                offered: rate * seen.demand.service,
                dispersion,
                service: seen.demand.service,
                target: settings.target_wait.as_secs_f64(),
            };
            staffing::replicas(load, f64::from(slots), LATE)
        };
        // What makes arrivals uneven may be bursts that are known.
        let even = replicas(1.0);
        replicas(seen.demand.dispersion).min(highest.max(even))
    };
    let rate = seen.demand.rate;
    let used = staffed(rate).max(u32::from(seen.lag > 0));
    let present = whole(seen.demand.slots / f64::from(slots)).max(used);
    state.recurrence.see(present, start_up, now);
    let price = Price {
        late: LATE,
        start_up,
        max_idle: settings.inactive.as_secs_f64(),
    };
    let kept = state.recurrence.keep(seen.desired, price, now);

    let ahead = start_up + RATE_AGE;
    let likely = |replicas: f64| state.recurrence.likely(replicas, ahead, now);
    let arriving = likely(load(seen, start_up) / f64::from(slots)) * f64::from(slots);
    let load = finite(arriving + backlog(seen, settings, &state.recurrence, now));
    let growth = seen.demand.growth.max(0.0);
    let coming = likely(f64::from(staffed(rate + (growth * ahead).min(rate))));
    let needed = whole(load / f64::from(slots)).max(whole(coming)).max(used);
    let carries = whole(seen.lag as f64 / f64::from(threshold)).min(seen.desired);
    // In use within the inactive time: a model does not go to zero yet. One that
    // begins there stays until it is asked for.
    let last = u32::from(seen.desired > 0);
    let replicas = needed.max(kept).max(carries).max(last);
    if replicas <= seen.desired
        && let Some(reason) = over(seen, slots, threshold)
    {
        return Recommendation {
            replicas: seen.desired.saturating_add(1),
            reason,
        };
    }
    let reason = if replicas < seen.desired {
        Reason::LessDemand {
            load,
            slots,
            start_up: Duration::from_secs_f64(start_up),
        }
    } else if replicas == seen.desired {
        Reason::Enough {
            lag: seen.lag,
            replicas,
            threshold,
        }
    } else if kept > needed {
        Reason::Recurring {
            load,
            slots,
            replicas,
            start_up: Duration::from_secs_f64(start_up),
        }
    } else {
        Reason::Demand {
            lag: seen.lag,
            held: seen.held,
            load,
            replicas,
            slots,
        }
    };
    Recommendation { replicas, reason }
}

/// Whether lag is over what the replicas may carry, and none is on its way.
fn over(seen: &Observation, slots: u32, threshold: u32) -> Option<Reason> {
    let on_their_way = seen.starting > 0 || seen.ready < seen.desired;
    if on_their_way && !seen.hangs() {
        return None;
    }
    let replicas = seen.desired;
    let carried = f64::from(threshold) * f64::from(replicas);
    let lag = seen.lag as f64;
    if threshold > slots {
        return (lag > carried).then_some(Reason::LagOverThreshold {
            lag: seen.lag,
            replicas,
            threshold,
        });
    }
    // A single held request takes lag over the threshold: chance does that.
    let mean = seen.demand.mean_lag.min(lag);
    (mean > carried).then_some(Reason::LagStaysOver {
        mean,
        replicas,
        threshold,
    })
}

/// Slots that arrivals need now, and by the time a replica asked for now is ready.
fn load(seen: &Observation, start_up: f64) -> f64 {
    let demand = &seen.demand;
    let ahead = demand.growth.max(0.0) * start_up * demand.service;
    demand.slots + ahead.min(demand.slots)
}

/// Further slots that work off what is held.
///
/// What will be waiting once new replicas are there, B request-seconds, is
/// drained over t: all that arrives meanwhile is late, at a price of LATE·load·t,
/// and B ÷ t slots cost their start and the stability time until they go. The sum
/// is least at t = √(B·(D + stability) ÷ (LATE·load)).
fn backlog(seen: &Observation, settings: &Settings, recurrence: &Recurrence, now: Nanos) -> f64 {
    let none = seen.held == 0;
    // The first replica takes them all at once.
    let first = seen.ready == 0 && seen.held <= u64::from(settings.slots.max(1));
    if none || first {
        return 0.0;
    }
    let demand = &seen.demand;
    let slots = f64::from(settings.slots.max(1));
    let start_up = seen.start_up.unwrap_or(UNMEASURED_START_UP).as_secs_f64();
    let mean = demand.rate * demand.service;
    let present = demand.slots.max(mean);
    let ready = f64::from(seen.ready) * slots;
    // Those that are starting have on average half of it behind them.
    let until_ready = if seen.starting > 0 {
        start_up / 2.0
    } else {
        start_up
    };
    let lasts = recurrence
        .lasts(seen.ready.saturating_add(1), now)
        .min(until_ready);
    let held = seen.held as f64 * demand.service;
    let then = held + (present - ready) * lasts + (mean - ready) * (until_ready - lasts);
    let work = finite(then);
    let idle_after = start_up + settings.stability.as_secs_f64();
    let drain = (work * idle_after / (LATE_MEANWHILE * present.max(slots))).sqrt();
    work / drain.max(SHORTEST_DRAIN)
}

/// `n` if it is a number and not below zero; else zero.
fn finite(n: f64) -> f64 {
    if n.is_finite() { n.max(0.0) } else { 0.0 }
}

fn whole(n: f64) -> u32 {
    // `as` saturates, and turns NaN into 0.
    (n - 1e-9).ceil() as u32
}

#[cfg(test)]
mod tests;
