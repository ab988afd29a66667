//! From where models get room: free room, room that is being freed, or room of models that are
//! evicted.

use std::cmp::Reverse;

use super::{
    admit::Admission,
    draft::{Draft, MOST_AT_ONCE, Replica},
    evict::{self, Victims},
    fleet::{Bin, PlacedState},
    needs::{Claim, May, Need},
    plan::{Unplaced, Why},
    room::{Room, When},
    turns,
};

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
        claims.extend((staying + 1..=most).map(|rank| Claim::of(draft, model, rank, staying)));
    }
    claims.sort_by_key(Claim::order);
    claims
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
        if loads_where_it_may_stay(draft, claim) {
            draft.reserve(model, pool, &bins);
            return Ok(());
        }
        let why = match claim.need {
            Need::Moving { .. } | Need::PinnedMoving { .. } => Why::Moves,
            _ if need.held > 0 => Why::Held { held: need.held },
            _ => Why::Wanted {
                has: draft.staying[model],
                wants: need.wanted,
            },
        };
        draft.load(model, pool, bins, why);
        return Ok(());
    }
    let may = claim.may(draft);
    let idle = if may == May::Turn { May::Idle } else { may };
    if let Some((pool, bins)) = fit(draft, When::Soon) {
        return Err((wait(draft, model, pool, &bins), true));
    }
    if let Some(victims) = evict::victims(draft, claim, &pools, idle) {
        return Err((take(draft, model, &victims), true));
    }
    if let Some((pool, bins)) = fit(draft, When::Later) {
        return Err((wait(draft, model, pool, &bins), true));
    }
    if may == May::Turn {
        if let Some(victims) = evict::victims(draft, claim, &pools, may) {
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

/// Whether what would move is still being loaded, in a bin that is to go but may stay after all. It
/// moves once it is loaded: two loads at once would both fail if the model cannot be loaded, and one
/// of them would be needless if the bin stays.
fn loads_where_it_may_stay(draft: &Draft<'_>, claim: &Claim) -> bool {
    let need = &draft.fleet.models[claim.model];
    let may_stay = |replica: &&Replica<'_>| {
        let bins = &draft.fleet.pools[replica.pool].bins;
        let stays = |&bin: &usize| bins.get(bin).is_some_and(|bin| !bin.given_up);
        need.pools.contains(&replica.pool) && replica.bins.iter().all(stays)
    };
    let loading = draft
        .replicas_of(claim.model)
        .filter(|own| own.parting && own.state == PlacedState::Loading)
        .filter(may_stay);
    // What is loaded moves first.
    let others = (need.wanted as usize).saturating_sub(loading.count());
    claim.rank as usize > others
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
