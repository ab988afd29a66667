//! How many replicas each model could have, so that no more are asked for.

use super::{
    admit::bin_to_come,
    draft::{Draft, MOST_AT_ONCE, UNBOUNDED},
    evict,
    fleet::ModelNeed,
    room::When,
};

/// Finds for each model that may have more replicas than it wants how many it could have: its
/// present replicas, and those for which there is free room now or in bins that may be added. If
/// requests are held for the model, the room of unused models counts for one further replica, too.
pub(super) fn find(draft: &mut Draft<'_>) {
    let fleet = draft.fleet;
    let grows = |need: &ModelNeed| need.max > need.wanted;
    if !fleet.models.iter().any(grows) {
        return;
    }
    let (free, unused) = (free(draft), unused(draft));
    for (model, need) in fleet.models.iter().enumerate() {
        if !grows(need) {
            continue;
        }
        let pools = need.pools.iter().filter(|pool| **pool < free.len());
        let further = pools.map(|&pool| {
            let mut room = free[pool].clone();
            if need.held > 0 {
                let more = unused
                    .iter()
                    .filter(|own| own.pool == pool && own.model != model);
                more.for_each(|own| room[own.bin] = room[own.bin].saturating_add(own.memory));
            }
            further_in(draft, model, pool, room)
        });
        let further = further.fold(0, u64::saturating_add);
        let all = u64::from(draft.staying[model]).saturating_add(further);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        draft.plan.capacity.insert(need.name.clone(), all);
    }
}

/// Room that an unused model takes in a bin.
struct Unused {
    model: usize,
    pool: usize,
    bin: usize,
    memory: u64,
}

/// The free bytes in each bin, those that are being freed included.
fn free(draft: &Draft<'_>) -> Vec<Vec<u64>> {
    let rooms = draft.rooms.iter();
    rooms
        .map(|rooms| rooms.iter().map(|room| room.free(When::Later)).collect())
        .collect()
}

/// The room of unused models that could be evicted for a further replica of another model. It is
/// empty unless a model waits for a replica.
fn unused(draft: &mut Draft<'_>) -> Vec<Unused> {
    let mut all = Vec::new();
    let waits = |need: &ModelNeed| need.held > 0 && need.max > need.wanted;
    if !draft.fleet.models.iter().any(waits) {
        return all;
    }
    for index in 0..draft.replicas.len() {
        let Some(from) = evict::unused_from(draft, index) else {
            continue;
        };
        if from > draft.now {
            draft.wake_at(from);
            continue;
        }
        let replica = &draft.replicas[index];
        let (pool, memory) = (replica.pool, replica.memory);
        let bins = replica.bins.iter().copied();
        for bin in bins.filter(|&bin| bin < draft.rooms[pool].len()) {
            all.extend(replica.model.map(|model| Unused {
                model,
                pool,
                bin,
                memory,
            }));
        }
    }
    all
}

/// How many more replicas of a model fit into a pool whose bins have `room` bytes each.
fn further_in(draft: &Draft<'_>, model: usize, pool: usize, room: Vec<u64>) -> u64 {
    let need = &draft.fleet.models[model];
    let own = &draft.fleet.pools[pool];
    let most = match own.one_per_bin {
        true => 1,
        false => u64::from(MOST_AT_ONCE),
    };
    let fit = |bytes: u64| bytes.checked_div(need.memory).unwrap_or(most).min(most);
    let open = draft.open_bins(model, pool);
    let mut fits: Vec<u64> = open
        .iter()
        .zip(room)
        .map(|(open, room)| if *open { fit(room) } else { 0 })
        .collect();
    if let Some(scaling) = &own.scaling {
        let there = draft.rooms[pool]
            .iter()
            .filter(|room| !room.leaving)
            .count();
        let to_come = (scaling.max as usize).saturating_sub(there);
        let each = fit(bin_to_come(own).min(UNBOUNDED));
        fits.extend(std::iter::repeat_n(
            each,
            to_come.min(MOST_AT_ONCE as usize),
        ));
    }
    on_bins(&fits, u64::from(need.bins.max(1)))
}

/// How many replicas fit if each needs room in `bins` different bins, where bin i has room for
/// `fits[i]` replicas.
fn on_bins(fits: &[u64], bins: u64) -> u64 {
    // With `count` replicas, a bin takes at most one place of each. The bound that follows from
    // this falls from step to step, until it no longer changes.
    let mut count = u64::MAX;
    loop {
        let places = fits.iter().map(|&fit| fit.min(count));
        let next = places.fold(0, u64::saturating_add) / bins.max(1);
        if next >= count {
            return count;
        }
        count = next;
    }
}

#[cfg(test)]
mod tests {
    use super::on_bins;

    #[test]
    fn a_replica_of_several_devices_takes_room_on_different_ones() {
        for (fits, devices, expected) in [
            (&[2, 1][..], 1, 3),
            (&[2, 1], 2, 1),
            (&[3, 1], 2, 1),
            (&[3, 3], 2, 3),
            (&[1, 1, 1], 2, 1),
            (&[5, 1, 1], 3, 1),
            (&[1], 2, 0),
            (&[], 1, 0),
            (&[u64::MAX, u64::MAX], 1, u64::MAX),
        ] {
            assert_eq!(on_bins(fits, devices), expected, "{fits:?} {devices}");
        }
    }
}
