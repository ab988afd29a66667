//! Guards: what of a policy's wish may be done. Pure, like the policies.
//!
//! Source of the rules: Seldon Core 2 documentation, "Autoscaling of models"
//! and "Server capacity":
//!
//! 1. scaling only where minReplicas or maxReplicas is set;
//! 2. the count stays within them;
//! 3. scale-down only when the replica set has been unchanged for the stability
//!    time. (Stricter here, where replicas were found that somebody else had asked
//!    for, as after a restart: not before demand has been watched for the longest
//!    window it is looked at.)
//! 4. scale-up only where the server has capacity; a refused scale-up changes
//!    nothing and says why. (Where it has room for some, `lag` gets those: its
//!    wish is a total, not a step.)
//!
//! And two of our own:
//!
//! 5. where replicas have not become ready for far longer than a start takes,
//!    one more is tried now and then, and no more than that: starts that hang
//!    are not waited for, and do not multiply;
//! 6. the count goes up, and down, no faster than the user allows. (Bounds are not
//!    waited for.)

use std::time::Duration;

use crate::{
    decision::{Decision, Reason},
    policy::{Observation, Settings, Wish},
    signals,
};

/// What was found is not scaled down before demand was watched for this long:
/// the longest of the windows that `lag` looks at.
pub const WATCH: Duration = signals::LONGEST_WINDOW;

/// What is done with `wish`.
#[must_use]
pub fn guard(seen: &Observation, settings: &Settings, wish: Wish) -> Decision {
    let mut decision = Decision {
        desired: wish.replicas,
        reasons: vec![wish.reason],
    };
    if !settings.scaled {
        let replicas = seen
            .desired
            .clamp(settings.min, settings.max.max(settings.min));
        let reason = match settings.min == settings.max {
            true => Reason::NotScaled { replicas },
            false => Reason::Followed { replicas },
        };
        return Decision {
            desired: replicas,
            reasons: vec![reason],
        };
    }
    limit(seen, settings, &mut decision);
    try_one(seen, &mut decision);
    bound(settings, &mut decision);
    fit(seen, &mut decision);
    steady(seen, settings, &mut decision);
    decision
}

/// Rule 6.
fn limit(seen: &Observation, settings: &Settings, decision: &mut Decision) {
    let wanted = decision.desired;
    let most = settings
        .up_limit
        .map(|limit| seen.lowest.saturating_add(limit.replicas.get()));
    let least = settings
        .down_limit
        .map(|limit| seen.highest.saturating_sub(limit.replicas.get()));
    let (allowed, limit) = match (most, least) {
        (Some(most), _) if wanted > most.max(seen.desired) => {
            (most.max(seen.desired), settings.up_limit)
        }
        (_, Some(least)) if wanted < least.min(seen.desired) => {
            (least.min(seen.desired), settings.down_limit)
        }
        _ => return,
    };
    decision.desired = allowed;
    if let Some(limit) = limit {
        decision.reasons.push(Reason::Limited { wanted, limit });
    }
}

/// Rule 5.
fn try_one(seen: &Observation, decision: &mut Decision) {
    let wanted = decision.desired;
    let due = u32::from(seen.unraised >= seen.patience());
    let most = seen.desired.saturating_add(due);
    if wanted > most && seen.hangs() {
        decision.desired = most;
        decision.reasons.push(Reason::Hanging {
            wanted,
            starting: seen.starting,
            stalled: seen.stalled,
        });
    }
}

/// Rule 2.
fn bound(settings: &Settings, decision: &mut Decision) {
    let (min, max) = (settings.min, settings.max.max(settings.min));
    let wanted = decision.desired;
    decision.desired = wanted.clamp(min, max);
    if decision.desired != wanted {
        decision.reasons.push(Reason::Bounded { wanted, min, max });
    }
}

/// Rule 4.
fn fit(seen: &Observation, decision: &mut Decision) {
    let wanted = decision.desired;
    if wanted > seen.desired && wanted > seen.capacity {
        decision.desired = seen.capacity.max(seen.desired);
        decision.reasons.push(Reason::NoCapacity {
            wanted,
            capacity: seen.capacity,
        });
    }
}

/// Rule 3. Not a bound's: going below a lowered maxReplicas does not wait.
fn steady(seen: &Observation, settings: &Settings, decision: &mut Decision) {
    let wanted = decision.desired;
    let allowed = seen.desired.min(settings.max.max(settings.min));
    if wanted >= allowed {
        return;
    }
    if let Some(watched) = seen.watched.filter(|&watched| watched < WATCH) {
        decision.desired = allowed;
        decision.reasons.push(Reason::Unwatched {
            wanted,
            watched,
            needed: WATCH,
        });
    } else if seen.unchanged < settings.stability {
        decision.desired = allowed;
        decision.reasons.push(Reason::Unstable {
            wanted,
            unchanged: seen.unchanged,
            stability: settings.stability,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use proptest::prelude::*;

    fn settings() -> Settings {
        Settings {
            policy: Policy::Lag,
            threshold: 30,
            slots: 30,
            target_wait: Duration::from_secs(1),
            inactive: Duration::from_secs(600),
            stability: Duration::from_secs(60),
            up_limit: None,
            down_limit: None,
            scaled: true,
            min: 1,
            max: 8,
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
        let wish = Wish {
            replicas: wanted,
            reason: Reason::Configured { replicas: wanted },
        };
        guard(&seen, settings, wish)
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
        assert_eq!(
            why,
            "5 wanted, but the server has room for 4: nothing changed"
        );
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
        let wish = || Wish {
            replicas: 1,
            reason: Reason::Configured { replicas: 1 },
        };
        let early = guard(&seen(63), &settings(), wish());
        assert_eq!(early.desired, 5);
        assert_eq!(
            early.reasons.last().unwrap().to_string(),
            "1 would do, but demand has been watched for 63 s only; scale-down waits for 64 s"
        );
        assert_eq!(guard(&seen(64), &settings(), wish()).desired, 1);
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
        let wish = || Wish {
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
            let decision = guard(&seen(stalled, unraised, start_up), &settings(), wish());
            assert_eq!(
                decision.desired, expected,
                "{stalled} s of {start_up} s, raised {unraised} s ago"
            );
        }
    }

    proptest! {
        #[test]
        fn desired_stays_within_bounds_or_where_it_was(
            wanted in 0u32..1000, desired in 1u32..8, capacity in 0u32..20, unchanged in 0u64..120,
        ) {
            let decision = decide(&settings(), wanted, desired, capacity, unchanged);
            prop_assert!((1..=8).contains(&decision.desired));
            prop_assert!(decision.desired <= desired || decision.desired <= capacity);
        }
    }
}
