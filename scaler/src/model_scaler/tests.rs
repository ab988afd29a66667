use super::*;
use crate::{
    decision::Reason,
    policy::{Policy, Recommendation},
};
use std::num::NonZeroU32;

fn at(s: u64) -> Nanos {
    Nanos::from_duration(Duration::from_secs(s))
}

fn limit(replicas: u32, seconds: u64) -> Option<RateLimit> {
    Some(RateLimit {
        replicas: NonZeroU32::new(replicas).unwrap(),
        within: Duration::from_secs(seconds),
    })
}

fn reading(s: u64) -> Reading {
    Reading {
        at: at(s),
        ..Reading::default()
    }
}

#[test]
fn the_count_changes_no_faster_than_the_user_allows() {
    let settings = Settings {
        stability: Duration::ZERO,
        up_limit: limit(4, 60),
        down_limit: limit(1, 30),
        min: 0,
        ..Settings::sample()
    };
    let mut scaler = ModelScaler::new(settings.clone(), 1, reading(0));
    let replicas = Replicas {
        capacity: u32::MAX,
        ..Replicas::default()
    };
    for (second, wanted, expected) in [
        (10, 50, 5),
        (11, 50, 5),
        (69, 50, 5),
        (70, 50, 9),
        (71, 2, 8),
        (100, 2, 8),
        (101, 2, 7),
        (102, 9, 9),
    ] {
        let seen = scaler.observe(&reading(second), &replicas);
        let recommendation = Recommendation {
            replicas: wanted,
            reason: Reason::Configured { replicas: wanted },
        };
        let decision = constrain(&seen, &settings, recommendation);
        assert_eq!(
            decision.desired, expected,
            "{wanted} at {second} s: {:?}",
            decision.reasons
        );
        scaler.adopt(decision.desired, at(second));
    }
}

#[test]
fn starts_hang_once_none_has_got_ready_for_long() {
    let settings = Settings {
        threshold: 1,
        slots: 1,
        target_wait: Duration::ZERO,
        stability: Duration::ZERO,
        ..Settings::sample()
    };
    let mut scaler = ModelScaler::new(settings, 4, reading(0));
    let mut look = |second, ready| {
        let replicas = Replicas {
            ready,
            starting: 4 - ready,
            capacity: u32::MAX,
            start_up: Some(Duration::from_secs(50)),
        };
        let lag = Reading {
            arrived: 500,
            held: 500,
            ..reading(second)
        };
        let turn = scaler.decide(lag, &replicas);
        (turn.seen.hangs(), turn.decision.desired)
    };
    assert!(!look(0, 0).0);
    assert!(!look(149, 0).0);
    assert!(look(150, 0).0);
    assert!(!look(160, 1).0, "one became ready");
    assert!(!look(309, 1).0);
    let (hangs, desired) = look(310, 1);
    assert_eq!((hangs, desired), (true, 5), "one more is tried");
}

#[test]
fn a_start_hangs_from_when_it_began_not_from_when_it_was_last_quiet() {
    let mut scaler = ModelScaler::new(Settings::sample(), 1, reading(0));
    let mut stalled = |second, ready, starting| {
        let replicas = Replicas {
            ready,
            starting,
            capacity: u32::MAX,
            ..Replicas::default()
        };
        scaler
            .decide(reading(second), &replicas)
            .seen
            .stalled
            .as_secs()
    };
    assert_eq!(stalled(500, 0, 1), 0, "the first look");
    assert_eq!(stalled(600, 0, 1), 100);
    assert_eq!(stalled(610, 1, 0), 0, "ready");
    assert_eq!(stalled(1210, 0, 1), 0, "it went, after a long quiet");
    assert_eq!(stalled(1310, 0, 2), 100, "one more on its way");
}

#[test]
fn a_request_that_waits_for_the_first_replica_is_looked_at_once() {
    let period = Duration::from_secs(20);
    let settings = Settings {
        policy: Policy::LagStep,
        ..Settings::sample()
    };
    let mut scaler = ModelScaler::new(settings, 0, reading(0));
    let held = |second, held| Reading {
        held,
        ..reading(second)
    };
    assert!(!scaler.sample(held(1, 0), period));
    assert!(scaler.sample(held(2, 1), period));
    scaler.decide(held(2, 1), &Replicas::default());
    assert!(!scaler.sample(held(3, 2), period), "nothing came of it");
    assert!(!scaler.sample(held(4, 0), period));
    assert!(scaler.sample(held(5, 1), period), "another one");
}

