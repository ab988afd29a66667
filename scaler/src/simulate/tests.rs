use super::{
    reference::StaticPool,
    shapes::{self, Shape},
    *,
};
use crate::{
    clock::Nanos,
    decision::Reason,
    policy::{Observation, Policy, Recommendation, ScalingPolicy, Settings},
};
use proptest::prelude::*;
use std::time::Duration;

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn request(at: f64, service: f64) -> Request {
    Request {
        at: Nanos::from_duration(seconds(at)),
        service: seconds(service),
    }
}

fn conditions(concurrency: u32, start_up: f64, initial: u32) -> Conditions {
    Conditions {
        concurrency: Some(concurrency),
        start_up: StartUp::Constant(seconds(start_up)),
        initial,
        capacity: 1000,
        ..Conditions::default()
    }
}

fn pool(size: u32) -> SimulatedScaler {
    let settings = setup(0, 1).settings;
    SimulatedScaler::reference(Box::new(StaticPool(size)), settings, size)
}

fn setup(min: u32, concurrency: u32) -> Setup {
    Setup::new(conditions(concurrency, 30.0, min), None, min, 1000)
}

#[test]
fn waits_are_those_of_a_hand_worked_line() {
    // One replica with one slot: the second request waits 1.5 s, the third 2 s.
    let trace: Trace = [(0.0, 2.0), (0.5, 1.0), (1.0, 1.0)]
        .map(|(at, service)| request(at, service))
        .into_iter()
        .collect();
    let outcome = simulate(&trace, &conditions(1, 30.0, 1), &mut pool(1));
    assert_eq!(outcome.waits, [0.0, 1.5, 2.0]);
    assert_eq!(outcome.end, Nanos::from_duration(seconds(4.0)));
    assert!((outcome.replica_seconds - 4.0).abs() < 1e-9);
}

#[test]
fn a_replica_costs_from_being_asked_for_and_serves_when_it_is_ready() {
    let trace: Trace = [request(0.0, 1.0)].into_iter().collect();
    let outcome = simulate(&trace, &conditions(1, 30.0, 0), &mut pool(1));
    assert_eq!(outcome.waits, [30.0]);
    assert!((outcome.replica_seconds - 31.0).abs() < 1e-9);
    assert_eq!((outcome.peak, outcome.scale_requests), (1, 1));
}

#[test]
fn who_is_never_served_waits_for_ever() {
    let trace: Trace = [request(0.0, 1.0)].into_iter().collect();
    let stuck = Conditions {
        start_up: StartUp::Never,
        ..conditions(1, 0.0, 0)
    };
    let outcome = simulate(&trace, &stuck, &mut pool(3));
    assert_eq!(outcome.waits, [f32::INFINITY]);
}

#[test]
fn what_is_served_is_served_to_its_end_also_when_others_have_given_up() {
    let long = 5.0 * 3600.0;
    let trace: Trace = [request(0.0, long), request(1.0, 1.0)]
        .into_iter()
        .collect();
    let outcome = simulate(&trace, &conditions(1, 30.0, 1), &mut pool(1));
    assert_eq!(outcome.waits, [0.0, f32::INFINITY]);
    assert_eq!(outcome.end, Nanos::from_duration(seconds(long)));
    assert!((outcome.replica_seconds - long).abs() < 1e-6);
}

/// A scaler that asks for these counts, one at each evaluation.
#[derive(Debug)]
struct Script(std::vec::IntoIter<u32>, u32);

impl ScalingPolicy for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn interval(&self) -> Option<Duration> {
        Some(seconds(20.0))
    }

    fn recommend(&mut self, _: &Observation, _: &Settings) -> Recommendation {
        self.1 = self.0.next().unwrap_or(self.1);
        Recommendation {
            replicas: self.1,
            reason: Reason::Reference {
                policy: "script",
                replicas: self.1,
            },
        }
    }
}

