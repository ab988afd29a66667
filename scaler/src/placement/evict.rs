//! Which replicas are evicted so that another model gets their room: replicas without requests in
//! flight whose residency is over, the least recently used first.

use std::{cmp::Reverse, time::Duration};

use smallvec::SmallVec;

use super::{
    draft::{Draft, Replica},
    fleet::{ModelNeed, PlacedState},
    needs::{Claim, May, Need, takes_back},
    room::When,
    turns,
};
use crate::clock::Nanos;

/// The replicas that are evicted from one bin: mostly a single one. Computed for every bin, hence
/// no allocation.
type Cleared = SmallVec<[usize; 4]>;

/// The replicas that are evicted so that a model fits.
pub(super) struct Victims {
    pub(super) pool: usize,
    pub(super) bins: Vec<usize>,
    pub(super) replicas: Vec<usize>,
}

/// The cost of an eviction. Costs are compared by their fields, in this order.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    /// How many of the evicted models are in use now.
    in_use: usize,
    /// How many of the evicted models were used within their residency.
    recent: usize,
    /// How many requests are in flight in the evicted replicas.
    in_flight: u64,
    /// When any of the evicted models was last used. Replicas beyond their model's minimum do not
    /// count.
    last_used: Nanos,
    /// How many replicas are evicted.
    replicas: usize,
}

/// The replicas that can be evicted at the least cost so that a model fits into one of the pools.
/// `None`: it may evict none, or not enough.
pub(super) fn victims(
    draft: &Draft<'_>,
    claim: &Claim,
    pools: &[usize],
    may: May,
) -> Option<Victims> {
    if may == May::Nothing {
        return None;
    }
    let model = claim.model;
    let need = &draft.fleet.models[model];
    let count = need.bins.max(1) as usize;
    pools.iter().find_map(|&pool| {
        let open = draft.open_bins(model, pool);
        let ways = (0..open.len())
            .filter(|&bin| open[bin] && draft.rooms[pool][bin].capacity >= need.memory)
            .filter_map(|bin| {
                let set = clear(draft, claim, (pool, bin), may, &[])?;
                Some((cost(draft, &set), bin, set))
            });
        if count == 1 {
            let (_, bin, replicas) = ways.min()?;
            return Some(Victims {
                pool,
                bins: vec![bin],
                replicas: replicas.into_vec(),
            });
        }
        let mut ways: Vec<_> = ways.collect();
        if ways.len() < count {
            return None;
        }
        ways.sort();
        let bins: Vec<_> = ways[..count].iter().map(|&(_, bin, _)| bin).collect();
        // Compute each bin again, because now the evictions in the other bins are known.
        let mut replicas = Vec::new();
        for &bin in &bins {
            let more = clear(draft, claim, (pool, bin), may, &replicas)?;
            replicas.extend(more);
        }
        Some(Victims {
            pool,
            bins,
            replicas,
        })
    })
}

/// The replicas that must be evicted from a bin so that a model fits into it, beside the replicas
/// that go anyway.
fn clear(
    draft: &Draft<'_>,
    claim: &Claim,
    (pool, bin): (usize, usize),
    may: May,
    going: &[usize],
) -> Option<Cleared> {
    let room = &draft.rooms[pool][bin];
    let needs = draft.fleet.models[claim.model].memory;
    let needs = needs.saturating_add(room.owed());
    let when = if may == May::Turn {
        When::Later
    } else {
        When::Soon
    };
    // A shortcut: for most models that look for room, a bin has nothing that may be evicted.
    if may != May::Turn && going.is_empty() && room.free(when).saturating_add(room.idle) < needs {
        return None;
    }
    let here = going
        .iter()
        .filter(|&&index| draft.replicas[index].bins.contains(&bin));
    let mut free = here.fold(room.free(when), |free, &index| {
        free.saturating_add(draft.replicas[index].memory)
    });
    let mut chosen = Cleared::new();
    // Replicas beyond their model's minimum are evicted first, then the least recently used.
    for only_spare in [true, false] {
        for &index in &room.occupants {
            if free >= needs {
                break;
            }
            let lost = lost(draft, index, chosen.iter().chain(going));
            let goes = || chosen.contains(&index) || going.contains(&index);
            let in_order = spare(draft, index, lost) == only_spare;
            if in_order && !goes() && takes(draft, claim, index, lost, may) {
                chosen.push(index);
                free = free.saturating_add(draft.replicas[index].memory);
            }
        }
    }
    if free < needs {
        return None;
    }
    // A large replica that was chosen late may make smaller ones before it needless. The last one
    // chosen is needed in any case.
    for position in (0..chosen.len().saturating_sub(1)).rev() {
        let without = free.saturating_sub(draft.replicas[chosen[position]].memory);
        if without >= needs {
            free = without;
            chosen.remove(position);
        }
    }
    Some(chosen)
}

