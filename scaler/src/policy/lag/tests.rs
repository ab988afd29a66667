use super::*;
use crate::{clock::Nanos, constraints::constrain, ledger::Reading, signals::MeasuredDemand};
use proptest::prelude::*;

fn settings() -> Settings {
    Settings::sample()
}

fn at(s: u64) -> Nanos {
    Nanos::from_duration(Duration::from_secs(s))
}

/// A steady load of `rate` requests a second, 1 s each, on `desired` ready replicas.
fn steady(rate: f64, desired: u32) -> Observation {
    Observation {
        reading: Reading::inside(rate as u64, 0),
        demand: MeasuredDemand {
            service: 1.0,
            rate,
            dispersion: 1.0,
            slots: rate,
            mean_lag: rate,
            ..MeasuredDemand::default()
        },
        desired,
        ready: desired,
        capacity: u32::MAX,
        unchanged: Duration::from_secs(3600),
        start_up: Some(Duration::from_secs(30)),
        ..Observation::default()
    }
}

/// A lasting lag of `lag` requests, which are so short that they hardly take a slot.
fn lasting(lag: u64, desired: u32) -> Observation {
    let mut seen = Observation {
        reading: Reading::inside(lag, 0),
        ..steady(0.0, desired)
    };
    seen.demand.mean_lag = lag as f64;
    seen
}

fn recommend(seen: &Observation, settings: &Settings, lag: &mut Lag, now: Nanos) -> Recommendation {
    let mut seen = seen.clone();
    seen.reading.at = now;
    lag.recommend(&seen, settings)
}

fn first_recommendation(seen: &Observation) -> Recommendation {
    recommend(seen, &settings(), &mut Lag::new(Tuning::default()), at(100))
}