#[test]
fn a_draining_replica_is_taken_back_where_replicas_are_processes() {
    // Two replicas with a slot each, both with a long request, are scaled to one and then to two
    // again.
    let long = [request(0.0, 100.0), request(0.0, 100.0), request(50.0, 1.0)];
    let trace: Trace = long.into_iter().collect();
    let outcomes = [true, false].map(|takes_back| {
        let conditions = Conditions {
            takes_back,
            ..conditions(1, 30.0, 2)
        };
        let settings = setup(0, 1).settings;
        let script = Script(vec![2, 1, 2].into_iter(), 2);
        let mut scaler = SimulatedScaler::reference(Box::new(script), settings, 2);
        simulate(&trace, &conditions, &mut scaler)
    });
    let [taken_back, started_anew] = outcomes.map(|o| (o.waits, o.replica_seconds));
    // Both are busy until 100 s, and the last request ends at 101 s.
    assert_eq!(taken_back, (vec![0.0, 0.0, 50.0], 202.0));
    // A third is asked for at 40 s, and ready at 70 s.
    assert_eq!(started_anew, (vec![0.0, 0.0, 20.0], 260.0));
}

#[test]
fn where_nothing_is_needed_no_cost_is_a_multiple_of_it() {
    let trace: Trace = [request(0.0, 0.0)].into_iter().collect();
    let comparison = Comparison::run(&trace, &Contender::ALL, &setup(0, 8));
    let table = comparison.to_string();
    assert!(!table.contains("inf") && !table.contains("NaN"), "{table}");
    assert_eq!(comparison.times_needed(1.0), None);
}

#[test]
fn same_seed_gives_the_same_table() {
    let trace = Shape::Bursts.trace(3);
    let mut setup = setup(1, 8);
    setup.conditions.start_up = StartUp::gpu_cluster();
    let run = || Comparison::run(&trace, &Contender::ALL, &setup);
    let first = run();
    assert_eq!(first, run());
    assert_eq!(first.to_string().lines().count(), Contender::ALL.len() + 5);
}

#[test]
fn nobody_goes_below_the_bound_where_nobody_waits() {
    for shape in Shape::ALL {
        let trace = shape.trace(1);
        let most = bound::peak(&trace, Some(8));
        let outcome = simulate(&trace, &conditions(8, 30.0, most), &mut pool(most));
        assert_eq!(outcome.longest(), 0.0, "{shape}: {most} replicas");
        let clairvoyant = bound::bound(&trace, Some(8), seconds(30.0), 1);
        let needed = bound::needed(&trace, Some(8), 1);
        assert!(needed <= clairvoyant, "{shape}");
        assert!(clairvoyant <= outcome.replica_seconds, "{shape}");
    }
}

#[test]
fn a_steady_load_is_served_by_our_policy_without_end_of_changes() {
    let trace = shapes::Shape::Steady.trace(1);
    let comparison = Comparison::run(&trace, &[Contender::Live(Policy::Lag)], &setup(1, 8));
    let outcome = &comparison.outcomes[0];
    assert!(outcome.attainment(seconds(1.0)) > 0.9, "{comparison}");
    assert!(outcome.waits.iter().all(|wait| wait.is_finite()));
}

proptest! {
    #[test]
    fn every_request_is_served_once_by_whoever_scales(
        requests in proptest::collection::vec((0u32..600, 1u32..20_000), 1..200),
        concurrency in 1u32..9, start_up in 0u32..60, seed: u64,
    ) {
        let trace: Trace = requests.iter()
            .map(|&(at, ms)| request(f64::from(at), f64::from(ms) / 1e3)).collect();
        let mut setup = setup(1, concurrency);
        setup.conditions.start_up = StartUp::Constant(seconds(f64::from(start_up)));
        setup.conditions.seed = seed;
        let comparison = Comparison::run(&trace, &Contender::ALL, &setup);
        for outcome in &comparison.outcomes {
            prop_assert_eq!(outcome.waits.len(), requests.len());
            prop_assert!(outcome.waits.iter().all(|wait| wait.is_finite()), "{}", outcome.name);
            // Work is conserved: the replicas had slots for all of it.
            let slots = outcome.replica_seconds * f64::from(concurrency);
            prop_assert!(slots >= trace.work() - 1e-6, "{}: {} < {}", outcome.name, slots, trace.work());
            if outcome.longest() == 0.0 {
                prop_assert!(comparison.needed <= outcome.replica_seconds + 1e-6, "{}", outcome.name);
            }
        }
    }
}
