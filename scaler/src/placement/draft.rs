//! The fleet as the plan so far changes it: the room in each bin, and the replicas in it.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::{
    fleet::{BinPool, Fleet, ModelNeed, Placed, PlacedState},
    plan::{Drain, Load, Plan, Position, Why},
    room::{Room, When},
    turns,
};
use crate::clock::Nanos;

/// Stands for memory that is not counted.
pub(super) const UNBOUNDED: u64 = u64::MAX / 4;

/// Bound on the replicas of one model that one plan places, and on the new bins that it assumes
/// for one server. The next plan continues.
pub(super) const MOST_AT_ONCE: u32 = 1000;

/// A fleet, and its state after the plan so far.
pub(super) struct Draft<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) now: Nanos,
    /// The room in each bin, by pool and bin.
    pub(super) rooms: Vec<Vec<Room>>,
    /// All replicas of models, those that this plan loads included.
    pub(super) replicas: Vec<Replica<'a>>,
    /// The indexes of each model's replicas.
    pub(super) of_model: Vec<Vec<usize>>,
    /// How many replicas each model has that are loaded or loading and may stay in their bin.
    pub(super) staying: Vec<u32>,
    /// For each model, how many replicas are placed before further replicas of other models.
    pub(super) floor: Vec<u32>,
    pub(super) plan: Plan,
}

/// One replica of a model.
pub(super) struct Replica<'a> {
    pub(super) model: Option<usize>,
    pub(super) pool: usize,
    pub(super) bins: Cow<'a, [usize]>,
    pub(super) memory: u64,
    pub(super) state: PlacedState,
    pub(super) since: Nanos,
    pub(super) in_flight: u32,
    /// The end of its residency.
    pub(super) keeps_until: Nanos,
    /// Whether its bin is leaving. It then has to move, even if its model is wanted.
    pub(super) parting: bool,
    /// Whether this plan drains it.
    drained: bool,
    /// Whether it may be evicted for any model that wants room ([`Room::idle`]).
    idle: bool,
}

impl Replica<'_> {
    /// Whether it takes requests, or will once it is loaded.
    pub(super) fn serves(&self) -> bool {
        matches!(self.state, PlacedState::Loading | PlacedState::Loaded)
    }

    /// Whether it may be evicted for any model that wants room.
    fn is_idle(&self, model: &ModelNeed, now: Nanos) -> bool {
        let unused = self.in_flight == 0 && model.held == 0;
        unused && !model.pinned && self.state == PlacedState::Loaded && self.keeps_until <= now
    }
}

/// The end of a replica's residency. A replica that was not used since it was loaded has no
/// residency: it was loaded because there was free room.
fn keeps_until(placed: &Placed, model: &ModelNeed) -> Nanos {
    if model.held == 0 && placed.in_flight == 0 && model.last_used < placed.since {
        return placed.since;
    }
    placed.since + turns::residency(model)
}

impl<'a> Draft<'a> {
    pub(super) fn new(fleet: &'a Fleet, now: Nanos) -> Self {
        let rooms = fleet.pools.iter().map(|pool| {
            let rooms = pool.bins.iter().map(|bin| Room {
                capacity: bin.memory.unwrap_or(UNBOUNDED).min(UNBOUNDED),
                leaving: bin.leaving,
                ..Room::default()
            });
            rooms.collect()
        });
        let mut draft = Self {
            fleet,
            now,
            rooms: rooms.collect(),
            replicas: Vec::with_capacity(fleet.models.len()),
            of_model: vec![Vec::new(); fleet.models.len()],
            staying: vec![0; fleet.models.len()],
            floor: (fleet.models.iter())
                .map(|model| model.min.max(1).min(model.wanted))
                .collect(),
            plan: Plan::default(),
        };
        let by_name: HashMap<&str, usize> = (fleet.models.iter().enumerate())
            .map(|(index, model)| (&*model.name, index))
            .collect();
        for (pool, BinPool { placed, .. }) in fleet.pools.iter().enumerate() {
            for placed in placed {
                let model = by_name.get(&*placed.model).copied();
                let need = model.map(|model| &fleet.models[model]);
                draft.add(Replica {
                    model,
                    pool,
                    bins: Cow::Borrowed(&placed.bins),
                    memory: placed.memory.min(UNBOUNDED),
                    state: placed.state,
                    since: placed.since,
                    in_flight: placed.in_flight,
                    keeps_until: need.map_or(placed.since, |need| keeps_until(placed, need)),
                    parting: false,
                    drained: false,
                    idle: false,
                });
            }
        }
        draft.sort_occupants();
        draft.find_idle();
        draft
    }

    /// Finds the replicas that may be evicted for any model that wants room.
    fn find_idle(&mut self) {
        for replica in &mut self.replicas {
            let Some(model) = replica.model else { continue };
            let need = &self.fleet.models[model];
            replica.idle = replica.is_idle(need, self.now);
            for &bin in replica.bins.iter().filter(|_| replica.idle) {
                if let Some(room) = self.rooms[replica.pool].get_mut(bin) {
                    room.idle = room.idle.saturating_add(replica.memory);
                }
            }
        }
    }

