//! Reads the room and the models from manifests, as placement sees them live.

use std::time::Duration;

use tailback_config::{Config, Model, Server};

use super::{FleetSetup, SimulatedModel};
use crate::{
    clock::Nanos,
    orchestrator::host,
    placement::{Bin, BinPool, ModelNeed},
};

impl FleetSetup {
    /// The models of `config` that share room: process models that take room on its Host, and the
    /// models of multi-model servers, each server with its initial count of replicas. `load`
    /// returns how long a model takes to load.
    #[must_use]
    pub fn of(config: &Config, load: impl Fn(&str) -> Duration) -> Self {
        let mut pools = config
            .host
            .as_ref()
            .map_or_else(Vec::new, |own| host::pools(own));
        let mut concurrency = vec![None; pools.len()];
        let mut servers = Vec::new();
        for server in config
            .servers
            .values()
            .filter(|own| own.multi_model.is_some())
        {
            servers.push((&server.name, pools.len()));
            pools.push(pool(server, config));
            concurrency.push(server.concurrency.map(std::num::NonZeroU32::get));
        }
        let placed = |model: &Model| {
            let server = servers.iter().find(|(name, _)| **name == model.server.name);
            match (&model.room, server) {
                (Some(room), _) => Some((host::pool_of(room), room.memory, room.devices.max(1))),
                (None, Some((_, pool))) => Some((*pool, model.memory.unwrap_or(0), 1)),
                (None, None) => None,
            }
        };
        let models = config.models.values().filter_map(|model| {
            let (pool, memory, bins) = placed(model)?;
            Some(SimulatedModel {
                need: need(model, pool, memory, bins),
                load: load(&model.name),
                concurrency: model.concurrency.value.map(std::num::NonZeroU32::get),
            })
        });
        Self {
            models: models.collect(),
            pools,
            concurrency,
            timeline: None,
        }
    }
}

fn need(model: &Model, pool: usize, memory: u64, bins: u32) -> ModelNeed {
    let replicas = &model.replicas;
    let wanted = match replicas.scaled {
        true => replicas.min,
        false => replicas.initial,
    };
    ModelNeed {
        name: model.name.as_str().into(),
        pools: vec![pool],
        memory,
        bins,
        wanted: wanted.max(1),
        min: replicas.min,
        max: wanted.max(1),
        pinned: model.scaling.pin.value || (model.room.is_some() && host::is_kept(model)),
        admitted: false,
        held: 0,
        held_since: None,
        hold: model.hold.deadline.value,
        last_used: Nanos(0),
        out_since: None,
        load_time: None,
        not_before: None,
    }
}

fn pool(server: &Server, config: &Config) -> BinPool {
    let own = server.multi_model.as_ref();
    let count = own.map_or(1, |own| own.replicas.initial);
    let bin = |index: u32| Bin {
        name: format!("{}-{index}", server.name).into(),
        memory: server.memory,
        leaving: false,
        given_up: false,
        ordinal: None,
    };
    BinPool {
        name: server.name.as_str().into(),
        bins: (0..count).map(bin).collect(),
        placed: Vec::new(),
        overcommit: Some(own.map_or(0, |own| own.overcommit(&config.process.placement))),
        one_per_bin: true,
        scaling: None,
    }
}
