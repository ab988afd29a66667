//! A small world that does what plans say: loads and unloads take time, drains end when what is
//! in flight has ended, and bins come some time after they are asked for.

mod bins;
mod start;

use std::time::Duration;

use super::{
    super::{Drain, FailedLoads, Fleet, LoadTries, Placed, PlacedState, Plan, Position, plan},
    checks,
    fixtures::SECOND,
};
use crate::clock::Nanos;

const TRIES: LoadTries = LoadTries {
    count: 5,
    limit: Duration::from_secs(7200),
};

/// A placed replica, and what the fleet does not say of it.
#[derive(Debug)]
struct Replica {
    pool: usize,
    placed: Placed,
    /// When its load or unload ends.
    until: Nanos,
    /// When its requests in flight end.
    ends: Vec<Nanos>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) now: Nanos,
    /// How long each model's load takes.
    pub(super) load_times: Vec<Duration>,
    /// Whether each model's loads fail.
    pub(super) fails: Vec<bool>,
    failed_loads: Vec<FailedLoads>,
    /// How many requests of each model are held all the time while it is served, because its
    /// replicas are full.
    pub(super) full: Vec<u32>,
    /// For each model, since when its held requests are held, and how long they will take.
    pub(super) held: Vec<Vec<(Nanos, Duration)>>,
    /// Requests of each model that have begun to be served.
    pub(super) served: Vec<u32>,
    /// Loads of each model.
    pub(super) loads: Vec<u32>,
    /// How often a bin was to go.
    pub(super) left: u32,
    replicas: Vec<Replica>,
    /// For each pool, when bins that are asked for come.
    coming: Vec<Option<Nanos>>,
    /// For each pool, since when its count is asked for.
    asked_at: Vec<Nanos>,
}

impl World {
    pub(super) fn new(fleet: Fleet) -> Self {
        let models = fleet.models.len();
        Self {
            now: Nanos::from_duration(1000 * SECOND),
            load_times: vec![2 * SECOND; models],
            fails: vec![false; models],
            failed_loads: vec![FailedLoads::default(); models],
            full: vec![0; models],
            held: vec![Vec::new(); models],
            served: vec![0; models],
            loads: vec![0; models],
            left: 0,
            replicas: Vec::new(),
            coming: vec![None; fleet.pools.len()],
            asked_at: vec![Nanos(0); fleet.pools.len()],
            fleet,
        }
    }

    /// A request of a model, which takes that long once it is being served.
    pub(super) fn request(&mut self, model: usize, takes: Duration) {
        self.fleet.models[model].last_used = self.now;
        self.held[model].push((self.now, takes));
    }

    /// Goes on until something happens or time is to be looked at, at most `limit`; makes a plan,
    /// checks it, and does it. Returns the plan, and whether time passed.
    pub(super) fn step(&mut self, limit: Duration) -> Plan {
        self.happen();
        self.see();
        let plan = self.checked_plan();
        self.apply(&plan);
        checks::fleet_is_sound(&self.fleet);
        let next = self.next_event(&plan).unwrap_or(self.now + limit);
        self.now = next.min(self.now + limit).max(Nanos(self.now.0 + 1));
        plan
    }