    /// Puts the least recently used first in each bin.
    fn sort_occupants(&mut self) {
        let Self {
            rooms,
            replicas,
            fleet,
            ..
        } = self;
        for room in rooms.iter_mut().flatten() {
            room.occupants.sort_by_key(|&replica| {
                let model = replicas[replica].model;
                (model.map(|model| fleet.models[model].last_used), replica)
            });
        }
    }

    fn add(&mut self, replica: Replica<'a>) {
        let index = self.replicas.len();
        for &bin in &*replica.bins {
            let Some(room) = self.rooms[replica.pool].get_mut(bin) else {
                continue;
            };
            room.inhabited = true;
            room.used = room.used.saturating_add(replica.memory);
            match (replica.state, replica.in_flight) {
                (PlacedState::Loading, _) => {}
                (PlacedState::Loaded, _) => room.occupants.push(index),
                (PlacedState::Draining, 1..) => {
                    room.slow = room.slow.saturating_add(replica.memory)
                }
                (PlacedState::Draining | PlacedState::Unloading, _) => {
                    room.going = room.going.saturating_add(replica.memory)
                }
            }
        }
        if let Some(model) = replica.model {
            self.of_model[model].push(index);
        }
        self.replicas.push(replica);
        self.settle(index);
    }

    /// Determines whether a replica may stay in its bin.
    fn settle(&mut self, index: usize) {
        let replica = &mut self.replicas[index];
        let Some(model) = replica.model.filter(|_| replica.serves()) else {
            return;
        };
        let rooms = &self.rooms[replica.pool];
        let leaving = (replica.bins.iter()).any(|&bin| rooms.get(bin).is_none_or(|r| r.leaving));
        if leaving || !self.fleet.models[model].pools.contains(&replica.pool) {
            replica.parting = true;
        } else {
            self.staying[model] += 1;
        }
    }

    /// Takes a bin out of service: its models must go elsewhere.
    pub(super) fn leave(&mut self, pool: usize, bin: usize) {
        self.rooms[pool][bin].leaving = true;
        self.plan.leave.push((pool, bin));
        for replica in &mut self.replicas {
            if replica.pool == pool && replica.bins.contains(&bin) && replica.serves() {
                if let Some(model) = replica.model.filter(|_| !replica.parting) {
                    self.staying[model] -= 1;
                }
                replica.parting = true;
            }
        }
    }

    /// Puts a leaving bin back into service, with the models that it still has.
    pub(super) fn stay(&mut self, pool: usize, bin: usize) {
        self.rooms[pool][bin].leaving = false;
        self.plan.stay.push((pool, bin));
        for index in 0..self.replicas.len() {
            let replica = &mut self.replicas[index];
            if replica.pool == pool && replica.parting && replica.bins.contains(&bin) {
                replica.parting = false;
                self.settle(index);
            }
        }
    }

