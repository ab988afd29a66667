//! The simulated fleet as input for placement, and the execution of its plans.

use super::{
    Placer, Stay,
    engine::{FleetEngine, SETTLE},
    lru,
    state::{FleetModel, FleetReplica},
};
use std::cmp::Reverse;

use crate::{
    clock::Nanos,
    placement::{self, Fleet, ModelNeed, Placed, PlacedState, Plan, Why},
};

impl FleetEngine<'_> {
    pub(super) fn look(&mut self, now: Nanos) {
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

    /// The input for placement, and for each pool the numbers of its placed replicas.
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
        let model = |(index, own): (usize, &FleetModel)| ModelNeed {
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
        let replica = Some(FleetReplica {
            model,
            pool,
            bins,
            state: PlacedState::Loading,
            since: now,
            from: now,
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

    /// Removes a replica, which frees its room.
    pub(super) fn remove(&mut self, id: usize, now: Nanos) {
        let Some(replica) = self.replicas[id].take() else {
            return;
        };
        let ready = replica.ready_at.min(now);
        let own = &mut self.models[replica.model];
        own.replicas.retain(|&known| known != id);
        own.result.resident_seconds += now.since(ready).as_secs_f64();
        self.stays.push(Stay {
            model: replica.model,
            pool: replica.pool,
            bins: replica.bins,
            from: replica.from,
            ready,
            until: now,
        });
        self.unused.push(id);
        self.touch(now);
    }
}