/// How many of the replicas that go are of the same model as this one.
fn lost<'b>(draft: &Draft<'_>, index: usize, going: impl Iterator<Item = &'b usize>) -> u32 {
    let model = draft.replicas[index].model;
    let going = going.filter(|&&other| draft.replicas[other].model == model);
    going.count() as u32
}

/// Whether a model keeps its minimum of replicas if this one goes besides those it loses.
fn spare(draft: &Draft<'_>, index: usize, lost: u32) -> bool {
    draft.replicas[index].model.is_some_and(|model| {
        let beyond = draft.staying[model].saturating_sub(draft.floor[model]);
        beyond > lost
    })
}

/// Whether a claim may take the room of a replica, of whose model it takes `lost` others.
fn takes(draft: &Draft<'_>, claim: &Claim, index: usize, lost: u32, may: May) -> bool {
    let replica = &draft.replicas[index];
    let Some(victim) = evictable(draft, claim.model, replica) else {
        return false;
    };
    let spare = spare(draft, index, lost);
    if replica.keeps_until > draft.now {
        return false;
    }
    let idle = replica.in_flight == 0 && victim.held == 0;
    let taker = &draft.fleet.models[claim.model];
    let may_take = match may {
        May::Nothing => false,
        May::UsedBefore(time) => idle && victim.last_used < time,
        May::Unused => idle && (spare || not_in_use_from(victim) <= draft.now),
        May::Idle => idle,
        May::Turn => idle || turns::gives_way(victim, spare, taker, draft.now),
    };
    // Those that take turns do take the room back, but not before their time.
    let back = || (replica.model).is_some_and(|model| takes_back(draft, model, lost, claim));
    may_take && (may == May::Turn || !back())
}

/// The model of a replica that may be evicted for another model once it has been idle for long
/// enough. `None`: the replica may never be evicted for it.
fn evictable<'a>(draft: &Draft<'a>, by: usize, replica: &Replica<'_>) -> Option<&'a ModelNeed> {
    let model = replica.model.filter(|&model| model != by)?;
    let victim = &draft.fleet.models[model];
    let evictable = replica.state == PlacedState::Loaded && !replica.parting && !victim.pinned;
    evictable.then_some(victim)
}

/// When a model stops counting as in use, if it gets no further request.
fn not_in_use_from(model: &ModelNeed) -> Nanos {
    model.last_used + turns::residency(model)
}

/// When a replica may be evicted for a further replica of any other model, if its model gets no
/// further request. `None`: it cannot be, at present.
pub(super) fn unused_from(draft: &Draft<'_>, index: usize) -> Option<Nanos> {
    let replica = &draft.replicas[index];
    let model = evictable(draft, usize::MAX, replica)?;
    let is_idle = replica.in_flight == 0 && model.held == 0;
    let from = match spare(draft, index, 0) {
        true => replica.keeps_until,
        false => replica.keeps_until.max(not_in_use_from(model)),
    };
    let further = Claim {
        model: usize::MAX,
        rank: u32::MAX,
        need: Need::FurtherHeld {
            held: Reverse(u32::MAX),
        },
    };
    let back = || (replica.model).is_some_and(|model| takes_back(draft, model, 0, &further));
    let goes = is_idle && (from > draft.now || !back());
    goes.then_some(from)
}

