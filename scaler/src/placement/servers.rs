//! How many replicas a server needs for its models, and which of them can be removed.
//!
//! A server needs as many replicas as its model with the most, and as many as its models fill.
//! Models that are placed stay; the others are placed by first fit, the largest first (the
//! *first-fit-decreasing* rule for bin packing), with one replica of a model in a bin, first into
//! present bins and then into new ones. With over-commit of p percent each bin counts as p percent
//! larger, so that the count follows admitted memory ÷ (1 + p ÷ 100).

use std::cmp::Reverse;

use super::{
    admit::{Admission, bin_to_come},
    draft::{Draft, MOST_AT_ONCE, UNBOUNDED},
    fleet::{Bin, PlacedState, ServerScaling},
    plan::Why,
    room::When,
};

/// Packing leaves this part (1/10) of a bin free when it moves models there, so that they do not
/// have to move again soon.
const MARGIN: u64 = 10;

/// Decides the count of every server that scales, and which bins are to be removed.
pub(super) fn scale(draft: &mut Draft<'_>, admission: &Admission) {
    let fleet = draft.fleet;
    let mut pending: Vec<Vec<usize>> = vec![Vec::new(); fleet.pools.len()];
    let mut highest = vec![0; fleet.pools.len()];
    for (model, need) in fleet.models.iter().enumerate() {
        let Some(home) = admission.home[model].filter(|_| admission.admitted[model]) else {
            continue;
        };
        highest[home] = need.wanted.max(highest[home]);
        if need.wanted > draft.staying[model] {
            pending[home].push(model);
        }
    }
    for pool in 0..fleet.pools.len() {
        let models = std::mem::take(&mut pending[pool]);
        let quiet = models.is_empty();
        let (used, to_come, beyond) = first_fit(draft, pool, models);
        for model in beyond {
            // Memory that this pool can never hold counts in the model's next pool.
            let mut pools = fleet.models[model].pools.iter().copied();
            let later = pools.find(|&next| next > pool && next < fleet.pools.len());
            if let Some(next) = later {
                pending[next].push(model);
            }
        }
        if let Some(scaling) = &fleet.pools[pool].scaling {
            let filled = used.iter().filter(|used| **used).count() as u32 + to_come;
            let needed = filled.max(highest[pool]).max(scaling.min).max(1);
            let settled = adjust(draft, pool, scaling, needed, &used);
            let least = highest[pool].max(scaling.min).max(1);
            if settled && quiet && scaling.packing {
                pack(draft, pool, scaling, least);
            }
        }
    }
}

/// Raises the count at once, and lowers it once it has been stable. Returns whether the count is
/// right already.
fn adjust(
    draft: &mut Draft<'_>,
    pool: usize,
    scaling: &ServerScaling,
    needed: u32,
    used: &[bool],
) -> bool {
    let name = &draft.fleet.pools[pool].name;
    let most = scaling.max.max(1);
    let needed = needed.min(most);
    call_back(draft, pool, needed);
    let staying: Vec<_> = (0..used.len())
        .filter(|&bin| !draft.rooms[pool][bin].leaving)
        .collect();
    let total = kept(draft, pool, needed);
    let up = total.min(most);
    if up > scaling.asked {
        draft.plan.servers.insert(name.clone(), up);
        return false;
    }
    let to_go = staying.len().saturating_sub(needed as usize);
    if to_go == 0 && total >= scaling.asked {
        return true;
    }
    if scaling.unchanged < scaling.stability {
        let rest = scaling.stability - scaling.unchanged;
        draft.wake_at(draft.now + rest);
        return false;
    }
    // Empty bins are removed first, then those with the fewest models, the youngest among equals.
    // If the orchestrator removes the highest number first, those with the highest: their models
    // fit into the others.
    let mut order = staying;
    let models = models_in(draft, pool);
    let bins = &draft.fleet.pools[pool].bins;
    order.sort_by_key(|&bin| match bins[bin].ordinal {
        Some(ordinal) => (Reverse(Some(ordinal)), false, 0, Reverse(bin)),
        None => (Reverse(None), used[bin], models[bin], Reverse(bin)),
    });
    for &bin in &order[..to_go] {
        draft.leave(pool, bin);
    }
    let total = kept(draft, pool, needed);
    if total < scaling.asked {
        draft.plan.servers.insert(name.clone(), total);
        // Bins above the new count are removed too, also where a lower one was chosen: nothing is
        // loaded there any more.
        for (bin, Bin { ordinal, .. }) in bins.iter().enumerate() {
            let is_removed = ordinal.is_some_and(|ordinal| ordinal >= total);
            if is_removed && !draft.rooms[pool][bin].leaving {
                draft.leave(pool, bin);
            }
        }
    }
    false
}

