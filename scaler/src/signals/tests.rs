use super::*;
use crate::ledger::{Ledger, Wake};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(s: f64) -> Nanos {
    Nanos::from_duration(Duration::from_secs_f64(s))
}

/// Demand at `end` if each of `arrivals` (seconds) is served for `service` seconds and read each
/// second.
fn watched(arrivals: &[f64], service: f64, end: u32) -> MeasuredDemand {
    let ledger = Ledger::new(1, Wake::default());
    let mut signals = Signals::new(ledger.read_with(|| at(0.0)), &Tuning::default());
    let mut events: Vec<(f64, bool)> = arrivals
        .iter()
        .flat_map(|&t| [(t, true), (t + service, false)])
        .collect();
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut events = events.into_iter().peekable();
    for second in 1..=end {
        while let Some((t, arrives)) = events.next_if(|&(t, _)| t <= f64::from(second)) {
            if arrives {
                ledger.count_in(at(t));
            } else {
                ledger.count_out(at(t));
            }
        }
        signals.observe(ledger.read_with(|| at(f64::from(second))));
    }
    signals.demand(SECOND)
}

#[test]
fn a_steady_load_is_seen_as_what_it_is() {
    let arrivals: Vec<f64> = (0..3000).map(|n| f64::from(n) / 10.0).collect();
    let demand = watched(&arrivals, 2.0, 300);
    assert!((demand.rate - 10.0).abs() < 0.2, "{demand:?}");
    assert!((demand.service - 2.0).abs() < 0.05, "{demand:?}");
    assert!((19.0..25.0).contains(&demand.slots), "λ·S = 20: {demand:?}");
    assert_eq!((demand.growth, demand.idle), (0.0, Duration::ZERO));
    assert_eq!(demand.dispersion, 1.0, "no more than chance");
}

#[test]
fn growth_is_the_slope_of_the_rate() {
    // From 0 to 40 a second in 200 s: 0.2 a second more each second.
    let arrivals: Vec<f64> = (0..4000).map(|n| (f64::from(n) * 10.0).sqrt()).collect();
    let demand = watched(&arrivals, 0.5, 200);
    assert!((0.15..=0.21).contains(&demand.growth), "{demand:?}");
}

#[test]
fn the_first_request_is_no_rush() {
    let ledger = Ledger::new(1, Wake::default());
    let mut signals = Signals::new(ledger.read_with(|| at(0.0)), &Tuning::default());
    ledger.count_in(at(0.007));
    signals.observe(ledger.read_with(|| at(0.007)));
    let demand = signals.demand(SECOND);
    assert!(demand.rate <= 0.2 && demand.slots <= 1.0, "{demand:?}");
}

#[test]
fn a_step_is_not_growth_once_it_is_over() {
    // 5 a second for 10 minutes, then 15.
    let mut arrivals: Vec<f64> = (0..3000).map(|n| f64::from(n) / 5.0).collect();
    arrivals.extend((0..6000).map(|n| 600.0 + f64::from(n) / 15.0));
    let at = |seconds| watched(&arrivals, 0.5, seconds).growth;
    assert!(at(615) > 0.1, "as it comes: {}", at(615));
    // The last five minutes have more arrivals than those before, but did not grow.
    assert!(at(720) < 0.05, "two minutes later: {}", at(720));
}

#[test]
fn what_is_held_is_not_served_however_unevenly_it_comes() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut signals = Signals::new(Reading::default(), &Tuning::default());
    let (mut t, mut in_flight_integral, mut arrived) = (0.0, 0_u64, 0);
    for second in 1..=60_u32 {
        while t < f64::from(second) {
            (in_flight_integral, arrived) = (
                in_flight_integral.wrapping_sub((t * 1e9) as u64),
                arrived + 1,
            );
            t += -(1.0 - rng.f64()).ln() / 10.0;
        }
        signals.observe(Reading {
            at: Nanos::from_duration(Duration::from_secs(second.into())),
            arrived,
            held: arrived,
            in_flight_integral,
            held_integral: in_flight_integral,
            ..Reading::default()
        });
    }
    let service = signals.demand(Duration::from_secs(1)).service;
    assert!(service <= 1.0, "nothing is known of it: {service}");
}

