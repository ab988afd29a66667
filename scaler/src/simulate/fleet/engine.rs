//! The event loop of a simulation of a fleet.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    super::timeline::Recorder,
    FleetRequest, FleetResult, FleetSetup, Placer, SimulatedModel, Stay,
    state::{FleetBin, FleetModel, FleetReplica},
};
use crate::{
    clock::Nanos,
    placement::{BinPool, PlacedState},
};

/// The shortest time between two plans, as live.
pub(super) const SETTLE: Duration = Duration::from_millis(5);

pub(super) struct FleetEngine<'a> {
    pub(super) requests: &'a [FleetRequest],
    pub(super) setup: &'a FleetSetup,
    pub(super) placer: Placer,
    pub(super) by_name: HashMap<Arc<str>, usize>,
    pub(super) models: Vec<FleetModel>,
    /// By number. A replica's number is reused after the replica has gone.
    pub(super) replicas: Vec<Option<FleetReplica>>,
    pub(super) unused: Vec<usize>,
    /// The bins, by pool.
    bins: Vec<Vec<FleetBin>>,
    pub(super) stays: Vec<Stay>,
    /// When requests in service end, and at which replica.
    running: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// When loads end. A load that was stopped may still be listed.
    pub(super) loading: BinaryHeap<Reverse<(Nanos, usize)>>,
    /// When models' requests have been held for too long.
    deadlines: BinaryHeap<Reverse<(Nanos, usize)>>,
    pub(super) held: usize,
    /// Held requests of each model, if they are recorded.
    recorders: Vec<Recorder<1>>,
    pub(super) evictions: u32,
    /// When the next plan is due.
    pub(super) look_at: Option<Nanos>,
    pub(super) planned: Option<Nanos>,
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

impl<'a> FleetEngine<'a> {
    pub(super) fn new(requests: &'a [FleetRequest], setup: &'a FleetSetup, placer: Placer) -> Self {
        let names = setup.models.iter().map(|model| model.need.name.clone());
        let bins = |pool: &BinPool| pool.bins.iter().map(|_| FleetBin::default()).collect();
        let recorder = |width| Recorder::new(width, [0]);
        let recorders = setup
            .models
            .iter()
            .filter_map(|_| setup.timeline.map(recorder));
        Self {
            requests,
            setup,
            placer,
            by_name: names.enumerate().map(|(at, name)| (name, at)).collect(),
            models: setup.models.iter().map(|_| FleetModel::default()).collect(),
            replicas: Vec::new(),
            unused: Vec::new(),
            bins: setup.pools.iter().map(bins).collect(),
            stays: Vec::new(),
            running: BinaryHeap::new(),
            loading: BinaryHeap::new(),
            deadlines: BinaryHeap::new(),
            held: 0,
            recorders: recorders.collect(),
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

    pub(super) fn need(&self, model: usize) -> &'a SimulatedModel {
        &self.setup.models[model]
    }

    /// Schedules a plan soon.
    pub(super) fn touch(&mut self, now: Nanos) {
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
        self.record(model, now);
        let deadline = now + self.need(model).need.hold;
        self.deadlines.push(Reverse((deadline, model)));
        self.touch(now);
    }

    /// Sends a request to the least busy replica of its model with a free slot. If only their bins
    /// lack a slot, the model waits there.
    fn start(&mut self, request: usize, now: Nanos) -> bool {
        let FleetRequest { at, service, model } = self.requests[request];
        let most = self.need(model).concurrency.unwrap_or(u32::MAX);
        let own = &self.models[model];
        let open = own.replicas.iter().filter_map(|&id| {
            let replica = self.replicas[id].as_ref()?;
            let is_open = replica.state == PlacedState::Loaded && replica.in_flight < most;
            is_open.then_some((replica.in_flight, id, replica))
        });
        let (mut least, mut full) = (None, Vec::new());
        for (in_flight, id, replica) in open {
            match self.has_room(replica.pool, &replica.bins) {
                true => {
                    least = Some(least.map_or((in_flight, id), |least| (in_flight, id).min(least)))
                }
                false => full.push((replica.pool, replica.bins[0])),
            }
        }
        let Some((_, id)) = least else {
            for (pool, bin) in full {
                let waiting = &mut self.bins[pool][bin].waiting;
                if !waiting.contains(&model) {
                    waiting.push_back(model);
                }
            }
            return false;
        };
        let own = &mut self.models[model];
        own.result.waits.push(now.since(at).as_secs_f32());
        if let Some(replica) = &mut self.replicas[id] {
            replica.in_flight += 1;
            for &bin in &replica.bins {
                self.bins[replica.pool][bin].in_flight += 1;
            }
        }
        self.running.push(Reverse((now + service, id)));
        true
    }

    /// Whether the bins take one more request.
    fn has_room(&self, pool: usize, bins: &[usize]) -> bool {
        let limit = self.setup.concurrency.get(pool).copied().flatten();
        let limit = limit.unwrap_or(u32::MAX);
        bins.iter()
            .all(|&bin| self.bins[pool][bin].in_flight < limit)
    }

    /// Offers free slots of a bin to the waiting models in turn.
    fn offer_slots(&mut self, pool: usize, bin: usize, now: Nanos) {
        while self.has_room(pool, &[bin])
            && let Some(model) = self.bins[pool][bin].waiting.pop_front()
        {
            // The model waits again if it needs more.
            self.serve_held(model, now);
        }
    }

    pub(super) fn serve_held(&mut self, model: usize, now: Nanos) {
        while let Some(&request) = self.models[model].held.front() {
            if !self.start(request, now) {
                return;
            }
            self.models[model].held.pop_front();
            self.held -= 1;
            self.record(model, now);
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
        let (model, pool, bins) = (replica.model, replica.pool, replica.bins.clone());
        for &bin in &bins {
            self.bins[pool][bin].in_flight -= 1;
        }
        if replica.state == PlacedState::Draining && replica.in_flight == 0 {
            self.remove(id, now);
        }
        // Before the model's own held requests: shared slots go round, as live.
        for bin in bins {
            self.offer_slots(pool, bin, now);
        }
        self.serve_held(model, now);
        // A replica with nothing in flight may give up its room.
        if self.held > 0 {
            self.touch(now);
        }
    }

    fn loaded(&mut self, now: Nanos) {
        let Some(Reverse((at, id))) = self.loading.pop() else {
            return;
        };
        let Some(replica) = &mut self.replicas[id] else {
            return; // the load was stopped
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

    /// Answers requests with an error that were held for as long as they may be.
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
        self.record(model, now);
    }

    /// Records how many requests are held for a model from now on.
    fn record(&mut self, model: usize, now: Nanos) {
        if let Some(recorder) = self.recorders.get_mut(model) {
            recorder.set([self.models[model].held.len() as u64], now);
        }
    }

    fn finish(mut self, now: Nanos) -> FleetResult {
        for id in 0..self.replicas.len() {
            self.remove(id, now);
        }
        let mut models: Vec<_> = self.models.into_iter().map(|own| own.result).collect();
        for model in &mut models {
            model.waits.sort_unstable_by(f32::total_cmp);
        }
        for (model, recorder) in models.iter_mut().zip(self.recorders) {
            let slices = recorder.finish(now).into_iter();
            model.held = slices.map(|[held]| held).collect();
        }
        let mut waits: Vec<_> = models.iter().flat_map(|own| own.waits.clone()).collect();
        waits.sort_unstable_by(f32::total_cmp);
        FleetResult {
            placer: self.placer,
            waits,
            evictions: self.evictions,
            end: now.since(Nanos(0)),
            models,
            stays: self.stays,
        }
    }
}
