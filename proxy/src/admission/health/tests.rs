//! Tests on a virtual clock.

use super::*;

fn at(seconds: f64) -> Nanos {
    Nanos((seconds * 1e9) as u64)
}

fn pool(count: usize) -> (PoolHealth, Vec<Arc<Replica>>) {
    let replica = |i| Arc::new(Replica::new(format!("m-{i}"), "127.0.0.1:1", None));
    let replicas: Vec<_> = (0..count).map(replica).collect();
    let mut health = PoolHealth::default();
    health.configure(Some(OutlierDetection::default()), None, at(0.0));
    health.set_replicas(&replicas, at(0.0));
    (health, replicas)
}

/// The numbers of the replicas that get requests.
fn available(health: &PoolHealth, replicas: &[Arc<Replica>], now: Nanos) -> Vec<usize> {
    let position = |one: Arc<Replica>| replicas.iter().position(|r| Arc::ptr_eq(r, &one));
    health
        .available(now)
        .into_iter()
        .filter_map(position)
        .collect()
}

fn fail(health: &mut PoolHealth, replica: &Replica, failure: Failure, now: Nanos) {
    let row = replica.health().failed(failure, now);
    if failure == Failure::Connect || row.is_multiple_of(health.threshold().unwrap()) {
        health.failed(replica, failure, now);
    }
}

#[test]
fn an_unreachable_replica_is_tried_again_after_one_second_and_then_ever_later() {
    let (mut health, replicas) = pool(2);
    let mut now = 0.0;
    for pause in [1.0, 2.0, 3.0] {
        fail(&mut health, &replicas[0], Failure::Connect, at(now));
        // Failures at the same time count as one.
        fail(&mut health, &replicas[0], Failure::Connect, at(now));
        let seen = available(&health, &replicas, at(now + pause - 0.01));
        assert_eq!(seen, [1], "after {pause} s");
        now += pause * 1.21;
        assert_eq!(available(&health, &replicas, at(now)), [0, 1]);
    }
    replicas[0].health().succeeded();
    fail(&mut health, &replicas[0], Failure::Connect, at(now));
    assert_eq!(available(&health, &replicas, at(now + 1.21)), [0, 1]);
}

#[test]
fn where_none_is_healthy_those_get_requests_that_are_out_for_the_lightest_reason() {
    let (mut health, replicas) = pool(3);
    fail(&mut health, &replicas[0], Failure::Connect, at(0.0));
    health.reported(
        &replicas[1],
        HealthReport::Hung(Duration::from_secs(4)),
        at(0.0),
    );
    health.back_off(&replicas[2], at(30.0), at(0.0));
    assert_eq!(available(&health, &replicas, at(0.5)), [2]);
    health.reported(&replicas[2], HealthReport::Unhealthy("no".into()), at(0.5));
    assert_eq!(available(&health, &replicas, at(0.6)), [0]);
    for replica in &replicas {
        health.reported(replica, HealthReport::Hung(Duration::from_secs(4)), at(2.0));
    }
    assert!(
        available(&health, &replicas, at(2.0)).is_empty(),
        "they would answer nothing"
    );
    health.reported(&replicas[1], HealthReport::Fine, at(3.0));
    assert_eq!(available(&health, &replicas, at(3.0)), [1]);
}

#[test]
fn what_is_known_of_a_replica_outlasts_a_change_of_the_others() {
    let (mut health, mut replicas) = pool(4);
    for _ in 0..5 {
        fail(&mut health, &replicas[2], Failure::Status(500), at(0.0));
    }
    assert_eq!(available(&health, &replicas, at(1.0)), [0, 1, 3]);
    assert_eq!(replicas[2].health().standing().0, Standing::Ejected);
    assert!(replicas[2].is_ejected(at(1.0)));
    replicas.remove(0);
    health.set_replicas(&replicas, at(1.0));
    assert_eq!(available(&health, &replicas, at(1.0)), [0, 2]);
    health.configure(None, None, at(2.0));
    assert_eq!(available(&health, &replicas, at(2.0)), [0, 1, 2]);
    let of_reason = health
        .ejections()
        .into_iter()
        .find(|(reason, _)| *reason == "consecutive_failures");
    assert_eq!(of_reason, Some(("consecutive_failures", 1)));
}

#[test]
fn a_review_is_due_when_an_absence_ends() {
    let (mut health, replicas) = pool(2);
    health.review(at(1.0));
    assert_eq!(
        health.review_at(at(1.0)),
        at(11.0),
        "the end of the interval"
    );
    health.back_off(&replicas[0], at(5.0), at(1.0));
    assert_eq!(health.review_at(at(1.0)), at(5.0));
    health.review(at(5.0));
    assert_eq!(replicas[0].health().standing().0, Standing::Healthy);
    assert_eq!(available(&health, &replicas, at(5.0)), [0, 1]);
}

#[test]
fn a_replica_that_was_out_comes_back_with_little_and_one_that_backed_off_with_all() {
    let (mut health, replicas) = pool(3);
    let slow_start = SlowStart {
        window: Duration::from_secs(20),
        ..SlowStart::default()
    };
    health.configure(None, Some(slow_start), at(0.0));
    health.back_off(&replicas[0], at(5.0), at(1.0));
    health.reported(&replicas[1], HealthReport::Unhealthy("no".into()), at(1.0));
    health.reported(&replicas[1], HealthReport::Fine, at(5.0));
    health.review(at(5.0));
    let weights = |health: &mut PoolHealth, now| {
        health.weigh(at(now));
        [0, 1, 2].map(|i: usize| replicas[i].weight().percent())
    };
    assert_eq!(weights(&mut health, 5.0), [100, 10, 100]);
    assert_eq!(health.review_at(at(5.0)), at(5.2));
    assert_eq!(weights(&mut health, 15.0), [100, 50, 100]);
    assert_eq!(weights(&mut health, 25.0), [100; 3]);
}
