//! The event loop of a simulation of a fleet.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    FleetRequest, FleetResult, FleetSetup, Placer, SimulatedModel, lru,
    state::{Model, Replica},
};
use crate::{
    clock::Nanos,
    placement::{self, Fleet, ModelNeed, Placed, PlacedState, Plan, Why},
};

/// How often a plan is made at most, as live.
const SETTLE: Duration = Duration::from_millis(5);

pub(super) struct Engine<'a> {
    requests: &'a [FleetRequest],
    setup: &'a FleetSetup,
    placer: Placer,
    by_name: HashMap<Arc<str>, usize>,
    models: Vec<Model>,
    /// A number is used again when its replica is gone.
    replicas: Vec<Option<Replica>>,
    unused: Vec<usize>,
    /// When requests in service end, and at which replica.
    running: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// When loads end. One that was stopped may still be listed.
    loading: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// When models' requests have been held for too long.
    deadlines: BinaryHeap<Reverse<(Nanos, usize)>>,
    held: usize,
    evictions: u32,
    /// When the next plan is due.
    look_at: Option<Nanos>,
    planned: Option<Nanos>,
}

/// The next event. Of several at the same time, the earlier in this list comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Completion,
    Loaded,
    Arrival,
    Deadline,
    Look,
}

impl<'a> Engine<'a> {
    pub(super) fn new(requests: &'a [FleetRequest], setup: &'a FleetSetup, placer: Placer) -> Self {
        let names = setup.models.iter().map(|model| model.need.name.clone());
        Self {
            requests,
            setup,
            placer,
            by_name: names.enumerate().map(|(at, name)| (name, at)).collect(),
            models: setup.models.iter().map(|_| Model::default()).collect(),
            replicas: Vec::new(),
            unused: Vec::new(),
            running: BinaryHeap::new(),
            loading: BinaryHeap::new(),
            deadlines: BinaryHeap::new(),
            held: 0,
            evictions: 0,
            look_at: Some(Nanos(0)),
            planned: None,
        }
    }

    pub(super) fn run(mut self) -> FleetResult {
        let (mut next, mut now) = (0, Nanos(0));
        while next < self.requests.len() || self.held > 0 || !self.running.is_empty() {
            let first = |heap: &BinaryHeap<Reverse<(Nanos, usize)>>| {
                heap.peek().map(|Reverse((at, _))| *at)
            };
            let times = [
                (first(&self.running), Event::Completion),
                (first(&self.loading), Event::Loaded),
                (self.requests.get(next).map(|own| own.at), Event::Arrival),
                (first(&self.deadlines), Event::Deadline),
                (self.look_at, Event::Look),
            ];
            let times = times.into_iter();
            let due = times.filter_map(|(at, event)| Some((at?, event))).min();
            let Some((at, event)) = due else { break };
            now = at.max(now);
            match event {
                Event::Completion => self.complete(now),
                Event::Loaded => self.loaded(now),
                Event::Arrival => {
                    self.arrive(next, now);
                    next += 1;
                }
                Event::Deadline => self.give_up(now),
                Event::Look => self.look(now),
            }
        }
        self.finish(now)
    }

