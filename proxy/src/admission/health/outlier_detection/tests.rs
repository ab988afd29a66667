//! Tests on a virtual clock.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_oneof, proptest};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: f64) -> Nanos {
    Nanos((seconds * SECOND as f64) as u64)
}

/// A detector, and replicas whose counts the test sets.
struct World {
    detector: OutlierDetector,
    replicas: Vec<Observation>,
}

impl World {
    fn new(count: usize, settings: OutlierDetection) -> Self {
        let fresh = Observation {
            counts: HealthCounts::default(),
            available: true,
        };
        let mut detector = OutlierDetector::default();
        assert!(detector.configure(Some(settings)).is_empty());
        let changes = detector.set_replicas(&vec![None; count], |_| fresh.counts);
        assert!(changes.is_empty());
        Self {
            detector,
            replicas: vec![fresh; count],
        }
    }

    fn usual(count: usize) -> Self {
        Self::new(count, OutlierDetection::default())
    }

    /// Does what the pool does for a request.
    fn request(&mut self, which: usize, fails: bool, now: Nanos) -> Vec<Change> {
        let counts = &mut self.replicas[which].counts;
        counts.taken += 1;
        if !fails {
            counts.failures_in_a_row = 0;
            return Vec::new();
        }
        counts.failures += 1;
        counts.failures_in_a_row += 1;
        let threshold = self.detector.threshold().unwrap();
        if !counts.failures_in_a_row.is_multiple_of(threshold) {
            return Vec::new();
        }
        let changes = self.detector.failed(which, &self.replicas, now, 0.0);
        self.apply(changes)
    }

    fn review(&mut self, now: Nanos) -> Vec<Change> {
        let changes = self.detector.review(&self.replicas, now, || 0.0);
        self.apply(changes)
    }

    fn apply(&mut self, changes: Vec<Change>) -> Vec<Change> {
        for change in &changes {
            if let Change::Returned { which } = change {
                let on_trial = self.detector.threshold().map_or(0, |t| t - 1);
                self.replicas[*which].counts.failures_in_a_row = on_trial;
            }
        }
        changes
    }

    fn ejected(&self) -> Vec<usize> {
        let ejected = |&i: &usize| self.detector.ejected_until(i).is_some();
        (0..self.replicas.len()).filter(ejected).collect()
    }
}

#[test]
fn five_failures_in_a_row_eject_and_a_success_between_does_not() {
    let mut world = World::usual(2);
    for n in 0..20 {
        world.request(0, n % 5 != 4, at(0.0));
        world.request(1, false, at(0.0));
    }
    assert!(world.ejected().is_empty());
    for _ in 0..4 {
        assert!(world.request(0, true, at(1.0)).is_empty());
    }
    let expected = Change::Ejected {
        which: 0,
        until: at(11.0),
        cause: Cause::InARow(5),
    };
    assert_eq!(world.request(0, true, at(1.0)), [expected]);
}

#[test]
fn one_that_returns_is_on_trial_and_each_further_ejection_is_longer() {
    let mut world = World::usual(2);
    let mut now = 0.0;
    for _ in 0..5 {
        world.request(0, true, at(now));
    }
    for (time, next) in [(10.0, 20.0), (20.0, 30.0), (30.0, 40.0)] {
        assert!(world.review(at(now + time - 0.1)).is_empty());
        now += time;
        // Reviews in between have found no interval in which it was not ejected.
        assert_eq!(world.review(at(now)), [Change::Returned { which: 0 }]);
        let again = world.request(0, true, at(now));
        let Change::Ejected { until, .. } = again[0] else {
            panic!("{again:?}");
        };
        assert!(
            until >= at(now + next - 10.0) && until <= at(now + next),
            "{until:?}"
        );
    }
    // After a success, failures are counted from zero.
    let until = world.detector.ejected_until(0).unwrap();
    assert_eq!(world.review(until), [Change::Returned { which: 0 }]);
    world.request(0, false, until);
    assert!(world.request(0, true, until).is_empty());
}

#[test]
fn nobody_is_ejected_for_what_all_do() {
    for count in 1..6 {
        let mut world = World::usual(count);
        for n in 0..1000 {
            world.request(n % count, true, at(n as f64 * 0.01));
            world.review(at(n as f64 * 0.01));
        }
        assert!(world.ejected().is_empty(), "{count}: {:?}", world.ejected());
    }
}

#[test]
fn when_those_that_are_left_fail_too_the_ejected_return() {
    let mut world = World::usual(2);
    for _ in 0..5 {
        world.request(0, true, at(0.0));
    }
    assert_eq!(world.ejected(), [0]);
    for _ in 0..4 {
        assert!(world.request(1, true, at(1.0)).is_empty());
    }
    assert_eq!(
        world.request(1, true, at(1.0)),
        [Change::Returned { which: 0 }]
    );
    // It has recovered, so the other one is the outlier.
    world.request(0, false, at(1.1));
    for _ in 0..5 {
        world.request(1, true, at(1.2));
    }
    assert_eq!(world.ejected(), [1]);
}

