//! Properties of every decision, for any sequence of requests and replicas, on a clock that may
//! stand still, jump or go back.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::policy::Policy;

/// What happens before the next reading.
#[derive(Clone, Debug)]
struct Step {
    /// How far the clock moves; negative: back.
    milliseconds: i64,
    arrive: u64,
    /// In hundredths: the share of requests in flight that leave, and the share of the remaining
    /// ones that wait.
    leave: u64,
    wait: u64,
    ready: u32,
    starting: u32,
    start_up: Option<u64>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let clock = prop_oneof![
        8 => 0i64..3000,
        1 => Just(0),
        1 => -10_000i64..0,
        1 => 0i64..100_000_000,
    ];
    let requests = (
        prop_oneof![3 => 0u64..20, 1 => 0u64..5000],
        0u64..=100,
        0u64..=100,
    );
    let replicas = (0u32..30, 0u32..30, proptest::option::of(0u64..100_000));
    let step = (clock, requests, replicas).prop_map(
        |(milliseconds, (arrive, leave, wait), (ready, starting, start_up))| Step {
            milliseconds,
            arrive,
            leave,
            wait,
            ready,
            starting,
            start_up,
        },
    );
    proptest::collection::vec(step, 1..60)
}

fn limit() -> impl Strategy<Value = Option<RateLimit>> {
    proptest::option::of(
        (1u32..5, 1u64..600).prop_map(|(replicas, seconds)| RateLimit {
            replicas: NonZeroU32::new(replicas).unwrap_or(NonZeroU32::MIN),
            within: Duration::from_secs(seconds),
        }),
    )
}

prop_compose! {
    fn settings()(
        step: bool, (threshold, slots) in (1u32..50, 1u32..50), target in 0u64..10,
        (inactive, stability) in (1u64..1000, 0u64..100),
        (up_limit, down_limit) in (limit(), limit()),
        (min, above) in (0u32..5, 0u32..50),
    ) -> Settings {
        let seconds = Duration::from_secs;
        Settings {
            policy: if step { Policy::LagStep } else { Policy::Lag },
            threshold, slots, up_limit, down_limit, min,
            target_wait: seconds(target),
            inactive: seconds(inactive),
            stability: seconds(stability),
            start: seconds(stability),
            scaled: true,
            max: min + above,
        }
    }
}

/// The ledger's reading after a step. Its counts are exact even if the model scaler's clock is
/// not.
fn next(reading: &Reading, step: &Step) -> Reading {
    let change = Duration::from_millis(step.milliseconds.unsigned_abs());
    let at = match step.milliseconds < 0 {
        true => reading.at - change,
        false => reading.at + change,
    };
    let inside = reading.in_flight() + step.arrive;
    let leave = inside * step.leave / 100;
    let entered = step.arrive.wrapping_mul(at.0);
    Reading {
        at,
        arrived: reading.arrived + step.arrive,
        completed: reading.completed + leave,
        in_flight_integral: (reading.in_flight_integral)
            .wrapping_sub(entered)
            .wrapping_add(leave.wrapping_mul(at.0)),
        held: (inside - leave) * step.wait / 100,
        // All requests that waited before have a slot or have left; other requests wait now.
        held_integral: (reading.held_integral)
            .wrapping_add(reading.held.wrapping_mul(at.0))
            .wrapping_sub(((inside - leave) * step.wait / 100).wrapping_mul(at.0)),
        ..*reading
    }
}

proptest! {
    #[test]
    fn every_decision_is_within_its_bounds_and_limits_and_says_why(
        first in settings(), later in settings(), change in 0usize..60, steps in steps(),
        initial in 0u32..20, capacity in prop_oneof![Just(u32::MAX), 0u32..20],
    ) {
        let mut reading = Reading { at: Nanos::from_duration(Duration::from_secs(100)), ..Reading::default() };
        let mut scaler = ModelScaler::new(first, initial, reading);
        // Desired counts, each with the time from which it was desired.
        let mut asked = vec![(reading.at, initial)];
        let mut latest = reading.at;
        for (number, step) in steps.iter().enumerate() {
            if number == change {
                scaler.configure(later.clone());
                // Older counts are remembered only as far back as the limits looked then.
                asked = vec![(latest, scaler.desired())];
            }
            let settings = scaler.settings().clone();
            reading = next(&reading, step);
            latest = latest.max(reading.at);
            let replicas = Replicas {
                ready: step.ready,
                starting: step.starting,
                capacity,
                start_up: step.start_up.map(Duration::from_millis),
            };
            let before = scaler.desired();
            let Evaluation { seen, decision } = scaler.decide(reading, &replicas);
            let desired = decision.desired;

            prop_assert!(desired <= settings.max, "{decision:?}");
            prop_assert!(desired >= settings.min.min(capacity.max(before)), "{decision:?}");
            prop_assert!(desired <= before.max(capacity), "{decision:?}");
            let demand = seen.demand;
            for figure in [
                demand.service, demand.rate, demand.growth, demand.dispersion, demand.slots, demand.mean_lag,
            ] {
                prop_assert!(figure.is_finite() && figure >= 0.0, "{demand:?}");
            }
            let why: Vec<_> = decision.reasons.iter().map(ToString::to_string).collect();
            let why = why.join("; ");
            prop_assert!(!why.is_empty() && !why.contains("NaN") && !why.contains("inf"), "{why}");

            // If the clock went back, later counts have not happened yet.
            if reading.at == latest {
                let within = |limit: RateLimit| {
                    let from = reading.at - limit.within;
                    let ends = asked.iter().skip(1).map(|&(since, _)| since).chain([latest]);
                    (asked.iter().zip(ends))
                        .filter(move |&(_, until)| until > from)
                        .map(|(&(_, count), _)| count)
                        .chain([before])
                };
                if let Some(limit) = settings.up_limit {
                    let lowest = within(limit).min().unwrap_or(before);
                    let most = lowest.saturating_add(limit.replicas.get());
                    prop_assert!(desired <= most.max(before).max(settings.min), "{why}");
                }
                if let Some(limit) = settings.down_limit {
                    let highest = within(limit).max().unwrap_or(before);
                    let least = highest.saturating_sub(limit.replicas.get());
                    prop_assert!(desired >= least.min(before).min(settings.max), "{why}");
                }
            }
            if desired != before {
                asked.push((latest, desired));
            }
            scaler.adopt(desired, latest);
        }
    }
}