/// Keeps as many of the leaving bins as are needed: first those that have models, then those that
/// the orchestrator would remove last.
fn call_back(draft: &mut Draft<'_>, pool: usize, needed: u32) {
    let bins = &draft.fleet.pools[pool].bins;
    let rooms = &draft.rooms[pool];
    let (mut going, staying): (Vec<_>, Vec<_>) =
        (0..bins.len()).partition(|&bin| rooms[bin].leaving);
    let lacking = (needed as usize).saturating_sub(staying.len());
    going.retain(|&bin| !bins[bin].given_up);
    going.sort_by_key(|&bin| (bins[bin].ordinal, !rooms[bin].inhabited, bin));
    for bin in going.into_iter().take(lacking) {
        draft.stay(pool, bin);
    }
}

/// The count at which no bin with a model is removed, if `needed` of the bins stay.
fn kept(draft: &Draft<'_>, pool: usize, needed: u32) -> u32 {
    let rooms = draft.rooms[pool].iter();
    let inhabited = rooms
        .zip(&draft.fleet.pools[pool].bins)
        .filter(|(room, _)| room.inhabited);
    // Bins that are given up are not part of the count that is asked for.
    let leaving = inhabited
        .clone()
        .filter(|(room, bin)| room.leaving && !bin.given_up);
    let leaving = leaving.count() as u32;
    match inhabited.filter_map(|(_, bin)| bin.ordinal).max() {
        Some(highest) => needed.max(highest.saturating_add(1)),
        None => needed.saturating_add(leaving),
    }
}

/// Places pending models into a pool's bins and into new ones. Returns which bins are then in use,
/// how many new ones are needed, and which models fit into none.
fn first_fit(
    draft: &Draft<'_>,
    pool: usize,
    mut models: Vec<usize>,
) -> (Vec<bool>, u32, Vec<usize>) {
    let fleet = draft.fleet;
    let rooms = &draft.rooms[pool];
    let stretch = |memory: u64| match fleet.pools[pool].overcommit {
        None => UNBOUNDED,
        Some(percent) => {
            let stretched = u128::from(memory) * (100 + u128::from(percent)) / 100;
            u64::try_from(stretched).unwrap_or(UNBOUNDED).min(UNBOUNDED)
        }
    };
    let mut used: Vec<_> = rooms
        .iter()
        .map(|room| room.inhabited && !room.leaving)
        .collect();
    // Capacity and free memory of each bin, enlarged by the over-commit.
    let mut bins: Vec<_> = rooms
        .iter()
        .map(|room| match room.leaving {
            true => (0, 0),
            false => {
                let kept = room.capacity.saturating_sub(room.free(When::Later));
                (room.capacity, stretch(room.capacity).saturating_sub(kept))
            }
        })
        .collect();
    let there = rooms.iter().filter(|room| !room.leaving).count();
    let max = fleet.pools[pool]
        .scaling
        .as_ref()
        .map_or(0, |s| s.max as usize);
    let to_come = max.saturating_sub(there).min(MOST_AT_ONCE as usize);
    let most = rooms.len() + to_come;
    let new = bin_to_come(&fleet.pools[pool]);
    models.sort_by_key(|&model| (Reverse(fleet.models[model].memory), model));
    let mut beyond = Vec::new();
    for model in models {
        let need = &fleet.models[model];
        let mut open: Vec<_> = rooms.iter().map(|room| !room.leaving).collect();
        for replica in draft.replicas_of(model) {
            for &bin in replica.bins.iter().filter(|_| replica.pool == pool) {
                if let Some(open) = open.get_mut(bin).filter(|_| replica.serves()) {
                    *open = false;
                }
            }
        }
        let missing = need.wanted.saturating_sub(draft.staying[model]);
        let missing = u64::from(missing.min(MOST_AT_ONCE));
        for _ in 0..missing * u64::from(need.bins.max(1)) {
            open.resize(bins.len(), true);
            let fits = |bin: &usize| {
                let (capacity, left) = bins[*bin];
                open[*bin] && capacity >= need.memory && left >= need.memory
            };
            let bin = match (0..bins.len()).find(fits) {
                Some(bin) => bin,
                None if bins.len() < most && new >= need.memory => {
                    bins.push((new, stretch(new)));
                    used.push(true);
                    open.push(true);
                    bins.len() - 1
                }
                None => {
                    beyond.push(model);
                    break;
                }
            };
            bins[bin].1 = bins[bin].1.saturating_sub(need.memory);
            open[bin] = false;
            used[bin] = true;
        }
    }
    let to_come = bins.len() - rooms.len();
    used.truncate(rooms.len());
    (used, to_come as u32, beyond)
}

