//! In which order models get room, and from where: free room, room that is being freed, or room of
//! models that are evicted.

use std::cmp::Reverse;

use super::{
    admit::Admission,
    draft::{Draft, MOST_AT_ONCE},
    evict::{self, May, Victims},
    fleet::{Bin, ModelNeed},
    plan::{Unplaced, Why},
    room::{Room, When},
    turns,
};
use crate::clock::Nanos;

/// One more replica that a model wants.
struct Claim {
    model: usize,
    /// Which of the model's replicas it would be, counted from 1.
    rank: u32,
    /// Why the model wants it.
    need: Need,
}

/// Why a replica is wanted. Claims are met in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// A model is urgent, and has been without a replica for longer than its requests may be held.
    Overdue { out_since: Option<Nanos> },
    /// Requests are held for a model that has no replica, and have waited for half of their time.
    Urgent { until: Nanos },
    /// Requests are held for a model that has no replica.
    Held { held: Reverse<u32> },
    /// Like [`Held`](Self::Held), but a replica of the model is being drained for another model.
    HeldWhileDraining { held: Reverse<u32> },
    /// The model's replica must leave its bin.
    Moving { memory: Reverse<u64> },
    /// The model is pinned.
    Pinned,
    /// The model was never loaded.
    First,
    /// The model is in use, or was a moment ago, and has fewer replicas than its minimum.
    Minimum,
    /// Requests are held, and more replicas wanted than the minimum.
    FurtherHeld { held: Reverse<u32> },
    /// More replicas are wanted than the minimum.
    Further,
    /// The model was loaded before, and nobody uses it.
    Return { last_used: Reverse<Nanos> },
}

impl Need {
    /// Minimums first, further replicas next, models that nobody uses last.
    fn tier(self) -> u8 {
        match self {
            Self::FurtherHeld { .. } => 1,
            Self::Further => 2,
            Self::Return { .. } => 3,
            _ => 0,
        }
    }

    /// Whose room a claim of this need may take. A model that is evicted must come after its
    /// evictor in the order of claims, or the two would evict each other in circles. So needs that
    /// may evict much come early.
    fn may(self, model: &ModelNeed, rank: u32) -> May {
        match self {
            Self::Overdue { .. }
            | Self::Urgent { .. }
            | Self::Held { .. }
            | Self::HeldWhileDraining { .. } => May::Turn,
            Self::Moving { .. } if rank == 1 => May::UsedBefore(model.last_used),
            Self::Pinned => May::Idle,
            // A model whose first load has failed is not worth an eviction.
            Self::First if model.not_before.is_none() => May::Unused,
            Self::FurtherHeld { .. } => May::Unused,
            Self::Minimum if model.held > 0 => May::Unused,
            _ => May::Nothing,
        }
    }
}

/// Gives room to all models that want replicas, as far as there is room. Returns for each model
/// whether it can get no room at all at present.
pub(super) fn place(draft: &mut Draft<'_>, admission: &Admission) -> Vec<bool> {
    // A model that is not admitted gets no room.
    let mut hopeless: Vec<_> = admission
        .admitted
        .iter()
        .map(|admitted| !admitted)
        .collect();
    let mut blocked = vec![false; hopeless.len()];
    for claim in claims(draft, admission) {
        // If there is no room for one replica of a model, there is none for its next one either.
        if blocked[claim.model] {
            continue;
        }
        let name = &draft.fleet.models[claim.model].name;
        if let Err((reason, waits)) = meet(draft, &claim) {
            draft.plan.unplaced.entry(name.clone()).or_insert(reason);
            blocked[claim.model] = !waits;
            hopeless[claim.model] = !waits && !grows(draft, claim.model);
        }
    }
    hopeless
}

