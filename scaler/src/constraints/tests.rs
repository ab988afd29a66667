use super::*;
use proptest::prelude::*;
use std::num::NonZeroU32;
use tailback_config::RateLimit;

fn settings() -> Settings {
    Settings {
        slots: 30,
        max: 8,
        ..Settings::sample()
    }
}

fn decide(
    settings: &Settings,
    wanted: u32,
    desired: u32,
    capacity: u32,
    unchanged: u64,
) -> Decision {
    let seen = Observation {
        desired,
        capacity,
        unchanged: Duration::from_secs(unchanged),
        ..Observation::default()
    };
    let recommendation = Recommendation {
        replicas: wanted,
        reason: Reason::Configured { replicas: wanted },
    };
    constrain(&seen, settings, recommendation)
}

#[test]
fn follows_each_documented_rule() {
    let on = settings();
    let fixed = Settings {
        scaled: false,
        min: 3,
        max: 3,
        ..settings()
    };
    let lowered = Settings {
        max: 4,
        ..settings()
    };
    let wide = Settings {
        max: 100,
        ..settings()
    };
    let (plenty, long) = (u32::MAX, 3600);
    let cases = [
        (
            "1: fixed whatever is wanted",
            &fixed,
            (9, 3, plenty, long),
            3,
        ),
        ("1: and back to it", &fixed, (1, 1, plenty, 0), 3),
        ("2: at most maxReplicas", &on, (9, 2, plenty, 0), 8),
        ("2: at least minReplicas", &on, (0, 2, plenty, long), 1),
        ("3: down waits for stability", &on, (2, 5, plenty, 59), 5),
        ("3: down after it", &on, (2, 5, plenty, 60), 2),
        (
            "3: a tenth less waits ten times as long",
            &wide,
            (18, 20, plenty, 599),
            20,
        ),
        ("3: and goes then", &wide, (18, 20, plenty, 600), 18),
        (
            "3: more than a tenth does not",
            &wide,
            (17, 20, plenty, 60),
            17,
        ),
        (
            "3: one of few is more than a tenth",
            &on,
            (4, 5, plenty, 60),
            4,
        ),
        ("3: up does not wait", &on, (6, 5, plenty, 0), 6),
        (
            "3: nor does a lowered maxReplicas",
            &lowered,
            (6, 6, plenty, 0),
            4,
        ),
        ("4: no capacity changes nothing", &on, (5, 4, 4, 0), 4),
        ("4: as far as there is capacity", &on, (8, 2, 4, 0), 4),
        (
            "4: less capacity than replicas takes none away",
            &on,
            (5, 4, 2, 0),
            4,
        ),
    ];
    for (rule, settings, (wanted, desired, capacity, unchanged), expected) in cases {
        let decision = decide(settings, wanted, desired, capacity, unchanged);
        assert_eq!(
            decision.desired, expected,
            "rule {rule}: {:?}",
            decision.reasons
        );
    }
}

#[test]
fn refusal_says_why() {
    let decision = decide(&settings(), 5, 4, 4, 0);
    let why = decision.reasons.last().unwrap().to_string();
    assert_eq!(why, "5 recommended, but the server has room for 4 only");
}

#[test]
fn what_was_found_is_kept_until_demand_has_been_watched() {
    let seen = |watched| Observation {
        desired: 5,
        capacity: u32::MAX,
        unchanged: Duration::from_secs(3600),
        watched: Some(Duration::from_secs(watched)),
        ..Observation::default()
    };
    let recommendation = || Recommendation {
        replicas: 1,
        reason: Reason::Configured { replicas: 1 },
    };
    let early = constrain(&seen(63), &settings(), recommendation());
    assert_eq!(early.desired, 5);
    assert_eq!(
        early.reasons.last().unwrap().to_string(),
        "1 would be enough, but demand has been watched for 63 s only; scale-down waits for 64 s"
    );
    assert_eq!(
        constrain(&seen(64), &settings(), recommendation()).desired,
        1
    );
}

#[test]
fn starts_that_hang_do_not_multiply() {
    let seen = |stalled, unraised, start_up| Observation {
        desired: 3,
        ready: 1,
        starting: 2,
        capacity: u32::MAX,
        stalled: Duration::from_secs(stalled),
        unraised: Duration::from_secs(unraised),
        start_up: Some(Duration::from_secs(start_up)),
        ..Observation::default()
    };
    let recommendation = || Recommendation {
        replicas: 8,
        reason: Reason::Configured { replicas: 8 },
    };
    for (stalled, unraised, start_up, expected) in [
        (119, 119, 1, 8),
        (120, 119, 1, 3),
        (120, 120, 1, 4),
        (299, 299, 100, 8),
        (300, 10, 100, 3),
        (300, 300, 100, 4),
    ] {
        let decision = constrain(
            &seen(stalled, unraised, start_up),
            &settings(),
            recommendation(),
        );
        assert_eq!(
            decision.desired, expected,
            "{stalled} s of {start_up} s, raised {unraised} s ago"
        );
    }
}

