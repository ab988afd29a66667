//! The machine's devices and memory, and what is placed there, as input for placement.

use std::sync::Arc;

use tailback_config::{Host, HostRoom, Model, Origin};

use super::models::{HostModel, Leaving};
use crate::{
    clock::Nanos,
    placement::{Bin, BinPool, Fleet, ModelNeed, Placed, PlacedState},
    replica::{Devices, Replica, Transition},
    server_status::{DeviceStatus, HostModelStatus, HostStatus, HostedStatus},
};

/// The fleet for placement, and the replica behind each of its entries.
pub(super) struct Bins {
    pub fleet: Fleet,
    host: Arc<Host>,
    /// For each pool, its placed replicas in the fleet's order.
    pub placed: Vec<Vec<Instance>>,
}

/// A replica that takes room on the machine.
pub(super) struct Instance {
    pub model: Arc<str>,
    pub devices: Devices,
    /// The index of the model's assignment; `None`: the replica is ending.
    pub assigned: Option<usize>,
    /// The replica, if it exists already.
    pub replica: Option<Arc<Replica>>,
}

/// The index of the pool of devices (which may be empty). The other pool is the host's memory.
const DEVICES: usize = 0;
const MEMORY: usize = 1;

impl Bins {
    pub(super) fn new<'a>(
        host: &Arc<Host>,
        models: impl Iterator<Item = (&'a Arc<str>, &'a HostModel)>,
        leaving: &[Leaving],
        now: Nanos,
    ) -> Self {
        let mut bins = Self {
            fleet: Fleet {
                pools: pools(host),
                models: Vec::new(),
            },
            host: host.clone(),
            placed: vec![Vec::new(), Vec::new()],
        };
        for (name, own) in models {
            bins.add(name, own, now);
        }
        for own in leaving {
            let pool = pool_of(&own.room);
            let one = Instance {
                model: own.model.clone(),
                devices: own.replica.devices().clone(),
                assigned: None,
                replica: Some(own.replica.clone()),
            };
            bins.put(pool, one, own.memory, PlacedState::Unloading, now);
        }
        bins
    }

    /// The names of a pool's bins.
    pub(super) fn devices(&self, pool: usize, bins: &[usize]) -> Devices {
        if pool == MEMORY {
            return Devices::new();
        }
        let names = bins.iter().filter_map(|bin| self.host.devices.get(*bin));
        names.map(|device| device.name.clone()).collect()
    }

    /// The machine, as the admin address shows it, with the `models` that share it.
    pub(super) fn status(&self, models: Vec<HostModelStatus>, now: Nanos) -> HostStatus {
        let pools = self.fleet.pools.iter();
        let devices = pools.flat_map(|pool| {
            let device = |(at, bin): (usize, &Bin)| {
                let there = pool
                    .placed
                    .iter()
                    .filter(|placed| placed.bins.contains(&at));
                let models: Vec<_> = there.map(|placed| hosted(placed, now)).collect();
                DeviceStatus {
                    name: bin.name.to_string(),
                    memory_bytes: bin.memory,
                    used_bytes: models.iter().map(|model| model.memory_bytes).sum(),
                    models,
                }
            };
            pool.bins.iter().enumerate().map(device).collect::<Vec<_>>()
        });
        // The host's memory is left out if it is neither limited nor used.
        let shown =
            |device: &DeviceStatus| device.memory_bytes.is_some() || !device.models.is_empty();
        HostStatus {
            name: self.host.name.clone(),
            devices: devices.filter(shown).collect(),
            models,
        }
    }

    fn add(&mut self, name: &Arc<str>, own: &HostModel, now: Nanos) {
        let Some(room) = own.hosted.model.room.clone() else {
            return;
        };
        let pool = pool_of(&room);
        let need = own.hosted.need(pool, own.assigned.len());
        self.fleet.models.push(ModelNeed {
            memory: room.memory,
            bins: room.devices.max(1),
            pinned: need.pinned || is_kept(&own.hosted.model),
            ..need
        });
        let mut ready = own.set.ready.clone();
        let mut coming = own.set.coming.clone();
        for (index, assigned) in own.assigned.iter().enumerate() {
            let same = |replica: &Replica| *replica.devices() == assigned.devices;
            let (replica, state, since) =
                if let Some(at) = ready.iter().position(|replica| same(replica)) {
                    let since = assigned.loaded.unwrap_or(now);
                    (Some(ready.remove(at)), PlacedState::Loaded, since)
                } else if let Some(at) = coming.iter().position(|own| same(&own.replica)) {
                    let Transition { replica, since } = coming.remove(at);
                    (Some(replica), PlacedState::Loading, since)
                } else {
                    (None, PlacedState::Loading, assigned.since)
                };
            // Until it ends, it keeps what it was started with; its next start takes what is
            // configured now.
            let before = replica.as_ref().and_then(|replica| own.memory_of(replica));
            let memory = before.unwrap_or_default().max(room.memory);
            let one = Instance {
                model: name.clone(),
                devices: assigned.devices.clone(),
                assigned: Some(index),
                replica,
            };
            self.put(pool, one, memory, state, since);
        }
        let coming = coming.into_iter().map(|own| own.replica);
        let leaving = own.set.leaving.iter().map(|own| own.replica.clone());
        for replica in ready.into_iter().chain(coming).chain(leaving) {
            let state = match replica.in_flight() {
                0 => PlacedState::Unloading,
                _ => PlacedState::Draining,
            };
            let memory = own.memory_of(&replica).unwrap_or(room.memory);
            let one = Instance {
                model: name.clone(),
                devices: replica.devices().clone(),
                assigned: None,
                replica: Some(replica),
            };
            self.put(pool, one, memory, state, now);
        }
    }

    fn put(
        &mut self,
        pool: usize,
        instance: Instance,
        memory: u64,
        state: PlacedState,
        since: Nanos,
    ) {
        // A device that no longer exists is in no bin, so the replica is placed anew.
        let known = |name: &String| {
            let at = self.host.devices.iter().position(|own| own.name == *name);
            at.unwrap_or(usize::MAX)
        };
        let bins: Vec<_> = match pool {
            MEMORY => vec![0],
            _ => instance.devices.iter().map(known).collect(),
        };
        self.fleet.pools[pool].placed.push(Placed {
            model: instance.model.clone(),
            bins,
            memory,
            state,
            since,
            in_flight: instance.replica.as_ref().map_or(0, |own| own.in_flight()),
        });
        self.placed[pool].push(instance);
    }
}

