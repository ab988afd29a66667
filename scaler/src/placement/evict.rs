//! Which replicas go so that another model gets their room: nothing is in flight in them, they
//! have had their residency, and they are the least recently used.

use std::time::Duration;

use smallvec::SmallVec;

use super::{
    draft::{Draft, Replica},
    fleet::{ModelNeed, PlacedState},
    room::When,
    turns,
};
use crate::clock::Nanos;

/// Whose room a model may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum May {
    /// Nobody's.
    Nothing,
    /// That of models which were last used before that time.
    UsedBefore(Nanos),
    /// That of models which were not used for as long as their residency is.
    Unused,
    /// That of models which have nothing in flight and nothing held.
    Idle,
    /// That of models in use too, when it is the model's turn.
    Turn,
}

/// Replicas that go from one bin: mostly one, and looked for in all bins.
type Cleared = SmallVec<[usize; 4]>;

/// What is to go, so that a model fits.
pub(super) struct Victims {
    pub(super) pool: usize,
    pub(super) bins: Vec<usize>,
    pub(super) replicas: Vec<usize>,
}

/// What it costs to evict, the most important part first.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    /// Models that are in use now.
    in_use: usize,
    /// Models that were used within their residency.
    recent: usize,
    /// Requests in flight.
    in_flight: u64,
    /// When any of the models was used last. Replicas that their models can spare do not count.
    last_used: Nanos,
    /// Replicas.
    replicas: usize,
}

/// The cheapest replicas whose room a model may take so that it fits into one of the pools, if
/// there are any.
pub(super) fn victims(
    draft: &Draft<'_>,
    model: usize,
    pools: &[usize],
    may: May,
) -> Option<Victims> {
    if may == May::Nothing {
        return None;
    }
    let need = &draft.fleet.models[model];
    let count = need.bins.max(1) as usize;
    pools.iter().find_map(|&pool| {
        let open = draft.open_bins(model, pool);
        let ways = (0..open.len())
            .filter(|&bin| open[bin] && draft.rooms[pool][bin].capacity >= need.memory)
            .filter_map(|bin| {
                let set = clear(draft, model, (pool, bin), may, &[])?;
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
        // Again, now that each knows what goes for the others.
        let mut replicas = Vec::new();
        for &bin in &bins {
            let more = clear(draft, model, (pool, bin), may, &replicas)?;
            replicas.extend(more);
        }
        Some(Victims {
            pool,
            bins,
            replicas,
        })
    })
}

/// The replicas that have to go from a bin so that a model fits into it, beside those that go
/// anyway.
fn clear(
    draft: &Draft<'_>,
    model: usize,
    (pool, bin): (usize, usize),
    may: May,
    going: &[usize],
) -> Option<Cleared> {
    let room = &draft.rooms[pool][bin];
    let needs = draft.fleet.models[model].memory;
    let needs = needs.saturating_add(room.owed());
    let when = if may == May::Turn {
        When::Later
    } else {
        When::Soon
    };
    // Most models that look for room find nothing here that may go, and see that at once.
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
    // Replicas that their models can spare go first, then the least recently used.
    for only_spare in [true, false] {
        for &index in &room.occupants {
            if free >= needs {
                break;
            }
            let spare = spare(draft, index, chosen.iter().chain(going));
            let goes = || chosen.contains(&index) || going.contains(&index);
            if spare == only_spare && !goes() && takes(draft, model, index, spare, may) {
                chosen.push(index);
                free = free.saturating_add(draft.replicas[index].memory);
            }
        }
    }
    if free < needs {
        return None;
    }
    // A large one chosen late may make smaller ones before it needless. The last is needed.
    for position in (0..chosen.len().saturating_sub(1)).rev() {
        let without = free.saturating_sub(draft.replicas[chosen[position]].memory);
        if without >= needs {
            free = without;
            chosen.remove(position);
        }
    }
    Some(chosen)
}

/// Whether a model keeps as many replicas as it must have when this one goes too.
fn spare<'b>(draft: &Draft<'_>, index: usize, going: impl Iterator<Item = &'b usize>) -> bool {
    draft.replicas[index].model.is_some_and(|model| {
        let beyond = draft.staying[model].saturating_sub(draft.floor[model]) as usize;
        let going = going.filter(|&&other| draft.replicas[other].model == Some(model));
        beyond > 0 && beyond > going.count()
    })
}

/// Whether a model may take the room of a replica.
fn takes(draft: &Draft<'_>, model: usize, index: usize, spare: bool, may: May) -> bool {
    let replica = &draft.replicas[index];
    let Some(victim) = evictable(draft, model, replica) else {
        return false;
    };
    if replica.keeps_until > draft.now {
        return false;
    }
    let idle = replica.in_flight == 0 && victim.held == 0;
    match may {
        May::Nothing => false,
        May::UsedBefore(time) => idle && victim.last_used < time,
        May::Unused => idle && (spare || not_in_use_from(victim) <= draft.now),
        May::Idle => idle,
        May::Turn => idle || turns::gives_way(victim, spare, &draft.fleet.models[model], draft.now),
    }
}

/// The model of a replica that may be evicted for another model, were it idle for long enough.
fn evictable<'a>(draft: &Draft<'a>, by: usize, replica: &Replica<'_>) -> Option<&'a ModelNeed> {
    let model = replica.model.filter(|&model| model != by)?;
    let victim = &draft.fleet.models[model];
    let evictable = replica.state == PlacedState::Loaded && !replica.parting && !victim.pinned;
    evictable.then_some(victim)
}

/// From when on a model is not in use any more, if no request comes.
fn not_in_use_from(model: &ModelNeed) -> Nanos {
    model.last_used + turns::residency(model)
}

/// From when on a replica may go for a further one of any other model, if no request comes; `None`: not
/// as things are.
pub(super) fn unused_from(draft: &Draft<'_>, index: usize) -> Option<Nanos> {
    let replica = &draft.replicas[index];
    let model = evictable(draft, usize::MAX, replica)?;
    let is_idle = replica.in_flight == 0 && model.held == 0;
    let from = match spare(draft, index, [].iter()) {
        true => replica.keeps_until,
        false => replica.keeps_until.max(not_in_use_from(model)),
    };
    is_idle.then_some(from)
}

/// The bins that a model may be the first to have to itself, though nothing there may go as yet: those
/// whose residencies end first. `None`: no room for it will come of that.
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
        if !spare(draft, index, set[..position].iter()) {
            cost.recent += usize::from(not_in_use_from(model) > draft.now);
            cost.last_used = cost.last_used.max(model.last_used);
        }
    }
    cost
}

/// For a model that gets no room: who has the room and gives it up first as far as one can know,
/// and in how long. The plan is made again when anything may have changed.
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
                // A replica that can be spared goes before its model is unused.
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
