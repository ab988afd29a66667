//! Constraints limit what a policy recommends. Pure, like the policies.
//!
//! Source of the rules: Seldon Core 2 documentation, "Autoscaling of models"
//! and "Server capacity":
//!
//! 1. The count changes only if minReplicas or maxReplicas is set.
//! 2. The count stays within them.
//! 3. The count goes down only when the replica set has not changed for the stability time.
//!    Tailback adds three cases. Replicas that were found running, as after a restart, stay until
//!    demand has been watched for the longest window that a policy looks at. A scale-down by a
//!    tenth or less of a model in use waits for ten times the stability time: chance changes
//!    demand by as much, and the HPA of Kubernetes ignores a tenth altogether. And while no
//!    replica is ready, a starting one stays for as long as a start may take.
//! 4. The count goes up only as far as the server has capacity. If it has none, nothing changes
//!    and the reason says so.
//!
//! Three rules are Tailback's own:
//!
//! 5. If no replica has become ready for far longer than a start takes, only one more is asked
//!    for in each such time. So hanging starts do not block scaling, and do not multiply.
//! 6. The count goes up and down no faster than the user allows, except to reach a bound.
//! 7. While an operator holds the count, it is what was asked for, within rules 1, 2 and 4.

use std::time::Duration;

use crate::{
    decision::{Decision, Reason},
    policy::{Observation, Recommendation, Settings},
    signals,
};

/// How long demand must be watched before replicas that were found running are scaled down: the
/// longest window that `lag` uses.
pub const WATCH: Duration = signals::LONGEST_WINDOW;
/// A scale-down by at most one tenth waits for ten times the stability time.
const LITTLE: u32 = 10;

/// Applies the constraints to a policy's `recommendation`.
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
    if let Some(manual) = &seen.manual {
        decision.desired = manual.replicas;
        decision.reasons.push(Reason::Manual {
            replicas: manual.replicas,
            until: manual.until,
            by: manual.by.clone(),
        });
        bound(settings, &mut decision);
        fit(seen, &mut decision);
        return decision;
    }
    bound(settings, &mut decision);
    limit(seen, settings, &mut decision);
    try_one(seen, settings, &mut decision);
    fit(seen, &mut decision);
    steady(seen, settings, &mut decision);
    decision
}

/// Rule 6: rate limits. They do not apply to reaching a bound.
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

/// Rule 5: hanging starts. It does not apply to reaching a bound.
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

/// Rule 2: bounds.
fn bound(settings: &Settings, decision: &mut Decision) {
    let (min, max) = (settings.min, settings.max.max(settings.min));
    let wanted = decision.desired;
    decision.desired = wanted.clamp(min, max);
    if decision.desired != wanted {
        decision.reasons.push(Reason::Bounded { wanted, min, max });
    }
}

/// Rule 4: capacity.
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

/// Rule 3: stability. It does not apply to reaching a lowered maxReplicas.
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
    // A first start is given its full time: a request has waited for it.
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