/// The pools of the machine's devices and of its memory, with nothing placed in them.
pub(crate) fn pools(host: &Host) -> Vec<BinPool> {
    let bin = |name: &str, memory| Bin {
        name: name.into(),
        memory,
        leaving: false,
        given_up: false,
        ordinal: None,
    };
    let devices = host.devices.iter();
    let devices = devices.map(|device| bin(&device.name, Some(device.memory)));
    vec![
        pool(&host.name, devices.collect()),
        pool(
            &format!("{}'s memory", host.name),
            vec![bin("memory", host.memory)],
        ),
    ]
}

/// Which of the [`pools`] a model's room is in.
pub(crate) fn pool_of(room: &HostRoom) -> usize {
    match room.devices {
        0 => MEMORY,
        _ => DEVICES,
    }
}

/// Whether the manifest requires the model to be there at all times.
pub(crate) fn is_kept(model: &Model) -> bool {
    let replicas = &model.replicas;
    let is_said = replicas.min > 0 && matches!(replicas.min_origin, Origin::Model(_));
    is_said && replicas.scaled
}

fn hosted(placed: &Placed, now: Nanos) -> HostedStatus {
    HostedStatus {
        model: placed.model.to_string(),
        state: placed.state.as_str(),
        seconds: now.since(placed.since).as_secs_f64(),
        in_flight: placed.in_flight,
        memory_bytes: placed.memory,
    }
}

fn pool(name: &str, bins: Vec<Bin>) -> BinPool {
    BinPool {
        name: name.into(),
        bins,
        placed: Vec::new(),
        // Models that do not fit together take turns.
        overcommit: None,
        one_per_bin: false,
        scaling: None,
    }
}
