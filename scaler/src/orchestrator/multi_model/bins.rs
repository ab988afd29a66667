//! Builds the input of placement from the reconciler's state.

use std::sync::Arc;

use super::{
    reconciler::Reconciler,
    servers::{ServerReplica, SharedServer},
};
use crate::{
    clock::Nanos,
    placement::{Bin, BinPool, Fleet, Placed, PlacedState, ServerScaling},
    replica::{Replica, ReplicaId},
};

/// A fleet, and which servers and replicas its pools and bins stand for.
pub(super) struct Bins {
    pub fleet: Fleet,
    pools: Vec<(Arc<str>, Vec<ReplicaId>)>,
}

impl Bins {
    /// The server that a pool stands for, and the replica that one of its bins stands for.
    pub(super) fn at(&self, pool: usize, bin: usize) -> Option<(&Arc<str>, ReplicaId)> {
        let (server, replicas) = self.pools.get(pool)?;
        Some((server, *replicas.get(bin)?))
    }
}

impl Reconciler {
    /// The present input of placement.
    pub(super) fn bins(&self, now: Nanos) -> Bins {
        let mut fleet = Fleet::default();
        let mut pools = Vec::new();
        for (name, server) in &self.servers {
            let (pool, replicas) = self.pool(server, now);
            fleet.pools.push(pool);
            pools.push((name.clone(), replicas));
        }
        for own in self.models.values() {
            let server = &*own.model.server.name;
            if let Some(pool) = pools.iter().position(|(name, _)| **name == *server) {
                let server = self.servers.get(server);
                let replicas = server.iter().flat_map(|server| &server.replicas);
                let has = |replica: &&ServerReplica| {
                    replica.known && replica.hosted.contains_key(&*own.model.name)
                };
                fleet
                    .models
                    .push(own.need(pool, replicas.filter(has).count()));
            }
        }
        Bins { fleet, pools }
    }

    fn pool(&self, server: &SharedServer, now: Nanos) -> (BinPool, Vec<ReplicaId>) {
        let mut pool = BinPool {
            name: server.name().into(),
            bins: Vec::new(),
            placed: Vec::new(),
            overcommit: Some(self.overcommit(server)),
            one_per_bin: true,
            scaling: self.scaling(server, now),
        };
        let mut ids = Vec::new();
        // A replica takes models only once its index has been read.
        for replica in server.replicas.iter().filter(|replica| replica.known) {
            let index = pool.bins.len();
            ids.push(replica.replica.id());
            pool.bins.push(Bin {
                name: replica.replica.name().into(),
                memory: server.memory(),
                leaving: server.is_to_go(replica) || replica.replica.is_closed(),
                given_up: is_given_up(&replica.replica),
                ordinal: server.ordinal(replica.replica.name()),
            });
            for (model, hosted) in &replica.hosted {
                pool.placed.push(Placed {
                    model: model.clone(),
                    bins: vec![index],
                    memory: hosted.memory,
                    state: match hosted.unwanted || hosted.outdated {
                        true => PlacedState::Unloading,
                        false => hosted.state,
                    },
                    since: hosted.since,
                    in_flight: hosted.replica.in_flight(),
                });
            }
        }
        (pool, ids)
    }

    fn overcommit(&self, server: &SharedServer) -> u32 {
        let own = server.as_model.server.multi_model.as_ref();
        own.map_or(0, |own| own.overcommit(&self.placement))
    }

    fn scaling(&self, server: &SharedServer, now: Nanos) -> Option<ServerScaling> {
        let bounds = server.bounds();
        let asked = server.asked?;
        (bounds.scaled && self.placement.server_scaling && !server.is_followed()).then(|| {
            ServerScaling {
                min: bounds.min,
                max: bounds.max,
                asked,
                bin_memory: server.memory(),
                packing: self.placement.packing,
                unchanged: now.since(server.changed),
                stability: self.stability(server),
            }
        })
    }
}

/// Whether the orchestrator removes the replica, regardless of the server's count.
fn is_given_up(replica: &Replica) -> bool {
    replica.health().is_condemned() || replica.is_closed() || replica.is_vacating()
}
