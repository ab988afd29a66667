//! Tests each rule against its published description, on traces of lag that can be worked out by
//! hand.

use std::time::Duration;

use super::*;
use crate::{
    clock::Nanos,
    ledger::Reading,
    model_scaler::Replicas,
    policy::ScalingPolicy,
    simulate::{Cause, Seen, SimulatedScaler},
};

/// Settings with 10 requests at once for each replica.
fn settings(min: u32) -> Settings {
    Settings {
        slots: 10,
        min,
        max: 1000,
        ..Settings::sample()
    }
}

/// A policy, and a ledger whose lag the test sets.
struct LagTrace {
    scaler: SimulatedScaler,
    reading: Reading,
}

impl LagTrace {
    fn of(policy: impl ScalingPolicy + 'static, min: u32) -> Self {
        Self {
            scaler: SimulatedScaler::reference(Box::new(policy), settings(min), 0),
            reading: Reading::default(),
        }
    }

    /// Keeps the lag at `lag` for `seconds`, with `ready` replicas. Returns the count that is
    /// wanted after each evaluation.
    fn run(&mut self, seconds: u64, lag: u64, ready: u32) -> Vec<u32> {
        let reading = &mut self.reading;
        let (inside, now) = (reading.in_flight(), reading.at.0);
        let (more, fewer) = (lag.saturating_sub(inside), inside.saturating_sub(lag));
        reading.arrived += more;
        reading.completed += fewer;
        let change = fewer.wrapping_sub(more).wrapping_mul(now);
        reading.in_flight_integral = reading.in_flight_integral.wrapping_add(change);
        let looks = Duration::from_secs(seconds).as_millis() / self.scaler.interval().as_millis();
        (0..looks).map(|_| self.look(ready)).collect()
    }

    fn look(&mut self, ready: u32) -> u32 {
        self.reading.at = self.reading.at + self.scaler.interval();
        self.scaler.look(&Seen {
            cause: Cause::Interval,
            reading: self.reading,
            replicas: Replicas {
                ready,
                capacity: u32::MAX,
                ..Replicas::default()
            },
        })
    }
}

#[test]
fn a_trace_has_the_lag_that_is_set() {
    let mut trace = LagTrace::of(Ray::new(1), 1);
    let before = trace.reading;
    trace.run(10, 7, 1);
    let middle = trace.reading;
    trace.run(10, 3, 1);
    assert_eq!(middle.mean_in_flight(&before), 7.0);
    assert_eq!(trace.reading.mean_in_flight(&middle), 3.0);
    assert_eq!(trace.reading.at, Nanos(20_000_000_000));
}

// === Knative ===

#[test]
fn knative_aims_at_seven_tenths() {
    let mut trace = LagTrace::of(Knative::new(3), 1);
    // ⌈28 ÷ 7⌉, which is less than twice the 3 that are ready.
    assert_eq!(trace.run(10, 28, 3).last(), Some(&4));
}

#[test]
fn knative_in_panic_does_not_go_down_for_a_stable_window() {
    let mut trace = LagTrace::of(Knative::new(1), 0);
    // ⌈140 ÷ 7⌉ is more than twice the one that is ready.
    assert_eq!(trace.run(12, 140, 1).last(), Some(&20));
    let lull = trace.run(60, 0, 20);
    assert!(lull.iter().all(|&n| n == 20), "{lull:?}");
    // Then down to half of the ready replicas in each tick.
    assert_eq!(trace.run(6, 0, 20).last(), Some(&10));
    assert_eq!(trace.run(2, 0, 10).last(), Some(&5));
}

#[test]
fn knative_in_panic_wants_what_the_higher_window_wants() {
    let mut trace = LagTrace::of(Knative::new(60), 0);
    // ⌈420 ÷ 7⌉, and as many are ready.
    assert_eq!(trace.run(60, 420, 60).last(), Some(&60));
    // The lag falls, but most replicas are lost: 10 is twice the rest.
    trace.run(6, 70, 60);
    let panic = trace.run(4, 70, 5);
    // The panic window wants 10; the stable one has 52 s of 420 in it, and 8 of 70.
    assert_eq!(panic.last(), Some(&54), "{panic:?}");
}

// === Kubernetes ===

#[test]
fn hpa_tolerates_a_tenth_and_goes_up_by_four_or_double() {
    let mut trace = LagTrace::of(Hpa::new(10), 1);
    // 7 each; 10 % more or less changes nothing.
    assert_eq!(trace.run(15, 76, 10), [10]);
    assert_eq!(trace.run(15, 63, 10), [10]);
    assert_eq!(trace.run(15, 78, 10), [12]);
    let mut trace = LagTrace::of(Hpa::new(1), 1);
    assert_eq!(trace.run(60, 700, 1), [5, 10, 20, 40]);
}

#[test]
fn hpa_goes_down_to_the_highest_of_the_last_five_minutes() {
    let mut trace = LagTrace::of(Hpa::new(1), 1);
    trace.run(60, 70, 10);
    let lull = trace.run(300, 7, 10);
    assert!(lull.iter().all(|&n| n == 10), "{lull:?}");
    assert_eq!(trace.run(15, 7, 10), [1]);
}

// === KEDA ===

#[test]
fn keda_goes_to_zero_after_its_cool_down_and_comes_back_at_a_poll() {
    let mut trace = LagTrace::of(Keda::new(0), 0);
    assert_eq!(trace.run(15, 1, 0), [1]);
    let idle = trace.run(285, 0, 1);
    assert!(idle.iter().all(|&n| n == 1), "{idle:?}");
    assert_eq!(trace.run(15, 0, 1), [0]);
    assert_eq!(trace.run(15, 1, 0), [1]);
}

// === KubeAI ===

#[test]
fn kubeai_averages_ten_minutes_and_goes_down_after_thirty_seconds() {
    let mut trace = LagTrace::of(KubeAi::new(1), 1);
    // 60 samples, at first all 0: after n of 600, the mean is 10·n.
    assert_eq!(trace.run(50, 600, 1), [1, 2, 3, 4, 5]);
    assert_eq!(trace.run(550, 600, 1).last(), Some(&60));
    // Each minute without requests is 6 of 60 samples; each step down waits for 3 more checks.
    assert_eq!(trace.run(50, 0, 60), [60, 60, 60, 56, 56]);
}

// === Ray Serve ===

#[test]
fn ray_goes_up_after_thirty_seconds_and_down_after_ten_minutes() {
    let mut trace = LagTrace::of(Ray::new(1), 1);
    let rise = trace.run(31, 50, 1);
    assert!(rise[..30].iter().all(|&n| n == 1), "{rise:?}");
    assert_eq!(rise[30], 5);
    trace.run(40, 50, 5);
    let lull = trace.run(630, 0, 5);
    assert!(lull[..600].iter().all(|&n| n == 5), "{lull:?}");
    assert_eq!(lull.last(), Some(&1));
}

#[test]
fn ray_starts_one_at_once_where_none_runs_and_goes_to_zero_from_one_only() {
    let mut trace = LagTrace::of(Ray::new(0), 0);
    // However many requests wait, no replica runs that could be multiplied.
    assert_eq!(trace.run(100, 500, 0), [1; 100]);
    assert_eq!(trace.run(31, 500, 1).last(), Some(&50));
    assert_eq!(trace.run(700, 0, 50).last(), Some(&1));
    assert_eq!(trace.run(601, 0, 1).last(), Some(&0));
}