#[test]
fn unused_for_less_than_the_stability_time_it_goes_once_both_have_passed() {
    let settings = Settings {
        inactive: Duration::from_secs(10),
        stability: Duration::from_secs(60),
        min: 0,
        ..Settings::sample()
    };
    let mut scaler = ModelScaler::new(settings, 0, reading(0));
    let mut look = |second, used, ready| {
        let replicas = Replicas {
            ready,
            capacity: u32::MAX,
            ..Replicas::default()
        };
        let seen = Reading {
            arrived: used,
            completed: used,
            ..reading(second)
        };
        if ready != scaler.ready {
            scaler.replicas_changed(seen.at);
        }
        let decision = scaler.decide(seen, &replicas).decision;
        scaler.adopt(decision.desired, seen.at);
        decision.desired
    };
    assert_eq!(look(1, 1, 0), 1, "the first request");
    assert_eq!(look(20, 1, 1), 1, "ready");
    assert_eq!(
        look(79, 1, 1),
        1,
        "unused for long, but 59 s without a change"
    );
    assert_eq!(look(80, 1, 1), 0);
    assert_eq!(look(81, 2, 0), 1, "the next one");
    assert_eq!(look(90, 2, 1), 1, "ready");
    assert_eq!(look(190, 3, 1), 1, "used");
    assert_eq!(look(199, 3, 1), 1, "unused for 9 s");
    assert_eq!(look(200, 3, 1), 0, "nothing has changed for long");
}

#[test]
fn a_first_request_starts_one_replica() {
    for (slots, after_ms) in [(1, 7), (2, 7), (8, 500), (1, 4000)] {
        let settings = Settings {
            slots,
            min: 0,
            ..Settings::sample()
        };
        let mut scaler = ModelScaler::new(settings, 0, reading(0));
        let first = Reading {
            at: Nanos::from_duration(Duration::from_millis(after_ms)),
            arrived: 1,
            held: 1,
            ..Reading::default()
        };
        let replicas = Replicas {
            capacity: u32::MAX,
            ..Replicas::default()
        };
        let decision = scaler.decide(first, &replicas).decision;
        assert_eq!(
            decision.desired, 1,
            "{slots} slots, {after_ms} ms: {:?}",
            decision.reasons
        );
    }
}

#[test]
fn an_operators_count_is_followed_for_its_time_and_then_the_policy_again() {
    let settings = Settings {
        min: 0,
        max: 8,
        stability: Duration::ZERO,
        inactive: Duration::ZERO,
        up_limit: limit(1, 60),
        ..Settings::sample()
    };
    let mut scaler = ModelScaler::new(settings, 0, reading(0));
    let decide = |scaler: &mut ModelScaler, second, capacity| {
        let replicas = Replicas {
            ready: scaler.desired(),
            capacity,
            ..Replicas::default()
        };
        let decision = scaler.decide(reading(second), &replicas).decision;
        scaler.adopt(decision.desired, at(second));
        let held = decision.reasons.iter().any(|r| r.kind() == "manual");
        (decision.desired, held)
    };
    let manual = |replicas| ManualCount {
        replicas,
        until: 0,
        by: "an operator".into(),
    };
    assert_eq!(decide(&mut scaler, 1, 9), (0, false));
    assert_eq!(scaler.wake_at(), Some(1));
    // The count takes effect at once, whatever the rate limits. Demand does not change it, so no
    // demand wakes the scaler.
    scaler.set_manual(Some((manual(3), at(100))));
    assert_eq!(decide(&mut scaler, 2, 9), (3, true));
    assert_eq!(scaler.wake_at(), None);
    assert_eq!(decide(&mut scaler, 99, 9), (3, true));
    // It never exceeds the bounds or the capacity.
    scaler.set_manual(Some((manual(20), at(100))));
    assert_eq!(decide(&mut scaler, 99, 9), (8, true));
    scaler.adopt(1, at(99));
    assert_eq!(decide(&mut scaler, 99, 2), (2, true));
    let long = Duration::from_secs(3600);
    assert!(!scaler.sample(reading(99), long));
    assert!(scaler.sample(reading(100), long), "its time is over");
    assert_eq!(scaler.manual(), None);
    assert_eq!(decide(&mut scaler, 100, 9), (0, false));
    // It can be ended early.
    scaler.set_manual(Some((manual(2), at(200))));
    assert_eq!(decide(&mut scaler, 101, 9), (2, true));
    scaler.set_manual(None);
    assert_eq!(decide(&mut scaler, 102, 9), (0, false));
}
