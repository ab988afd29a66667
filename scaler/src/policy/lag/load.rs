//! The load that new replicas will meet: the arrivals until they are ready, and the requests held
//! by then.

use super::{super::Tuning, finite, recurrence::Recurrence};
use crate::{
    policy::{Observation, Settings},
    signals::MeasuredDemand,
};

/// Slots that arrivals will need when a replica that is asked for now is ready, after `start_up`
/// seconds: the slots that they need now, plus their growth, which at most doubles them.
pub(super) fn arriving(demand: &MeasuredDemand, start_up: f64) -> f64 {
    let ahead = demand.growth.max(0.0) * start_up * demand.service;
    demand.slots + ahead.min(demand.slots)
}

/// Further slots that work off the held requests.
///
/// Let B be the request-seconds that wait when new replicas are ready, worked off in the time t.
/// All arrivals meanwhile are late, at a price of p·load·t. And B ÷ t slots cost their start-up
/// and the stability time until they go. The sum is least at t = √(B·(start-up + stability) ÷
/// (p·load)).
pub(super) fn backlog(
    seen: &Observation,
    settings: &Settings,
    recurrence: &Recurrence,
    start_up: f64,
    tuning: &Tuning,
) -> f64 {
    let slots = f64::from(settings.slots.max(1));
    let none = seen.held() == 0;
    // The first replica takes all held requests at once.
    let first = seen.ready == 0 && seen.held() as f64 <= slots;
    if none || first {
        return 0.0;
    }
    let demand = &seen.demand;
    let mean = demand.rate * demand.service;
    let present = demand.slots.max(mean);
    let ready = f64::from(seen.ready) * slots;
    // Starting replicas have on average half of the start-up behind them.
    let until_ready = if seen.starting > 0 {
        start_up / 2.0
    } else {
        start_up
    };
    let lasts = recurrence
        .lasts(seen.ready.saturating_add(1), seen.reading.at)
        .min(until_ready);
    let held = seen.held() as f64 * demand.service;
    let then = held + (present - ready) * lasts + (mean - ready) * (until_ready - lasts);
    let work = finite(then);
    let idle_after = start_up + settings.stability.as_secs_f64();
    let price = tuning.late_price_of_backlog * present.max(slots);
    let drain = (work * idle_after / price).sqrt();
    work / drain.max(tuning.shortest_drain)
}
