//! Constraints: what of a policy's recommendation may be done. Pure, like the policies.
//!
//! Source of the rules: Seldon Core 2 documentation, "Autoscaling of models"
//! and "Server capacity":
//!
//! 1. scaling only where minReplicas or maxReplicas is set;
//! 2. the count stays within them;
//! 3. scale-down only when the replica set has been unchanged for the stability
//!    time. (Stricter here, where replicas were found that somebody else had asked
//!    for, as after a restart: not before demand has been watched for the longest
//!    window it is looked at. And where a model in use could do with a tenth less, or
//!    not even so much: only after ten times the stability time. Chance changes
//!    demand by as much; Kubernetes' autoscaler does not answer a tenth at all. And
//!    where no replica is ready yet: not before a start may have taken its time.)
//! 4. scale-up only where the server has capacity; a refused scale-up changes
//!    nothing and says why. (Where it has room for some, `lag` gets those: its
//!    recommendation is a total, not a step.)
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
    policy::{Observation, Recommendation, Settings},
    signals,
};

/// Replicas that were taken over are not scaled down before demand was watched for the
/// longest of the windows that `lag` looks at.
pub const WATCH: Duration = signals::LONGEST_WINDOW;
/// Going down by no more than one in so many waits for as many times the stability time.
const LITTLE: u32 = 10;

/// What is to be done, where a policy has this `recommendation`.
#[must_use]
pub fn constrain(
    seen: &Observation,
    settings: &Settings,
    recommendation: Recommendation,
) -> Decision {
    let mut decision = Decision {
        desired: recommendation.replicas,
        reasons: vec![recommendation.reason],
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
    bound(settings, &mut decision);
    limit(seen, settings, &mut decision);
    try_one(seen, settings, &mut decision);
    fit(seen, &mut decision);
    steady(seen, settings, &mut decision);
    decision
}

/// Rule 6. A bound is not waited for.
fn limit(seen: &Observation, settings: &Settings, decision: &mut Decision) {
    let wanted = decision.desired;
    if let Some(limit) = settings.up_limit {
        let most = seen.lowest.saturating_add(limit.replicas.get());
        let most = most.max(seen.desired).max(settings.min);
        if wanted > most {
            decision.desired = most;
            decision.reasons.push(Reason::Limited { wanted, limit });
        }
    }
    if let Some(limit) = settings.down_limit {
        let least = seen.highest.saturating_sub(limit.replicas.get());
        let least = least.min(seen.desired).min(settings.max.max(settings.min));
        if wanted < least {
            decision.desired = least;
            decision.reasons.push(Reason::Limited { wanted, limit });
        }
    }
}

/// Rule 5. A bound is not waited for.
fn try_one(seen: &Observation, settings: &Settings, decision: &mut Decision) {
    let wanted = decision.desired;
    let due = u32::from(seen.unraised >= seen.patience());
    let most = seen.desired.saturating_add(due).max(settings.min);
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
        return;
    }
    // A start is not cut off before it may have taken its time: somebody waited for it.
    let is_first_start = seen.ready == 0 && seen.starting > 0;
    let in_use = seen.demand.idle < settings.inactive;
    let stability = if in_use && allowed - wanted <= allowed / LITTLE {
        settings.stability.saturating_mul(LITTLE)
    } else if is_first_start {
        settings.stability.max(settings.start)
    } else {
        settings.stability
    };
    if seen.unchanged < stability {
        decision.desired = allowed;
        decision.reasons.push(Reason::Unstable {
            wanted,
            unchanged: seen.unchanged,
            stability,
        });
    }
}

#[cfg(test)]
mod tests;