/// The replicas that models want and do not have, in the order in which they are placed: one
/// replica of each model before the second one of any.
fn claims(draft: &Draft<'_>, admission: &Admission) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (model, need) in draft.fleet.models.iter().enumerate() {
        let staying = draft.staying[model];
        if staying >= need.wanted || !admission.admitted[model] {
            continue;
        }
        let most = need.wanted.min(staying.saturating_add(MOST_AT_ONCE));
        claims.extend((staying + 1..=most).map(|rank| Claim {
            model,
            rank,
            need: what_for(draft, model, rank),
        }));
    }
    claims.sort_by_key(|claim| {
        let rank = match claim.need {
            Need::Pinned => 1,
            _ => claim.rank,
        };
        (claim.need.tier(), rank, claim.need, claim.model)
    });
    claims
}

fn what_for(draft: &Draft<'_>, model: usize, rank: u32) -> Need {
    let need = &draft.fleet.models[model];
    let replicas = || {
        draft.of_model[model]
            .iter()
            .map(|&index| &draft.replicas[index])
    };
    let held = Reverse(need.held);
    let parting = replicas().filter(|r| r.parting && r.serves()).count();
    if rank <= draft.floor[model] {
        let serves = draft.staying[model] > 0 || parting > 0;
        let draining = replicas().any(|replica| !replica.serves());
        if need.held > 0 && rank == 1 && !serves {
            return match turns::urgent_from(need) {
                _ if draining => Need::HeldWhileDraining { held },
                Some(from) if from <= draft.now && turns::is_overdue(need, draft.now) => {
                    Need::Overdue {
                        out_since: need.out_since,
                    }
                }
                Some(from) if from <= draft.now => Need::Urgent {
                    until: from + need.hold / 2,
                },
                _ => Need::Held { held },
            };
        }
    }
    if rank <= draft.staying[model] + parting as u32 {
        return Need::Moving {
            memory: Reverse(need.memory),
        };
    }
    if rank > draft.floor[model] {
        return match need.held {
            0 => Need::Further,
            _ => Need::FurtherHeld { held },
        };
    }
    let in_use = need.last_used + turns::residency(need) > draft.now
        || replicas().any(|replica| replica.in_flight > 0);
    if need.pinned {
        Need::Pinned
    } else if need.load_time.is_none() && rank == 1 {
        Need::First
    } else if in_use || need.held > 0 {
        Need::Minimum
    } else {
        Need::Return {
            last_used: Reverse(need.last_used),
        }
    }
}

/// Gives room to one more replica of a model, if need be room that is still to be freed. The error
/// says why there is none, and whether room is kept for the model.
fn meet(draft: &mut Draft<'_>, claim: &Claim) -> Result<(), (Unplaced, bool)> {
    let fleet = draft.fleet;
    let model = claim.model;
    let need = &fleet.models[model];
    if draft.resume(model) {
        return Ok(());
    }
    if let Some(until) = need.not_before.filter(|&until| until > draft.now) {
        draft.wake_at(until);
        let again_in = until.since(draft.now);
        return Err((Unplaced::Failed { again_in }, true));
    }
    let pools = draft.pools_of(model);
    let fit = |draft: &Draft<'_>, when| {
        let mut pools = pools.iter();
        pools.find_map(|&pool| Some((pool, draft.fit(model, pool, when)?)))
    };
    if let Some((pool, bins)) = fit(draft, When::Now) {
        let why = match claim.need {
            Need::Moving { .. } => Why::Moves,
            _ if need.held > 0 => Why::Held { held: need.held },
            _ => Why::Wanted {
                has: draft.staying[model],
                wants: need.wanted,
            },
        };
        draft.load(model, pool, bins, why);
        return Ok(());
    }
    let may = claim.need.may(need, claim.rank);
    let idle = if may == May::Turn { May::Idle } else { may };
    if let Some((pool, bins)) = fit(draft, When::Soon) {
        return Err((wait(draft, model, pool, &bins), true));
    }
    if let Some(victims) = evict::victims(draft, model, &pools, idle) {
        return Err((take(draft, model, &victims), true));
    }
    if let Some((pool, bins)) = fit(draft, When::Later) {
        return Err((wait(draft, model, pool, &bins), true));
    }
    if may == May::Turn {
        if let Some(victims) = evict::victims(draft, model, &pools, may) {
            return Err((take(draft, model, &victims), true));
        }
        if let Some(time) = turns::urgent_from(need) {
            draft.wake_at(time);
        }
    }
    // Otherwise models that need less would take each piece of room as soon as it is free.
    if matches!(claim.need, Need::Overdue { .. })
        && let Some((pool, bins)) = evict::cleared_next(draft, model, &pools)
    {
        draft.reserve(model, pool, &bins);
    }
    if may != May::Nothing
        && let Some((with, until)) = evict::in_the_way(draft, model, &pools, may)
        && may == May::Turn
    {
        let with = fleet.models[with].name.clone();
        return Err((Unplaced::Turns { with, until }, false));
    }
    Err((no_room(draft, model, &pools), false))
}