#[test]
fn a_share_of_failures_above_that_of_the_others_ejects_and_the_same_share_does_not() {
    for (own, others, is_ejected) in [
        (50, 0, true),
        (50, 40, false),
        (29, 0, false),
        (100, 60, true),
    ] {
        let mut world = World::usual(3);
        world.review(at(1.0));
        for n in 0..100 {
            // Spread out, so that failures in a row stay few.
            world.request(
                0,
                n % 2 == 0 && n / 2 < own || n % 2 == 1 && n / 2 < own - 50,
                at(2.0),
            );
            if own == 100 {
                world.replicas[0].counts.failures_in_a_row = 0;
            }
            for other in [1, 2] {
                world.request(other, (n * 7) % 100 < others, at(2.0));
                world.replicas[other].counts.failures_in_a_row = 0;
            }
        }
        world.review(at(11.0));
        let expected: &[usize] = if is_ejected { &[0] } else { &[] };
        assert_eq!(world.ejected(), expected, "{own} % and {others} %");
    }
}

#[test]
fn few_requests_are_not_compared() {
    let mut world = World::usual(2);
    world.review(at(1.0));
    for n in 0..19 {
        world.request(0, n % 2 == 0, at(2.0));
        world.request(1, false, at(2.0));
    }
    world.review(at(11.0));
    assert!(world.ejected().is_empty());
}

#[test]
fn with_fewer_replicas_those_over_the_limit_return() {
    let mut world = World::usual(4);
    for which in [0, 2] {
        for _ in 0..5 {
            world.request(which, true, at(which as f64));
        }
    }
    assert_eq!(world.ejected(), [0, 2]);
    let fresh = HealthCounts::default();
    let changes = world.detector.set_replicas(&[Some(2), Some(0)], |_| fresh);
    assert_eq!(
        changes,
        [Change::Returned { which: 1 }],
        "whose time is over first"
    );
    assert_eq!(world.detector.ejected_until(0), Some(at(12.0)));
    assert_eq!(
        world.detector.configure(None),
        [Change::Returned { which: 0 }]
    );
}

#[derive(Clone, Debug)]
enum Step {
    Request { which: usize, fails: bool },
    Pass { milliseconds: u64 },
    Replicas { count: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..8_usize, any::<bool>()).prop_map(|(which, fails)| Step::Request { which, fails }),
        5 => (0..8_usize).prop_map(|which| Step::Request { which, fails: true }),
        4 => (0..30_000_u64).prop_map(|milliseconds| Step::Pass { milliseconds }),
        1 => (1..8_usize).prop_map(|count| Step::Replicas { count }),
    ]
}

proptest! {
    /// Replica 0 never fails.
    #[test]
    fn at_most_the_share_is_ejected_for_at_most_the_time_and_never_one_that_does_not_fail(
        steps in prop::collection::vec(step(), 1..400),
        percent in 0..=100_u32,
        threshold in 1..6_u32,
    ) {
        let settings = OutlierDetection {
            consecutive_failures: threshold,
            max_ejection_percent: percent,
            ..OutlierDetection::default()
        };
        let mut world = World::new(4, settings);
        let mut now = Nanos(0);
        for step in steps {
            match step {
                Step::Request { which, fails } => {
                    let which = which % world.replicas.len();
                    if world.detector.ejected_until(which).is_none() {
                        world.request(which, fails && which != 0, now);
                    }
                }
                Step::Pass { milliseconds } => {
                    now = now + Duration::from_millis(milliseconds);
                    world.review(now);
                    let over = world.detector.records.iter().filter_map(|r| r.ejected_until);
                    prop_assert!(over.min().is_none_or(|until| until > now));
                }
                Step::Replicas { count } => {
                    let known = world.replicas.len();
                    let former: Vec<_> = (0..count).map(|i| (i < known).then_some(i)).collect();
                    let changes = world.detector.set_replicas(&former, |_| HealthCounts::default());
                    let fresh = Observation { counts: HealthCounts::default(), available: true };
                    world.replicas.resize(count, fresh);
                    world.apply(changes);
                }
            }
            let ejected = world.ejected();
            prop_assert!(ejected.len() * 100 <= world.replicas.len() * percent as usize);
            prop_assert!(!ejected.contains(&0));
            for which in ejected {
                let until = world.detector.ejected_until(which).unwrap();
                prop_assert!(until <= now + stretched(settings.max_ejection, 1.0));
            }
        }
    }
}