#[test]
fn limits_do_not_wait_where_a_bound_is_passed_and_say_what_was_wanted() {
    let limit = |replicas| {
        Some(RateLimit {
            replicas: NonZeroU32::new(replicas).unwrap(),
            within: Duration::from_secs(60),
        })
    };
    let settings = |min, max| Settings {
        up_limit: limit(1),
        down_limit: limit(1),
        min,
        max,
        ..settings()
    };
    let bounded = "recommended; minReplicas is";
    let limited = "no more than 1 in 60 s";
    for (wanted, desired, (min, max), expected, why) in [
        (7, 2, (1, 3), 3, &[bounded][..]),
        (7, 2, (1, 8), 3, &[limited]),
        (9, 2, (1, 8), 3, &[bounded, limited]),
        (5, 2, (4, 8), 4, &[limited]),
        (1, 2, (6, 8), 6, &[bounded]),
        (1, 8, (1, 4), 4, &[limited]),
        (6, 8, (1, 4), 4, &[bounded]),
        (1, 4, (1, 8), 3, &[limited]),
    ] {
        let seen = Observation {
            desired,
            lowest: desired,
            highest: desired,
            capacity: u32::MAX,
            unchanged: Duration::from_secs(3600),
            ..Observation::default()
        };
        let recommendation = Recommendation {
            replicas: wanted,
            reason: Reason::Configured { replicas: wanted },
        };
        let decision = constrain(&seen, &settings(min, max), recommendation);
        assert_eq!(
            decision.desired, expected,
            "{wanted} of {desired} within {min} to {max}: {:?}",
            decision.reasons
        );
        let reasons: Vec<_> = decision.reasons[1..]
            .iter()
            .map(Reason::to_string)
            .collect();
        assert_eq!(reasons.len(), why.len(), "{reasons:?}");
        for (reason, why) in reasons.iter().zip(why) {
            assert!(reason.contains(why), "{reason:?}");
        }
    }
}

fn limits() -> impl Strategy<Value = Option<RateLimit>> {
    proptest::option::of(
        (1u32..9, 1u64..100).prop_map(|(replicas, seconds)| RateLimit {
            replicas: NonZeroU32::new(replicas).unwrap(),
            within: Duration::from_secs(seconds),
        }),
    )
}

#[test]
fn a_start_that_somebody_waited_for_goes_on_as_long_as_it_may_take() {
    let settings = Settings {
        min: 0,
        start: Duration::from_secs(200),
        ..settings()
    };
    let none = || Recommendation {
        replicas: 0,
        reason: Reason::Unused {
            idle: Duration::from_secs(600),
        },
    };
    let seen = |unchanged, ready, starting| Observation {
        desired: 1,
        ready,
        starting,
        capacity: 8,
        unchanged: Duration::from_secs(unchanged),
        ..Observation::default()
    };
    for (unchanged, ready, starting, expected) in [
        (100, 0, 1, 1),
        (199, 0, 1, 1),
        // The start has taken longer than starts do.
        (200, 0, 1, 0),
        // The replica is ready. It is removed because it is unused.
        (100, 1, 0, 0),
        (59, 1, 0, 1),
        // Another replica is serving already.
        (100, 1, 1, 0),
    ] {
        let decision = constrain(&seen(unchanged, ready, starting), &settings, none());
        assert_eq!(decision.desired, expected, "{unchanged} s, {ready} ready");
    }
}

prop_compose! {
    /// Any settings.
    fn any_settings()(
        (min, max) in (0u32..20, 0u32..30), stability in 0u64..100,
        up_limit in limits(), down_limit in limits(), scaled: bool,
    ) -> Settings {
        Settings {
            scaled, min, max, up_limit, down_limit,
            stability: Duration::from_secs(stability),
            ..settings()
        }
    }
}

prop_compose! {
    /// Any observation.
    fn any_seen()(
        (desired, capacity) in (0u32..40, 0u32..40), (fewer, more) in (0u32..10, 0u32..10),
        (ready, starting) in (0u32..40, 0u32..10),
        [unchanged, unraised, stalled] in [0u64..500, 0u64..500, 0u64..500],
        watched in proptest::option::of(0u64..100),
    ) -> Observation {
        let seconds = Duration::from_secs;
        Observation {
            desired, capacity, ready, starting,
            lowest: desired.saturating_sub(fewer),
            highest: desired + more,
            unchanged: seconds(unchanged),
            unraised: seconds(unraised),
            stalled: seconds(stalled),
            watched: watched.map(seconds),
            ..Observation::default()
        }
    }
}

proptest! {
    #[test]
    fn desired_stays_within_bounds_and_capacity(
        settings in any_settings(), seen in any_seen(), wanted: u32,
    ) {
        let recommendation = Recommendation { replicas: wanted, reason: Reason::Configured { replicas: wanted } };
        let desired = constrain(&seen, &settings, recommendation).desired;
        let (min, max) = (settings.min, settings.max.max(settings.min));
        prop_assert!(desired <= max);
        if settings.scaled {
            prop_assert!(desired >= min || desired >= seen.capacity.max(seen.desired));
            prop_assert!(desired <= seen.desired || desired <= seen.capacity);
        } else {
            prop_assert!(desired >= min);
        }
    }

    #[test]
    fn who_wants_more_does_not_get_less(
        settings in any_settings(), seen in any_seen(), wanted in 0u32..60, more in 0u32..60,
    ) {
        let given = |replicas| {
            let reason = Reason::Configured { replicas };
            constrain(&seen, &settings, Recommendation { replicas, reason }).desired
        };
        prop_assert!(given(wanted) <= given(wanted + more));
    }

    #[test]
    fn what_was_given_is_explained(
        settings in any_settings(), seen in any_seen(), wanted in 0u32..60,
    ) {
        let recommendation = Recommendation { replicas: wanted, reason: Reason::Configured { replicas: wanted } };
        let decision = constrain(&seen, &settings, recommendation);
        prop_assert!(
            !settings.scaled || decision.desired == wanted || decision.reasons.len() > 1,
            "{decision:?}"
        );
    }
}