#[test]
fn follows_demand() {
    struct Case(&'static str, Observation, u32);
    let cases = [
        Case("nothing to do: one", steady(0.0, 1), 1),
        Case(
            "from zero, the first request is demand",
            Observation {
                reading: Reading::inside(1, 0),
                ..steady(0.0, 0)
            },
            1,
        ),
        Case("a load of 4 fits one of 8", steady(4.0, 1), 1),
        Case(
            "a load of 80 needs ten, and one for chance",
            steady(80.0, 11),
            11,
        ),
        Case("in one step, however far", steady(80.0, 1), 11),
        Case(
            "growth until a new replica is ready counts: 16 + 0.4/s × (30 + 30) s × 1 s, and room for chance",
            Observation {
                demand: MeasuredDemand {
                    growth: 0.4,
                    ..steady(16.0, 3).demand
                },
                ..steady(16.0, 3)
            },
            5,
        ),
        Case(
            "growth at most doubles: 16 + 16, and room for chance",
            Observation {
                demand: MeasuredDemand {
                    growth: 1e3,
                    ..steady(16.0, 3).demand
                },
                ..steady(16.0, 3)
            },
            5,
        ),
        Case(
            "lag over the threshold with none on its way: one more",
            lasting(31, 1),
            2,
        ),
        Case(
            "but not while one is on its way",
            Observation {
                ready: 1,
                starting: 1,
                ..lasting(61, 2)
            },
            2,
        ),
        Case(
            "going down, the present lag stays within the threshold",
            lasting(61, 5),
            3,
        ),
    ];
    for Case(rule, seen, expected) in cases {
        let recommendation = first_recommendation(&seen);
        assert_eq!(
            recommendation.replicas, expected,
            "{rule}: {}",
            recommendation.reason
        );
    }
}

#[test]
fn a_queue_counts_by_its_work_and_not_as_concurrency() {
    // 500 of 0.1 s are 50 s of work, which one replica with 8 slots does in 6 s.
    let seen = Observation {
        reading: Reading::inside(508, 500),
        demand: MeasuredDemand {
            service: 0.1,
            rate: 40.0,
            slots: 4.0,
            dispersion: 1.0,
            ..MeasuredDemand::default()
        },
        ..steady(0.0, 1)
    };
    let recommendation = first_recommendation(&seen);
    assert_eq!(
        recommendation.replicas, 2,
        "read as concurrency, it would be 64; lag over the threshold adds one: {}",
        recommendation.reason
    );
    let tolerated = Settings {
        threshold: 1000,
        ..settings()
    };
    let recommendation = recommend(&seen, &tolerated, &mut Lag::new(Tuning::default()), at(100));
    assert_eq!(
        recommendation.replicas, 1,
        "done before another would start: {}",
        recommendation.reason
    );
    let longer = Observation {
        demand: MeasuredDemand {
            service: 10.0,
            rate: 4.0,
            slots: 40.0,
            ..seen.demand
        },
        ..seen
    };
    assert!(
        first_recommendation(&longer).replicas > 10,
        "5000 s of work"
    );
}

#[test]
fn unused_goes_to_the_minimum_and_not_before() {
    let settings = Settings {
        min: 0,
        ..settings()
    };
    let mut state = Lag::new(Tuning::default());
    let mut go = |second, idle| {
        let mut seen = steady(0.0, 2);
        seen.demand.idle = Duration::from_secs(idle);
        recommend(&seen, &settings, &mut state, at(second)).replicas
    };
    assert_eq!(go(1000, 599), 1, "in use within the inactive time");
    assert_eq!(go(1001, 600), 0);
}

#[test]
fn constant_load_changes_nothing() {
    for rate in [0.0, 1.0, 7.9, 8.0, 33.0, 400.0] {
        let (settings, mut state) = (settings(), Lag::new(Tuning::default()));
        let mut desired = 1;
        let mut changes = 0;
        for second in 0..3600 {
            let seen = steady(rate, desired);
            let recommendation = recommend(&seen, &settings, &mut state, at(second));
            let decision = constrain(&seen, &settings, recommendation);
            changes += u32::from(decision.desired != desired);
            desired = decision.desired;
        }
        assert!(changes <= 1, "{changes} changes at {rate} a second");
    }
}

#[test]
fn reasons_are_sentences_with_their_numbers() {
    for (seen, expected) in [
        (
            steady(80.0, 1),
            "80 requests/s that take 1 s each, with a reserve for chance: 11 replicas at 8 each",
        ),
        (
            steady(4.0, 5),
            "arrivals need about 4 requests served at once: 1 replica at 8 each (4 in flight)",
        ),
        (
            Observation {
                reading: Reading::inside(1, 0),
                ..steady(0.0, 0)
            },
            "1 request is in flight and there is no replica: one starts",
        ),
        (
            lasting(31, 1),
            "31 requests are in flight, which is as many as 1 replica may carry or more (lagThreshold 30 each): one more",
        ),
        (
            lasting(61, 5),
            "61 requests are in flight: 3 replicas at 30 each",
        ),
        (
            steady(0.0, 2),
            "last used 0 s ago: one replica stays until the model is unused for 600 s (inactiveSeconds)",
        ),
    ] {
        assert_eq!(first_recommendation(&seen).reason.to_string(), expected);
    }
    let tight = Settings {
        threshold: 8,
        ..settings()
    };
    let mut seen = lasting(12, 1);
    seen.demand.mean_lag = 8.4;
    assert_eq!(
        recommend(&seen, &tight, &mut Lag::new(Tuning::default()), at(100))
            .reason
            .to_string(),
        "8.4 requests were in flight on average of the last 10 s, more than 1 replica may carry (lagThreshold 8 each): \
         one more"
    );
}

fn observation() -> impl Strategy<Value = Observation> {
    let numbers = (
        0u64..100_000,
        0u64..100_000,
        0u32..1000,
        0u32..1000,
        0u32..1000,
    );
    let demand = (
        0.0f64..1e4,
        0.0f64..1e5,
        -1e6f64..1e6,
        1.0f64..1e3,
        0.0f64..1e6,
    );
    (numbers, demand, 0u64..1000).prop_map(
        |((lag, held, desired, ready, starting), demand, start)| {
            let (service, rate, growth, dispersion, slots) = demand;
            Observation {
                reading: Reading::inside(lag, held.min(lag)),
                demand: MeasuredDemand {
                    idle: Duration::ZERO,
                    service,
                    rate,
                    growth,
                    dispersion,
                    slots,
                    mean_lag: lag as f64,
                },
                desired,
                ready,
                starting,
                start_up: Some(Duration::from_secs(start)),
                ..Observation::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn more_demand_is_never_answered_with_less(
        seen in observation(), more in 0u64..1000, slots in 0.0f64..1000.0,
    ) {
        let low = first_recommendation(&seen).replicas;
        let lag = Observation { reading: Reading::inside(seen.lag() + more, seen.held()), ..seen.clone() };
        prop_assert!(first_recommendation(&lag).replicas >= low, "lag");
        let held = Observation { reading: Reading::inside(seen.lag() + more, seen.held() + more), ..seen.clone() };
        prop_assert!(first_recommendation(&held).replicas >= low, "held");
        let demand = MeasuredDemand { slots: seen.demand.slots + slots, ..seen.demand };
        prop_assert!(first_recommendation(&Observation { demand, ..seen }).replicas >= low, "slots");
    }

    #[test]
    fn never_fewer_than_the_present_lag_needs_and_never_none_in_use(seen in observation()) {
        let replicas = first_recommendation(&seen).replicas;
        prop_assert!(replicas >= 1);
        let needed = u32::try_from(seen.lag().div_ceil(30)).unwrap();
        prop_assert!(replicas >= needed.min(seen.desired), "{replicas} for {}", seen.lag());
    }

    #[test]
    fn nonsense_is_survived(
        mut seen in observation(),
        wrong in proptest::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 0.0]),
        field in 0usize..5, seconds in proptest::collection::vec(0u64..1_000_000, 1..10),
    ) {
        let demand = &mut seen.demand;
        match field {
            0 => demand.service = wrong,
            1 => demand.rate = wrong,
            2 => demand.growth = wrong,
            3 => demand.dispersion = wrong,
            _ => demand.slots = wrong,
        }
        let (settings, mut state) = (settings(), Lag::new(Tuning::default()));
        for second in seconds {
            let recommendation = recommend(&seen, &settings, &mut state, at(second));
            prop_assert!(!recommendation.reason.to_string().contains("NaN"), "{}", recommendation.reason);
            let desired = constrain(&seen, &settings, recommendation).desired;
            // If the server has no room, even the minimum is not asked for.
            let least = settings.min.min(seen.capacity.max(seen.desired));
            prop_assert!((least..=settings.max.max(seen.desired)).contains(&desired));
        }
    }
}