#[test]
fn chance_is_not_growth_and_bursts_are_more_than_chance() {
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut poisson, mut clumps) = (Vec::new(), Vec::new());
    let mut t = 0.0;
    while t < 600.0 {
        t += -(1.0 - rng.f64()).ln() / 10.0;
        poisson.push(t);
    }
    t = 0.0;
    while t < 600.0 {
        t += -(1.0 - rng.f64()).ln();
        clumps.extend([t; 10]);
    }
    let even = watched(&poisson, 1.0, 600);
    assert!(even.dispersion < 1.5, "{even:?}");
    assert_eq!(even.growth, 0.0, "{even:?}");
    let clumped = watched(&clumps, 1.0, 600);
    assert!((5.0..20.0).contains(&clumped.dispersion), "{clumped:?}");
    assert_eq!(clumped.growth, 0.0, "{clumped:?}");
}

#[test]
fn many_that_begin_at_once_do_not_make_requests_long() {
    // 1000 requests of 4 s, all at once: after 2 s none has ended, and 2000 s were served.
    let demand = watched(&[0.5; 1000], 4.0, 2);
    assert!(demand.service <= 4.0, "{demand:?}");
    let demand = watched(&[0.5; 1000], 4.0, 6);
    assert!((3.0..=4.5).contains(&demand.service), "{demand:?}");
}

#[test]
fn what_comes_and_goes_between_two_looks_counts() {
    let demand = watched(&[0.1; 40], 0.5, 1);
    assert_eq!(demand.idle, Duration::ZERO);
    assert!(demand.slots > 5.0, "{demand:?}");
    let later = watched(&[0.1; 40], 0.5, 20);
    assert_eq!(later.idle, Duration::from_secs(19));
}

#[test]
fn start_and_stand_still_are_no_division_by_zero() {
    let ledger = Ledger::new(1, Wake::default());
    let first = ledger.read_with(|| at(1.0));
    let mut signals = Signals::new(first, &Tuning::default());
    signals.observe(first);
    let demand = signals.demand(Duration::ZERO);
    assert_eq!((demand.rate, demand.slots, demand.growth), (0.0, 0.0, 0.0));
}

proptest! {
    #[test]
    fn every_figure_is_finite_and_not_negative(
        looks in proptest::collection::vec((0u64..10_000, 0u64..1000, 0u64..1000, 0u64..2000), 1..50),
        target in 0u64..100,
    ) {
        let mut reading = Reading::default();
        let mut signals = Signals::new(reading, &Tuning::default());
        for (ms, arrived, completed, held) in looks {
            // Clocks that jump or stand still are included.
            reading.at = reading.at + Duration::from_millis(ms * ms);
            reading.arrived += arrived;
            reading.completed = (reading.completed + completed).min(reading.arrived);
            reading.held = held.min(reading.arrived - reading.completed);
            signals.observe(reading);
            let demand = signals.demand(Duration::from_secs(target));
            for figure in [demand.service, demand.rate, demand.dispersion, demand.slots] {
                prop_assert!(figure.is_finite() && figure >= 0.0, "{demand:?}");
            }
            prop_assert!(demand.growth.is_finite(), "{demand:?}");
        }
    }
}

#[test]
fn counts_that_arrive_late_are_no_burst() {
    let at = |s: u64, arrived, completed| Reading {
        at: Nanos::from_duration(Duration::from_secs(s)),
        arrived,
        completed,
        // Each took a second.
        in_flight_integral: completed * 1_000_000_000,
        ..Reading::default()
    };
    let steady = |s| at(s, s, s);
    let mut signals = Signals::new(steady(0), &Tuning::default());
    (1..=70).for_each(|s| signals.observe(steady(s)));
    let before = signals.demand(Duration::from_secs(1));
    // Another proxy is found, with 1000 completed requests and 50 in flight.
    let joined = Reading {
        arrived: 1050,
        completed: 1000,
        in_flight_integral: 70_000_000_000u64.wrapping_mul(50).wrapping_neg(),
        held: 5,
        ..Reading::default()
    };
    signals.correct(&joined);
    signals.observe(steady(71).plus(&joined));
    let after = signals.demand(Duration::from_secs(1));
    assert!(
        (after.rate - before.rate).abs() < 0.1,
        "{after:?} {before:?}"
    );
    assert!(after.growth.abs() < 0.1, "{after:?}");
    assert!((after.mean_lag - 51.0).abs() < 1.0, "it counts: {after:?}");
    // That proxy is lost.
    let lost = Reading::default().minus(&joined);
    signals.correct(&lost);
    signals.observe(steady(72));
    let last = signals.demand(Duration::from_secs(1));
    assert!((last.rate - before.rate).abs() < 0.1, "{last:?}");
    assert!((last.mean_lag - before.mean_lag).abs() < 1.0, "{last:?}");
}