/// Keeps room for a model in bins where room is being freed.
fn wait(draft: &mut Draft<'_>, model: usize, pool: usize, bins: &[usize]) -> Unplaced {
    draft.reserve(model, pool, bins);
    let pool = &draft.fleet.pools[pool];
    let bin = bins.first().and_then(|&bin| pool.bins.get(bin));
    Unplaced::Freeing {
        needs: draft.fleet.models[model].memory,
        pool: pool.name.clone(),
        bin: bin.map_or_else(|| pool.name.clone(), |bin| bin.name.clone()),
    }
}

/// Drains the replicas that are evicted for a model, and keeps their room for it.
fn take(draft: &mut Draft<'_>, model: usize, victims: &Victims) -> Unplaced {
    let fleet = draft.fleet;
    let by = &fleet.models[model];
    for &index in &victims.replicas {
        let replica = &draft.replicas[index];
        let Some(victim) = replica.model.map(|victim| &fleet.models[victim]) else {
            continue;
        };
        let why = match replica.in_flight == 0 && victim.held == 0 {
            true => Why::Evicted {
                by: by.name.clone(),
            },
            false => Why::Turn {
                by: by.name.clone(),
                held: by.held,
            },
        };
        let needs = victim.memory;
        let pool = fleet.pools[victims.pool].name.clone();
        let free = 0;
        draft.drain(index, &victim.name, why);
        let room = Unplaced::Room { needs, pool, free };
        let unplaced = &mut draft.plan.unplaced;
        unplaced.entry(victim.name.clone()).or_insert(room);
    }
    wait(draft, model, victims.pool, &victims.bins)
}

/// The reason for a model that may evict no other and has no room.
fn no_room(draft: &Draft<'_>, model: usize, pools: &[usize]) -> Unplaced {
    let need = &draft.fleet.models[model];
    let Some(&preferred) = pools.first() else {
        return Unplaced::NoPool;
    };
    let name = |pool: usize| draft.fleet.pools[pool].name.clone();
    let mut any = false;
    let mut most = None;
    for &pool in pools {
        let open = draft.open_bins(model, pool);
        for (room, open) in draft.rooms[pool].iter().zip(open) {
            any |= !room.leaving;
            if open {
                most = most.max(Some((room.free(When::Now), Reverse(pool))));
            }
        }
    }
    match most {
        _ if !any => Unplaced::NoBin {
            pool: name(preferred),
        },
        None => Unplaced::OneEach {
            has: draft.staying[model],
            wants: need.wanted,
        },
        Some((free, Reverse(pool))) => Unplaced::Room {
            needs: need.memory,
            pool: name(pool),
            free,
        },
    }
}

/// Whether one of the model's pools is about to get more bins.
fn grows(draft: &Draft<'_>, model: usize) -> bool {
    draft.fleet.models[model].pools.iter().any(|&pool| {
        let Some(pool_now) = draft.fleet.pools.get(pool) else {
            return false;
        };
        let Some(scaling) = &pool_now.scaling else {
            return false;
        };
        let planned = draft.plan.servers.get(&pool_now.name);
        let asked = planned.copied().unwrap_or(scaling.asked) as usize;
        // A bin that is leaving is among those asked for until it is given up, even if it is empty.
        // None comes in its place.
        let there = |(room, bin): &(&Room, &Bin)| !room.leaving || room.inhabited || !bin.given_up;
        let bins = draft.rooms[pool].iter().zip(&pool_now.bins);
        asked > bins.filter(there).count()
    })
}