/// Bins that will soon be free for a model to which nothing may be evicted yet: those whose
/// residencies end first. `None`: the model will get no room in this way.
pub(super) fn cleared_next(
    draft: &Draft<'_>,
    model: usize,
    pools: &[usize],
) -> Option<(usize, Vec<usize>)> {
    let need = &draft.fleet.models[model];
    let count = need.bins.max(1) as usize;
    pools.iter().find_map(|&pool| {
        let open = draft.open_bins(model, pool);
        let rooms = draft.rooms[pool].iter().enumerate();
        let mut bins: Vec<_> = rooms
            .filter(|(bin, _)| open[*bin])
            .filter_map(|(bin, room)| {
                let here = room.occupants.iter().map(|&index| &draft.replicas[index]);
                let loaded = here.filter(|own| own.state == PlacedState::Loaded);
                let (mut kept, mut until) = (0_u64, draft.now);
                let mut all = 0_u64;
                for replica in loaded {
                    all = all.saturating_add(replica.memory);
                    match evictable(draft, model, replica) {
                        Some(_) => until = until.max(replica.keeps_until),
                        None => kept = kept.saturating_add(replica.memory),
                    }
                }
                let leaves = room.going.saturating_add(room.slow);
                let loading = room.used.saturating_sub(all.saturating_add(leaves)) > 0;
                let most = room.capacity.saturating_sub(kept);
                let enough = most.saturating_sub(room.reserved) >= need.memory;
                enough.then_some((loading, until, bin))
            })
            .collect();
        bins.sort_unstable();
        let bins: Vec<_> = bins.iter().take(count).map(|&(.., bin)| bin).collect();
        (bins.len() == count).then_some((pool, bins))
    })
}

fn cost(draft: &Draft<'_>, set: &[usize]) -> Cost {
    let mut cost = Cost::default();
    for (position, &index) in set.iter().enumerate() {
        let replica = &draft.replicas[index];
        let Some(model) = replica.model.map(|model| &draft.fleet.models[model]) else {
            continue;
        };
        let in_use = replica.in_flight > 0 || model.held > 0;
        cost.in_use += usize::from(in_use);
        cost.in_flight += u64::from(replica.in_flight);
        cost.replicas += 1;
        if !spare(draft, index, lost(draft, index, set[..position].iter())) {
            cost.recent += usize::from(not_in_use_from(model) > draft.now);
            cost.last_used = cost.last_used.max(model.last_used);
        }
    }
    cost
}

/// For a model that gets no room: which model will presumably give up its room first, and in how
/// long. A new plan is made whenever this may have changed.
pub(super) fn in_the_way(
    draft: &mut Draft<'_>,
    model: usize,
    pools: &[usize],
    may: May,
) -> Option<(usize, Duration)> {
    let now = draft.now;
    let mut first: Option<(Nanos, usize)> = None;
    let mut wake: Option<Nanos> = None;
    for &pool in pools {
        let open = draft.open_bins(model, pool);
        for (room, _) in draft.rooms[pool].iter().zip(open).filter(|(_, open)| *open) {
            if room.capacity < draft.fleet.models[model].memory {
                continue;
            }
            for &index in &room.occupants {
                let replica = &draft.replicas[index];
                let Some(victim) = evictable(draft, model, replica) else {
                    continue;
                };
                let kept = replica.keeps_until;
                // A replica beyond its model's minimum may be evicted even while the model is
                // used.
                let unused = (may == May::Unused).then(|| not_in_use_from(victim));
                let chances = [Some(kept), unused].into_iter().flatten();
                for chance in chances.filter(|&chance| chance > now) {
                    wake = Some(wake.map_or(chance, |wake| wake.min(chance)));
                }
                if first.is_none_or(|first| (kept.max(now), index) < first) {
                    first = Some((kept.max(now), index));
                }
            }
        }
    }
    if let Some(wake) = wake {
        draft.wake_at(wake);
    }
    let (until, index) = first?;
    Some((draft.replicas[index].model?, until.since(now)))
}
