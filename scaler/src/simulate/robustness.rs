//! Tests of the live policy when things go wrong, and when nothing changes.

use super::{
    shapes::{self, Shape},
    *,
};
use crate::{clock::Nanos, policy::Policy};
use std::time::Duration;

const HOUR: f64 = 3600.0;

fn run(trace: &Trace, conditions: Conditions, min: u32, max: u32) -> SimulationResult {
    let conditions = Conditions {
        timeline: Some(Duration::from_secs(1)),
        ..conditions
    };
    let setup = Setup::new(conditions, None, min, max);
    let found = Comparison::run(trace, &[Contender::Live(Policy::Lag)], &setup);
    found.outcomes.into_iter().next().unwrap()
}

/// The timeline after the first ten minutes.
fn settled(outcome: &SimulationResult) -> &[Slice] {
    &outcome.timeline[600..]
}

/// How often the count changed after the first ten minutes.
fn changes(outcome: &SimulationResult) -> usize {
    settled(outcome)
        .windows(2)
        .filter(|pair| pair[0].desired.most != pair[1].desired.most)
        .count()
}

/// Requests of one length at equal intervals, without chance.
fn even(rate: f64, service: f64, seconds: f64) -> Trace {
    (0..(rate * seconds) as u64)
        .map(|n| Request {
            at: Nanos::from_duration(Duration::from_secs_f64(n as f64 / rate)),
            service: Duration::from_secs_f64(service),
        })
        .collect()
}

#[test]
fn constant_load_is_left_alone() {
    for (rate, service, concurrency) in [
        (10.0, 1.0, 8),
        (3.0, 4.0, 1),
        (50.0, 0.1, 1),
        (7.0, 9.0, 64),
    ] {
        let conditions = Conditions {
            concurrency: Some(concurrency),
            ..Conditions::default()
        };
        let outcome = run(&even(rate, service, HOUR), conditions, 1, 1000);
        let changes = changes(&outcome);
        // The reserve from the cold start may be given up.
        assert!(
            changes <= 2,
            "{rate}/s of {service} s on {concurrency}: {changes} changes"
        );
    }
}

#[test]
fn chance_changes_the_count_hardly_ever() {
    let mut all = 0;
    for seed in 1..=4 {
        for (concurrency, start_up) in [(1, 30), (8, 30), (8, 120), (64, 30)] {
            let conditions = Conditions {
                concurrency: Some(concurrency),
                start_up: StartUp::Constant(Duration::from_secs(start_up)),
                ..Conditions::default()
            };
            let found = changes(&run(&Shape::Steady.trace(seed), conditions, 1, 1000));
            assert!(
                found <= 15,
                "{found} in 50 min: seed {seed}, {concurrency}, {start_up} s"
            );
            all += found;
        }
    }
    // 16 runs of 5 times ten minutes each.
    assert!(all <= 80, "{all} changes: more than one in ten minutes");
}

#[test]
fn a_cold_start_asks_for_no_more_than_it_will_need() {
    // From zero, 10 requests a second of 0.5 s each: one replica of 8 slots, and held requests to
    // work off.
    for (start_up, most) in [(30, 15), (120, 25)] {
        let conditions = Conditions {
            concurrency: Some(8),
            start_up: StartUp::Constant(Duration::from_secs(start_up)),
            ..Conditions::default()
        };
        for seed in 1..=4 {
            let trace = shapes::spread(&[600; 15], Duration::from_secs(60), 0.5, seed);
            let peak = run(&trace, conditions.clone(), 0, 1000).peak;
            assert!(peak <= most, "{peak} after {start_up} s, seed {seed}");
        }
    }
}

#[test]
fn starts_that_hang_get_one_more_try_at_a_time() {
    let conditions = Conditions {
        start_up: StartUp::Never,
        ..Conditions::default()
    };
    let trace = Shape::Steady.trace(1).times(4.0, Duration::from_secs(2), 1);
    let outcome = run(&trace, conditions, 1, 10_000);
    let at = |minute: usize| outcome.timeline[minute * 60].desired.most;
    let first = at(3);
    for minute in 4..60 {
        let tried = (60 * (minute as u64 - 2)).div_ceil(120) + 1;
        assert!(
            at(minute) <= first + tried,
            "{} in minute {minute}, after {first}",
            at(minute)
        );
    }
    assert!(at(59) > first, "nor are they waited for");
}

#[test]
fn with_room_for_three_of_ten_it_asks_for_no_more_and_keeps_what_it_has() {
    let conditions = Conditions {
        capacity: 3,
        ..Conditions::default()
    };
    let outcome = run(&even(80.0, 1.0, HOUR / 2.0), conditions, 1, 1000);
    // The requests held by then take as long again.
    let mut meanwhile = settled(&outcome).iter().take(3600);
    assert!(meanwhile.all(|slice| (slice.desired.most, slice.ready.least) == (3, 3)));
}

#[test]
fn uneven_starts_are_planned_for() {
    let conditions = Conditions {
        start_up: StartUp::gpu_cluster(),
        ..Conditions::default()
    };
    let outcome = run(&Shape::Day.trace(1), conditions, 1, 1000);
    let punctual = outcome.attainment(Duration::from_secs(1));
    assert!(punctual > 0.99, "{punctual}");
}

#[test]
fn requests_that_take_no_time_need_no_replicas() {
    let outcome = run(&even(200.0, 0.0, 600.0), Conditions::default(), 1, 1000);
    assert_eq!(outcome.peak, 1);
    let counts = shapes::spread(&[0, 0, 40_000, 0], Duration::from_secs(60), 0.0, 1);
    assert_eq!(
        run(&counts, Conditions::default(), 0, 1000).attainment(Duration::from_secs(1)),
        1.0
    );
}

#[test]
fn silence_is_answered_with_the_minimum_and_no_sooner_than_it_should() {
    let mut requests: Vec<Request> = even(20.0, 1.0, 300.0).requests().to_vec();
    let last = Request {
        at: Nanos::from_duration(Duration::from_secs(3000)),
        service: Duration::from_secs(1),
    };
    requests.push(last);
    let outcome = run(
        &requests.into_iter().collect(),
        Conditions::default(),
        0,
        1000,
    );
    let at = |second: usize| outcome.timeline[second].desired.most;
    assert!(at(899) >= 1, "used within 600 s");
    assert_eq!(at(961), 0, "60 s after one that may have gone just before");
}