    /// Steps for that long.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        let mut steps = 0;
        while self.now < end {
            let plan = self.step(end.since(self.now));
            steps += 1;
            assert!(steps < 600, "it does not come to rest: {plan:#?}");
        }
    }

    /// Steps until nothing is to come, and checks that there really is nothing.
    pub(super) fn settle(&mut self) {
        let mut plans = Vec::new();
        for _ in 0..600 {
            self.happen();
            self.see();
            let plan = self.checked_plan();
            self.apply(&plan);
            plans.push((self.now, plan.clone()));
            checks::fleet_is_sound(&self.fleet);
            match self.next_event(&plan) {
                Some(next) => self.now = next.max(Nanos(self.now.0 + 1)),
                None if plan.is_idle() => {
                    self.now = self.now + 3600 * SECOND;
                    self.see();
                    let later = self.checked_plan();
                    assert!(later.is_idle(), "an hour after nothing: {later:?}");
                    return;
                }
                None => self.now = Nanos(self.now.0 + 1),
            }
        }
        panic!("it goes on for ever: {:#?}", &plans[plans.len() - 12..]);
    }

    /// Steps until nothing was done for 10 minutes. Time may still be looked at, since some demand
    /// goes on.
    pub(super) fn rest(&mut self) {
        let mut done = Vec::new();
        let mut quiet_until = self.now + 600 * SECOND;
        while self.now < quiet_until {
            let plan = self.step(600 * SECOND);
            if !plan.is_idle() {
                quiet_until = self.now + 600 * SECOND;
                done.push((self.now, plan));
            }
            let last = done.len().saturating_sub(12);
            assert!(
                done.len() < 200,
                "it goes on for ever: {:#?}",
                &done[last..]
            );
        }
    }

    /// The last model is there no more.
    pub(super) fn remove_last_model(&mut self) {
        self.fleet.models.pop();
        self.held.pop();
        self.load_times.pop();
    }

    /// What time brings.
    fn happen(&mut self) {
        let now = self.now;
        let mut failed = Vec::new();
        for replica in &mut self.replicas {
            let index = self
                .fleet
                .models
                .iter()
                .position(|m| m.name == replica.placed.model);
            replica.ends.retain(|end| *end > now);
            let placed = &mut replica.placed;
            match placed.state {
                PlacedState::Loading
                    if replica.until <= now && index.is_some_and(|index| self.fails[index]) =>
                {
                    failed.extend(index.map(|index| (index, placed.since)));
                    (placed.state, replica.until) = (PlacedState::Unloading, now);
                }
                PlacedState::Loading if replica.until <= now => {
                    (placed.state, placed.since) = (PlacedState::Loaded, now);
                    if let Some(index) = index {
                        self.fleet.models[index].load_time = Some(self.load_times[index]);
                    }
                }
                PlacedState::Draining if replica.ends.is_empty() => {
                    (placed.state, placed.since) = (PlacedState::Unloading, now);
                    replica.until = now + SECOND / 5;
                }
                _ => {}
            }
            if let Some(index) = index.filter(|_| placed.state == PlacedState::Loaded) {
                for (_, takes) in self.held[index].drain(..) {
                    replica.ends.push(now + takes);
                    self.served[index] += 1;
                    self.fleet.models[index].last_used = now;
                }
            }
        }
        self.replicas
            .retain(|r| r.placed.state != PlacedState::Unloading || r.until > now);
        for (model, sent) in failed {
            self.failed_loads[model].failed(TRIES, sent, now);
            let name = &self.fleet.models[model].name;
            if !self.replicas.iter().any(|r| r.placed.model == *name) {
                // They are answered that it failed.
                self.held[model].clear();
            }
        }
        for (held, model) in self.held.iter_mut().zip(&self.fleet.models) {
            held.retain(|(since, _)| now.since(*since) < model.hold);
        }
        self.bins_come();
    }

    /// Writes into the fleet what there is.
    fn see(&mut self) {
        for (index, pool) in self.fleet.pools.iter_mut().enumerate() {
            let here = self.replicas.iter().filter(|replica| replica.pool == index);
            pool.placed = here
                .map(|replica| Placed {
                    in_flight: replica.ends.len() as u32,
                    ..replica.placed.clone()
                })
                .collect();
            if let Some(scaling) = &mut pool.scaling {
                scaling.unchanged = self.now.since(self.asked_at[index]);
            }
        }
        let models = self.fleet.models.iter_mut().zip(&self.held).enumerate();
        for (index, (model, held)) in models {
            if self.fails[index] {
                model.not_before = self.failed_loads[index].not_before;
            }
            let mut replicas = self.replicas.iter().map(|replica| &replica.placed);
            let mut own = replicas.clone().filter(|p| p.model == model.name);
            let serves = replicas.any(|p| p.model == model.name && p.state == PlacedState::Loaded);
            if serves {
                model.out_since = None;
            } else if model.load_time.is_some() || own.any(|p| p.state != PlacedState::Loading) {
                model.out_since = model.out_since.or(Some(self.now));
            }
            model.held = held.len() as u32;
            model.held_since = held.first().map(|(since, _)| *since);
            if self.full[index] > 0 && serves {
                model.held = model.held.max(self.full[index]);
                model.held_since = model.held_since.or(Some(self.now));
                model.last_used = self.now;
            }
        }
    }

    /// When something happens next.
    fn next_event(&self, plan: &Plan) -> Option<Nanos> {
        let replicas = self.replicas.iter().flat_map(|replica| {
            let waits = matches!(
                replica.placed.state,
                PlacedState::Loading | PlacedState::Unloading
            );
            let empty = replica.placed.state == PlacedState::Draining && replica.ends.is_empty();
            let own = waits.then_some(replica.until).or(empty.then_some(self.now));
            own.into_iter().chain(replica.ends.iter().copied())
        });
        let holds = self.held.iter().zip(&self.fleet.models);
        let holds = holds.filter_map(|(held, model)| Some(held.first()?.0 + model.hold));
        let bins = self.coming.iter().copied().flatten();
        let again = plan.again_at.into_iter();
        replicas.chain(holds).chain(bins).chain(again).min()
    }

    fn checked_plan(&self) -> Plan {
        let plan = plan(&self.fleet, self.now);
        checks::plan_is_allowed(&self.fleet, &plan, self.now);
        plan
    }

    /// Which replica is to be drained.
    fn find(&self, drain: &Drain) -> usize {
        let position = &drain.position;
        let here = (0..self.replicas.len()).filter(|&i| self.replicas[i].pool == position.pool);
        let index = here.clone().nth(drain.placed).expect("it is there");
        let placed = &self.replicas[index].placed;
        assert_eq!(
            (&placed.model, &placed.bins),
            (&position.model, &position.bins)
        );
        index
    }

    /// A draining replica there.
    fn draining(&self, position: &Position) -> usize {
        let found = self.replicas.iter().position(|replica| {
            let placed = &replica.placed;
            (replica.pool, &placed.model, &placed.bins)
                == (position.pool, &position.model, &position.bins)
                && placed.state == PlacedState::Draining
        });
        found.expect("what is resumed is draining")
    }

    fn apply(&mut self, plan: &Plan) {
        let now = self.now;
        for &(pool, bin) in &plan.stay {
            let bin = &mut self.fleet.pools[pool].bins[bin];
            assert!(bin.leaving && !bin.given_up);
            bin.leaving = false;
        }
        for drain in &plan.drain {
            let index = self.find(drain);
            let placed = &mut self.replicas[index].placed;
            (placed.state, placed.since) = (PlacedState::Draining, now);
        }
        for position in &plan.resume {
            let index = self.draining(position);
            let placed = &mut self.replicas[index].placed;
            (placed.state, placed.since) = (PlacedState::Loaded, now);
        }
        for load in &plan.load {
            let model = self
                .fleet
                .models
                .iter()
                .position(|m| m.name == load.position.model);
            let model = model.expect("what is loaded is there");
            let bins = &self.fleet.pools[load.position.pool].bins;
            assert!(load.position.bins.iter().all(|&bin| !bins[bin].leaving));
            self.loads[model] += 1;
            self.replicas.push(Replica {
                pool: load.position.pool,
                placed: Placed {
                    model: load.position.model.clone(),
                    bins: load.position.bins.clone(),
                    memory: self.fleet.models[model].memory,
                    state: PlacedState::Loading,
                    since: now,
                    in_flight: 0,
                },
                until: now + self.load_times[model],
                ends: Vec::new(),
            });
        }
        for &(pool, bin) in &plan.leave {
            self.left += 1;
            self.fleet.pools[pool].bins[bin].leaving = true;
        }
        for (index, pool) in self.fleet.pools.iter_mut().enumerate() {
            if let (Some(count), Some(scaling)) = (plan.servers.get(&pool.name), &mut pool.scaling)
            {
                assert!((scaling.min.max(1)..=scaling.max).contains(count));
                assert_ne!(*count, scaling.asked);
                if *count < scaling.asked {
                    for bin in pool.bins.iter_mut().filter(|bin| bin.leaving) {
                        bin.given_up = true;
                    }
                }
                scaling.asked = *count;
                self.asked_at[index] = now;
                let mut here = self.replicas.iter().filter(|r| r.pool == index);
                assert!(
                    here.all(|r| r.placed.bins.iter().all(|&bin| {
                        pool.bins[bin]
                            .ordinal
                            .is_none_or(|ordinal| ordinal < *count)
                    })),
                    "a bin is removed that has a model: {plan:?}"
                );
            }
        }
        for name in &plan.admit {
            let mut models = self.fleet.models.iter_mut();
            models
                .find(|model| model.name == *name)
                .expect("there")
                .admitted = true;
        }
        self.see();
    }

    /// How many replicas of a model take requests.
    pub(super) fn loaded(&self, model: usize) -> usize {
        let name = &self.fleet.models[model].name;
        let loaded = self.replicas.iter().filter(|replica| {
            replica.placed.model == *name && replica.placed.state == PlacedState::Loaded
        });
        loaded.count()
    }
}
