//! The baseline for placement: plain "least recently used", without residency or turns, and
//! whatever requests wait.

use std::cmp::Reverse;

use crate::{
    clock::Nanos,
    placement::{Drain, Fleet, Load, ModelNeed, Placed, PlacedState, Plan, Position, Why},
};

/// The memory of one bin, and the replicas in it that could be evicted.
struct FreeRoom {
    capacity: u64,
    used: u64,
    /// Bytes of `used` that draining replicas will free.
    going: u64,
    /// Indexes of loaded replicas, the least recently used first.
    loaded: Vec<usize>,
}

/// Loads the models that are asked for, the one with the longest wait first, and drains replicas
/// to make room.
pub(super) fn plan(fleet: &Fleet) -> Plan {
    let mut plan = Plan::default();
    let mut rooms: Vec<Vec<FreeRoom>> = (0..fleet.pools.len())
        .map(|pool| rooms(fleet, pool))
        .collect();
    let is_there = |model: &ModelNeed| {
        let mut placed = fleet.pools.iter().flat_map(|pool| &pool.placed);
        placed.any(|placed| placed.model == model.name && serves(placed.state))
    };
    let mut asked: Vec<_> = fleet
        .models
        .iter()
        .filter(|model| model.held > 0 && !is_there(model))
        .collect();
    asked.sort_by_key(|model| model.held_since);
    for model in asked {
        let Some(&pool) = model.pools.first() else {
            continue;
        };
        let placed = &fleet.pools[pool].placed;
        let mut ways: Vec<_> = rooms[pool]
            .iter()
            .enumerate()
            .filter(|(_, room)| room.capacity >= model.memory)
            .map(|(bin, room)| (cost(fleet, placed, room, model.memory), bin))
            .collect();
        let count = model.bins.max(1) as usize;
        if ways.len() < count {
            continue;
        }
        ways.sort();
        let bins: Vec<usize> = ways[..count].iter().map(|(_, bin)| *bin).collect();
        let mut is_free = true;
        for &bin in &bins {
            let room = &mut rooms[pool][bin];
            while free(room) + room.going < model.memory && !room.loaded.is_empty() {
                let index = room.loaded.remove(0);
                let victim = &placed[index];
                room.going += victim.memory;
                if plan
                    .drain
                    .iter()
                    .all(|own| (own.position.pool, own.placed) != (pool, index))
                {
                    plan.drain.push(drain(pool, index, victim, model));
                }
            }
            is_free &= free(room) >= model.memory;
            // The room is reserved, whether it is free now or later.
            room.used += model.memory;
        }
        if is_free {
            plan.load.push(Load {
                position: Position {
                    model: model.name.clone(),
                    pool,
                    bins,
                },
                why: Why::Held { held: model.held },
            });
        }
    }
    plan
}

fn serves(state: PlacedState) -> bool {
    matches!(state, PlacedState::Loading | PlacedState::Loaded)
}

fn free(room: &FreeRoom) -> u64 {
    room.capacity.saturating_sub(room.used)
}

fn rooms(fleet: &Fleet, pool: usize) -> Vec<FreeRoom> {
    let pool = &fleet.pools[pool];
    let room = |bin: usize| {
        let here = || {
            let all = pool.placed.iter().enumerate();
            all.filter(move |(_, placed)| placed.bins.contains(&bin))
        };
        let mut loaded: Vec<_> = here()
            .filter(|(_, placed)| placed.state == PlacedState::Loaded)
            .map(|(index, placed)| (last_used(fleet, placed), index))
            .collect();
        loaded.sort();
        let going = here().filter(|(_, placed)| !serves(placed.state));
        FreeRoom {
            capacity: pool.bins[bin].memory.unwrap_or(u64::MAX / 4),
            used: here().map(|(_, placed)| placed.memory).sum(),
            going: going.map(|(_, placed)| placed.memory).sum(),
            loaded: loaded.into_iter().map(|(_, index)| index).collect(),
        }
    };
    (0..pool.bins.len()).map(room).collect()
}

fn last_used(fleet: &Fleet, placed: &Placed) -> Nanos {
    let model = fleet.models.iter().find(|own| own.name == placed.model);
    model.map_or(Nanos(0), |model| model.last_used)
}

/// The sort key of bins: first those where nothing must be evicted, then those whose most recently
/// used victim was used longest ago; of equal ones, those with the most free memory.
fn cost(
    fleet: &Fleet,
    placed: &[Placed],
    room: &FreeRoom,
    memory: u64,
) -> (Option<Nanos>, Reverse<u64>) {
    let mut free_then = free(room) + room.going;
    let mut last = None;
    for &index in &room.loaded {
        if free_then >= memory {
            break;
        }
        free_then += placed[index].memory;
        last = Some(last_used(fleet, &placed[index]));
    }
    (last, Reverse(free(room)))
}

fn drain(pool: usize, index: usize, victim: &Placed, by: &ModelNeed) -> Drain {
    Drain {
        position: Position {
            model: victim.model.clone(),
            pool,
            bins: victim.bins.clone(),
        },
        placed: index,
        why: Why::Evicted {
            by: by.name.clone(),
        },
    }
}
