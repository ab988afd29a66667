//! Replicas that go without being evicted: those of removed models, those beyond the wanted count,
//! and those in a wrong place whose model has room elsewhere.

use super::{
    draft::{Draft, Replica},
    fleet::{Bin, PlacedState},
    plan::Why,
};

/// Drains replicas of models that are no longer configured, and replicas beyond the wanted count.
pub(super) fn drain_surplus(draft: &mut Draft<'_>) {
    let fleet = draft.fleet;
    let placed = fleet.pools.iter().flat_map(|pool| &pool.placed);
    for (index, placed) in placed.enumerate() {
        let replica = &draft.replicas[index];
        if replica.model.is_none() && replica.serves() {
            draft.drain(index, &placed.model, Why::Removed);
        }
    }
    for (model, need) in fleet.models.iter().enumerate() {
        let surplus = draft.staying[model].saturating_sub(need.wanted) as usize;
        if surplus == 0 {
            continue;
        }
        let mut staying = serving(draft, model, |replica| !replica.parting);
        staying.sort_by_key(|&index| {
            let replica = &draft.replicas[index];
            let loaded = replica.state == PlacedState::Loaded;
            (
                loaded,
                replica.in_flight,
                std::cmp::Reverse(replica.since),
                index,
            )
        });
        for &index in &staying[..surplus] {
            let wants = need.wanted;
            draft.drain(index, &need.name, Why::Surplus { wants });
        }
    }
}

/// Drains replicas in bins that are too full, because a model needs more memory than before or the
/// bin has less. Replicas that go anyway are drained first, then those that are not loaded yet,
/// then the least used ones.
pub(super) fn drain_too_much(draft: &mut Draft<'_>) {
    let fleet = draft.fleet;
    for (pool, own) in fleet.pools.iter().enumerate() {
        for (bin, Bin { name, .. }) in own.bins.iter().enumerate() {
            let excess = |draft: &Draft<'_>| {
                let room = &draft.rooms[pool][bin];
                let kept = (room.used.saturating_sub(room.going)).saturating_sub(room.slow);
                kept > room.capacity
            };
            if !excess(draft) {
                continue;
            }
            let here = |index: &usize| {
                let replica = &draft.replicas[*index];
                let takes = replica.memory > 0 && replica.serves();
                takes && replica.pool == pool && replica.bins.contains(&bin)
            };
            let mut order: Vec<_> = (0..draft.replicas.len()).filter(here).collect();
            order.sort_by_key(|&index| {
                let replica = &draft.replicas[index];
                let need = replica.model.map(|model| &fleet.models[model]);
                (
                    !replica.parting,
                    replica.state == PlacedState::Loaded,
                    need.is_some_and(|need| need.pinned),
                    replica.in_flight > 0 || need.is_some_and(|need| need.held > 0),
                    need.map(|need| need.last_used),
                    index,
                )
            });
            for index in order {
                if !excess(draft) {
                    break;
                }
                if let Some(model) = draft.replicas[index].model {
                    let why = Why::TooMuch { bin: name.clone() };
                    draft.drain(index, &fleet.models[model].name, why);
                }
            }
        }
    }
}

/// Drains replicas that must leave their bin, as far as the model has enough others that are
/// loaded, or cannot get any others. `hopeless` tells the latter for each model.
pub(super) fn drain_parting(draft: &mut Draft<'_>, hopeless: &[bool]) {
    let fleet = draft.fleet;
    for (model, need) in fleet.models.iter().enumerate() {
        let mut parting = serving(draft, model, |replica| replica.parting);
        if parting.is_empty() {
            continue;
        }
        let loaded =
            |replica: &Replica<'_>| !replica.parting && replica.state == PlacedState::Loaded;
        let others = serving(draft, model, loaded).len();
        let kept = match hopeless[model] {
            true => 0,
            false => (need.wanted as usize).saturating_sub(others),
        };
        // Replicas in use are drained last.
        parting.sort_by_key(|&index| {
            let replica = &draft.replicas[index];
            let loading = replica.state == PlacedState::Loading;
            (loading, std::cmp::Reverse(replica.in_flight), index)
        });
        for &index in parting.iter().skip(kept) {
            let replica = &draft.replicas[index];
            let pool = &fleet.pools[replica.pool];
            let why = match need.pools.contains(&replica.pool) {
                false => Why::OtherPool {
                    pool: pool.name.clone(),
                },
                true => {
                    let rooms = &draft.rooms[replica.pool];
                    let leaving = |bin: &&usize| rooms.get(**bin).is_none_or(|room| room.leaving);
                    let bin = replica.bins.iter().find(leaving);
                    let bin = bin.and_then(|&bin| pool.bins.get(bin));
                    Why::Leaving {
                        bin: bin.map_or_else(|| pool.name.clone(), |bin| bin.name.clone()),
                    }
                }
            };
            draft.drain(index, &need.name, why);
        }
    }
}

fn serving(draft: &Draft<'_>, model: usize, which: impl Fn(&Replica<'_>) -> bool) -> Vec<usize> {
    let of_model = draft.of_model[model].iter().copied();
    of_model
        .filter(|&index| draft.replicas[index].serves() && which(&draft.replicas[index]))
        .collect()
}