    /// The replicas of a model.
    pub(super) fn replicas_of(&self, model: usize) -> impl Iterator<Item = &Replica<'a>> {
        let of_model = self.of_model[model].iter();
        of_model.map(|&index| &self.replicas[index])
    }

    /// The pools that a model may be in: first those that have a replica of it, then by its
    /// preference.
    pub(super) fn pools_of(&self, model: usize) -> Vec<usize> {
        let there = |&pool: &usize| self.replicas_of(model).any(|replica| replica.pool == pool);
        let pools = self.fleet.models[model].pools.iter().copied();
        let mut pools: Vec<_> = pools.filter(|&pool| pool < self.rooms.len()).collect();
        pools.sort_by_key(|pool| !there(pool));
        pools
    }

    /// For each bin of a pool, whether another replica of the model is allowed there, regardless
    /// of room.
    pub(super) fn open_bins(&self, model: usize, pool: usize) -> Vec<bool> {
        let mut open: Vec<_> = self.rooms[pool].iter().map(|room| !room.leaving).collect();
        if self.fleet.pools[pool].one_per_bin {
            for replica in self.replicas_of(model) {
                for &bin in replica.bins.iter().filter(|_| replica.pool == pool) {
                    if let Some(open) = open.get_mut(bin) {
                        *open = false;
                    }
                }
            }
        }
        open
    }

    /// The bins of a pool in which a model can get room. `None`: there are not enough of them.
    pub(super) fn fit(&self, model: usize, pool: usize, when: When) -> Option<Vec<usize>> {
        let ModelNeed { memory, bins, .. } = self.fleet.models[model];
        let packing = (self.fleet.pools[pool].scaling.as_ref()).is_some_and(|s| s.packing);
        let open = self.open_bins(model, pool);
        let rooms = self.rooms[pool].iter().enumerate();
        let fitting = rooms
            .map(|(bin, room)| (room.free(when), bin))
            .filter(|&(free, bin)| open[bin] && free >= memory);
        // The bin with the most free room comes first, or, with packing, the one with the least,
        // so that whole bins stay empty. Among equals, the lowest index.
        let order = |&(free, bin): &(u64, usize)| match packing {
            true => (free, bin),
            false => (u64::MAX - free, bin),
        };
        if bins <= 1 {
            return Some(vec![fitting.min_by_key(order)?.1]);
        }
        let mut fitting: Vec<_> = fitting.collect();
        fitting.sort_unstable_by_key(order);
        let bins = bins as usize;
        (fitting.len() >= bins).then(|| fitting[..bins].iter().map(|&(_, bin)| bin).collect())
    }

    pub(super) fn load(&mut self, model: usize, pool: usize, bins: Vec<usize>, why: Why) {
        let need = &self.fleet.models[model];
        let position = Position {
            model: need.name.clone(),
            pool,
            bins: bins.clone(),
        };
        self.plan.load.push(Load { position, why });
        self.add(Replica {
            model: Some(model),
            pool,
            bins: Cow::Owned(bins),
            memory: need.memory.min(UNBOUNDED),
            state: PlacedState::Loading,
            since: self.now,
            in_flight: 0,
            keeps_until: self.now,
            parting: false,
            drained: false,
            idle: false,
        });
    }

    /// Keeps room in these bins for a model that waits for it.
    pub(super) fn reserve(&mut self, model: usize, pool: usize, bins: &[usize]) {
        for &bin in bins {
            let room = &mut self.rooms[pool][bin];
            let memory = self.fleet.models[model].memory.min(UNBOUNDED);
            room.reserved = room.reserved.saturating_add(memory);
        }
    }

    /// Drains a replica that is loaded or loading.
    pub(super) fn drain(&mut self, index: usize, name: &Arc<str>, why: Why) {
        let position = self.position(index, name);
        let before = self.fleet.pools[..position.pool].iter();
        let before: usize = before.map(|pool| pool.placed.len()).sum();
        self.plan.drain.push(Drain {
            position,
            placed: index.saturating_sub(before),
            why,
        });
        let replica = &mut self.replicas[index];
        if let Some(model) = replica.model.filter(|_| !replica.parting) {
            self.staying[model] -= 1;
        }
        replica.state = PlacedState::Draining;
        replica.drained = true;
        let idle = std::mem::take(&mut replica.idle);
        for &bin in &*replica.bins {
            if let Some(room) = self.rooms[replica.pool].get_mut(bin) {
                if idle {
                    room.idle = room.idle.saturating_sub(replica.memory);
                }
                match replica.in_flight {
                    0 => room.going = room.going.saturating_add(replica.memory),
                    _ => room.slow = room.slow.saturating_add(replica.memory),
                }
            }
        }
    }

    /// Lets a draining replica of a model take requests again, unless another model needs its room
    /// more. Returns whether there was one.
    pub(super) fn resume(&mut self, model: usize) -> bool {
        let Self {
            rooms, replicas, ..
        } = self;
        let found = self.of_model[model].iter().copied().find(|&index| {
            let replica = &replicas[index];
            let rooms = &rooms[replica.pool];
            let kept = |&bin: &usize| {
                (rooms.get(bin))
                    .is_some_and(|r| !r.leaving && r.free(When::Later) >= replica.memory)
            };
            // A replica that this plan itself drains is not resumed: drain and resume would cancel
            // out.
            replica.state == PlacedState::Draining
                && !replica.drained
                && self.fleet.models[model].pools.contains(&replica.pool)
                && replica.bins.iter().all(kept)
        });
        let Some(index) = found else { return false };
        let name = &self.fleet.models[model].name;
        let position = self.position(index, name);
        self.plan.resume.push(position);
        let replica = &mut self.replicas[index];
        replica.state = PlacedState::Loaded;
        // The residency begins anew, so that this plan does not evict the replica again.
        replica.since = self.now;
        for &bin in &*replica.bins {
            let room = &mut self.rooms[replica.pool][bin];
            match replica.in_flight {
                0 => room.going = room.going.saturating_sub(replica.memory),
                _ => room.slow = room.slow.saturating_sub(replica.memory),
            }
        }
        self.staying[model] += 1;
        true
    }

    fn position(&self, index: usize, name: &Arc<str>) -> Position {
        let replica = &self.replicas[index];
        Position {
            model: name.clone(),
            pool: replica.pool,
            bins: replica.bins.to_vec(),
        }
    }

    /// Notes that the plan may change at `time`, unless that has passed.
    pub(super) fn wake_at(&mut self, time: Nanos) {
        if time > self.now {
            let earliest = self.plan.again_at.map_or(time, |at| at.min(time));
            self.plan.again_at = Some(earliest);
        }
    }
}