    fn need(&self, model: usize) -> &'a SimulatedModel {
        &self.setup.models[model]
    }

    /// Has a plan made soon.
    fn touch(&mut self, now: Nanos) {
        let soon = self
            .planned
            .map_or(now, |planned| (planned + SETTLE).max(now));
        self.look_at = Some(self.look_at.map_or(soon, |at| at.min(soon)));
    }

    fn arrive(&mut self, request: usize, now: Nanos) {
        let model = self.requests[request].model;
        self.models[model].last_used = now;
        if self.models[model].held.is_empty() && self.start(request, now) {
            return;
        }
        self.models[model].held.push_back(request);
        self.held += 1;
        let deadline = now + self.need(model).need.hold;
        self.deadlines.push(Reverse((deadline, model)));
        self.touch(now);
    }

    /// Sends a request to the least busy replica of its model, if one has room.
    fn start(&mut self, request: usize, now: Nanos) -> bool {
        let FleetRequest { at, service, model } = self.requests[request];
        let most = self.need(model).concurrency.unwrap_or(u32::MAX);
        let own = &mut self.models[model];
        let replicas = own.replicas.iter().filter_map(|&id| {
            let replica = self.replicas[id].as_ref()?;
            let is_open = replica.state == PlacedState::Loaded && replica.in_flight < most;
            is_open.then_some((replica.in_flight, id))
        });
        let Some((_, id)) = replicas.min() else {
            return false;
        };
        own.result.waits.push(now.since(at).as_secs_f32());
        if let Some(replica) = &mut self.replicas[id] {
            replica.in_flight += 1;
        }
        self.running.push(Reverse((now + service, id)));
        true
    }

    fn serve_held(&mut self, model: usize, now: Nanos) {
        while let Some(&request) = self.models[model].held.front() {
            if !self.start(request, now) {
                return;
            }
            self.models[model].held.pop_front();
            self.held -= 1;
            self.touch(now);
        }
    }

    fn complete(&mut self, now: Nanos) {
        let Some(Reverse((_, id))) = self.running.pop() else {
            return;
        };
        let Some(replica) = &mut self.replicas[id] else {
            return;
        };
        replica.in_flight -= 1;
        let model = replica.model;
        if replica.state == PlacedState::Draining && replica.in_flight == 0 {
            self.remove(id, now);
        } else {
            self.serve_held(model, now);
        }
        // What has nothing in flight may give its room.
        if self.held > 0 {
            self.touch(now);
        }
    }

    fn loaded(&mut self, now: Nanos) {
        let Some(Reverse((at, id))) = self.loading.pop() else {
            return;
        };
        let Some(replica) = &mut self.replicas[id] else {
            return; // it was stopped
        };
        if replica.state != PlacedState::Loading || replica.ready_at != at {
            return;
        }
        (replica.state, replica.since) = (PlacedState::Loaded, now);
        let model = replica.model;
        self.models[model].load_time = Some(self.need(model).load);
        self.serve_held(model, now);
        self.touch(now);
    }

    /// Answers those that were held for as long as they may be.
    fn give_up(&mut self, now: Nanos) {
        let Some(Reverse((_, model))) = self.deadlines.pop() else {
            return;
        };
        let hold = self.need(model).need.hold;
        let own = &mut self.models[model];
        while let Some(&request) = own.held.front()
            && self.requests[request].at + hold <= now
        {
            own.held.pop_front();
            own.result.waits.push(f32::INFINITY);
            self.held -= 1;
            self.look_at.get_or_insert(now);
        }
    }

    fn look(&mut self, now: Nanos) {
        self.look_at = None;
        self.planned = Some(now);
        for model in 0..self.models.len() {
            self.note_serving(model, now);
        }
        let (fleet, ids) = self.fleet();
        let plan = match self.placer {
            Placer::Lru => lru::plan(&fleet),
            Placer::Placement | Placer::RoomForAll => placement::plan(&fleet, now),
        };
        self.carry_out(&plan, &ids, now);
        if let Some(at) = plan.again_at {
            let at = at.max(now + SETTLE);
            self.look_at = Some(self.look_at.map_or(at, |look| look.min(at)));
        }
    }

    fn note_serving(&mut self, model: usize, now: Nanos) {
        let own = &mut self.models[model];
        let is_loaded = |id: &usize| {
            let replica = self.replicas[*id].as_ref();
            replica.is_some_and(|replica| replica.state == PlacedState::Loaded)
        };
        let serves = own.replicas.iter().any(is_loaded);
        own.out_since = match (own.serves, serves) {
            (_, true) => None,
            (true, false) => Some(now),
            (false, false) => own.out_since,
        };
        own.serves = serves;
    }

    /// What placement looks at, and by pool the numbers of what is placed.
    fn fleet(&self) -> (Fleet, Vec<Vec<usize>>) {
        let mut pools = self.setup.pools.clone();
        let mut ids = vec![Vec::new(); pools.len()];
        for (id, replica) in self.replicas.iter().enumerate() {
            let Some(replica) = replica else { continue };
            let need = &self.need(replica.model).need;
            pools[replica.pool].placed.push(Placed {
                model: need.name.clone(),
                bins: replica.bins.clone(),
                memory: need.memory,
                state: replica.state,
                since: replica.since,
                in_flight: replica.in_flight,
            });
            ids[replica.pool].push(id);
        }
        let model = |(index, own): (usize, &Model)| ModelNeed {
            admitted: own.admitted,
            held: u32::try_from(own.held.len()).unwrap_or(u32::MAX),
            held_since: own.held.front().map(|&oldest| self.requests[oldest].at),
            last_used: own.last_used,
            out_since: own.out_since,
            load_time: own.load_time,
            ..self.need(index).need.clone()
        };
        let models = self.models.iter().enumerate().map(model).collect();
        (Fleet { pools, models }, ids)
    }

    fn carry_out(&mut self, plan: &Plan, ids: &[Vec<usize>], now: Nanos) {
        for name in &plan.admit {
            if let Some(&model) = self.by_name.get(name) {
                self.models[model].admitted = true;
            }
        }
        for position in &plan.resume {
            let Some(&model) = self.by_name.get(&position.model) else {
                continue;
            };
            let replicas = self.models[model].replicas.clone();
            let found = replicas.into_iter().find(|&id| {
                let replica = self.replicas[id].as_ref();
                replica.is_some_and(|replica| {
                    replica.state == PlacedState::Draining && replica.bins == position.bins
                })
            });
            if let Some(replica) = found.and_then(|id| self.replicas[id].as_mut()) {
                (replica.state, replica.since) = (PlacedState::Loaded, now);
                self.serve_held(model, now);
            }
        }
        for drain in &plan.drain {
            if matches!(drain.why, Why::Evicted { .. } | Why::Turn { .. }) {
                self.evictions += 1;
            }
            self.drain(ids[drain.position.pool][drain.placed], now);
        }
        for load in &plan.load {
            if let Some(&model) = self.by_name.get(&load.position.model) {
                self.load(model, load.position.pool, load.position.bins.clone(), now);
            }
        }
    }

    fn load(&mut self, model: usize, pool: usize, bins: Vec<usize>, now: Nanos) {
        let ready_at = now + self.need(model).load;
        let replica = Some(Replica {
            model,
            pool,
            bins,
            state: PlacedState::Loading,
            since: now,
            ready_at,
            in_flight: 0,
        });
        let id = match self.unused.pop() {
            Some(id) => {
                self.replicas[id] = replica;
                id
            }
            None => {
                self.replicas.push(replica);
                self.replicas.len() - 1
            }
        };
        self.models[model].replicas.push(id);
        self.models[model].result.loads += 1;
        self.loading.push(Reverse((ready_at, id)));
    }

    fn drain(&mut self, id: usize, now: Nanos) {
        let Some(replica) = &mut self.replicas[id] else {
            return;
        };
        if replica.in_flight > 0 {
            (replica.state, replica.since) = (PlacedState::Draining, now);
        } else {
            self.remove(id, now);
        }
    }

    /// Takes a replica out, which leaves room for others.
    fn remove(&mut self, id: usize, now: Nanos) {
        let Some(replica) = self.replicas[id].take() else {
            return;
        };
        let own = &mut self.models[replica.model];
        own.replicas.retain(|&known| known != id);
        own.result.resident_seconds += now.since(replica.ready_at.min(now)).as_secs_f64();
        self.unused.push(id);
        self.touch(now);
    }

    fn finish(mut self, now: Nanos) -> FleetResult {
        for id in 0..self.replicas.len() {
            self.remove(id, now);
        }
        let mut models: Vec<_> = self.models.into_iter().map(|own| own.result).collect();
        for model in &mut models {
            model.waits.sort_unstable_by(f32::total_cmp);
        }
        let mut waits: Vec<_> = models.iter().flat_map(|own| own.waits.clone()).collect();
        waits.sort_unstable_by(f32::total_cmp);
        FleetResult {
            placer: self.placer,
            waits,
            evictions: self.evictions,
            end: now.since(Nanos(0)),
            models,
        }
    }
}
