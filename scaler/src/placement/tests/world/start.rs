//! Replicas that are there to begin with.

use super::{
    super::super::{Placed, PlacedState},
    Replica, World,
};
use crate::{clock::Nanos, placement::tests::fixtures::SECOND};

impl World {
    /// Puts a loaded replica somewhere.
    pub(in super::super) fn put(&mut self, model: usize, pool: usize, bins: &[usize]) {
        let need = &mut self.fleet.models[model];
        need.admitted = true;
        need.load_time = Some(self.load_times[model]);
        let placed = Placed {
            model: need.name.clone(),
            bins: bins.to_vec(),
            memory: need.memory,
            state: PlacedState::Loaded,
            since: self.now - 1000 * SECOND,
            in_flight: 0,
        };
        self.replicas.push(Replica {
            pool,
            placed,
            until: Nanos(0),
            ends: Vec::new(),
        });
    }

    /// Puts a loaded replica into a bin, if there is room for it.
    pub(in super::super) fn put_if_it_fits(&mut self, model: usize, pool: usize, bin: usize) {
        let need = &self.fleet.models[model];
        let own = &self.fleet.pools[pool];
        let here = || {
            let here = self.replicas.iter().filter(|r| r.pool == pool);
            here.filter(move |replica| replica.placed.bins.contains(&bin))
        };
        let used: u64 = here().map(|replica| replica.placed.memory).sum();
        let room = own.bins[bin].memory.unwrap_or(u64::MAX) - used;
        let twice = own.one_per_bin && here().any(|r| r.placed.model == need.name);
        if need.bins == 1 && need.memory <= room && !twice {
            self.put(model, pool, &[bin]);
        }
    }
}