/// Moves all models of one bin to others, if there is room for them and a margin, so that the bin
/// can be removed.
fn pack(draft: &mut Draft<'_>, pool: usize, scaling: &ServerScaling, least: u32) {
    let moving = |replica: &&super::draft::Replica<'_>| {
        replica.pool == pool && (replica.state != PlacedState::Loaded || replica.parting)
    };
    if draft.rooms[pool].iter().any(|room| room.leaving)
        || draft.rooms[pool].len() <= least as usize
        || draft.replicas.iter().any(|replica| moving(&replica))
    {
        return;
    }
    let models = models_in(draft, pool);
    let mut order: Vec<_> = (0..models.len()).collect();
    let bins = &draft.fleet.pools[pool].bins;
    order.sort_by_key(|&bin| (Reverse(bins[bin].ordinal), models[bin], Reverse(bin)));
    if order
        .first()
        .is_some_and(|&bin| bins[bin].ordinal.is_some())
    {
        order.truncate(1);
    }
    let Some((bin, moves)) = order
        .into_iter()
        .find_map(|bin| Some((bin, moves(draft, pool, bin)?)))
    else {
        return;
    };
    if scaling.unchanged < scaling.stability {
        let rest = scaling.stability - scaling.unchanged;
        draft.wake_at(draft.now + rest);
        return;
    }
    draft.leave(pool, bin);
    for (model, bin) in moves {
        draft.load(model, pool, vec![bin], Why::Moves);
    }
}

/// Where each replica in a bin can go, if all of them can.
fn moves(draft: &Draft<'_>, pool: usize, from: usize) -> Option<Vec<(usize, usize)>> {
    let fleet = draft.fleet;
    let mut free: Vec<_> = draft.rooms[pool]
        .iter()
        .map(|room| (room.free(When::Now)).saturating_sub(room.capacity.div_ceil(MARGIN)))
        .collect();
    let mut replicas: Vec<_> = (draft.replicas.iter())
        .filter(|replica| replica.pool == pool && replica.bins.contains(&from))
        .collect();
    replicas.sort_by_key(|replica| (Reverse(replica.memory), replica.model));
    let mut moves = Vec::new();
    for replica in replicas {
        let model = replica.model?;
        let need = &fleet.models[model];
        if replica.bins.len() != 1 || need.not_before.is_some_and(|until| until > draft.now) {
            return None;
        }
        let open = draft.open_bins(model, pool);
        let fits = |&bin: &usize| bin != from && open[bin] && free[bin] >= need.memory;
        // Into the fullest bin that has room, so that other bins can be emptied next.
        let bin = (0..free.len()).filter(fits).min_by_key(|&bin| free[bin])?;
        free[bin] -= need.memory;
        moves.push((model, bin));
    }
    Some(moves)
}

/// How many replicas of models are in each bin of a pool.
fn models_in(draft: &Draft<'_>, pool: usize) -> Vec<usize> {
    let mut models = vec![0; draft.rooms[pool].len()];
    for replica in draft.replicas.iter().filter(|replica| replica.pool == pool) {
        for &bin in &*replica.bins {
            if let Some(models) = models.get_mut(bin) {
                *models += 1;
            }
        }
    }
    models
}
