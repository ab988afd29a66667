//! The route table: all models served at one time, as an immutable value.

use std::{
    collections::HashMap,
    mem::discriminant,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tailback_config::{ApiKeysFile, Config, Replication};
use tailback_scaler::{
    clock::Nanos,
    ledger::{Ledger, Wake},
    run::ModelHandle,
};

use crate::{
    admission::{Pool, balance::PrefixTable},
    api_keys::ApiKeys,
    models::Model,
    protocol::{local_reply::ModelList, model_card::ModelCard},
    telemetry::metrics::MetricsStore,
    upstream::Connector,
};

/// Models by name.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Unique within the process, and increasing.
    pub generation: u64,
    /// By their own names.
    pub models: HashMap<Box<str>, Arc<Model>>,
    /// The model's name, by alias.
    pub aliases: HashMap<Box<str>, Box<str>>,
    /// The number of worker threads.
    pub workers: u32,
    /// The model for requests that name none.
    pub default_model: Option<String>,
    /// The model for requests that name one that is not served.
    pub fallback_model: Option<String>,
    /// The API keys that requests must have; `None`: they need none.
    pub keys: Option<Arc<ApiKeys>>,
    /// Models no longer configured that had requests in flight when the table was built.
    leaving: Vec<Arc<Model>>,
    /// The metric series of all models, which outlast any table.
    pub metrics: Arc<MetricsStore>,
}

/// How many models each server and each endpoint has.
struct Neighbours<'a> {
    on_server: HashMap<&'a str, usize>,
    at_endpoint: HashMap<&'a str, usize>,
}

impl<'a> Neighbours<'a> {
    fn of(config: &'a Config) -> Self {
        let (mut on_server, mut at_endpoint) = (HashMap::new(), HashMap::new());
        for model in config.models.values() {
            *on_server.entry(model.server.name.as_str()).or_default() += 1;
            for endpoint in model.server.endpoints().into_iter().flatten() {
                *at_endpoint.entry(endpoint.authority.as_str()).or_default() += 1;
            }
        }
        Self {
            on_server,
            at_endpoint,
        }
    }

    /// Whether replicas of `model` serve others, too.
    fn has(&self, model: &tailback_config::Model) -> bool {
        let server = &model.server;
        let is_shared = server.multi_model.is_some() || server.replication() == Replication::Shared;
        let mut endpoints = server.endpoints().into_iter().flatten();
        is_shared
            && (self.on_server[server.name.as_str()] > 1
                || endpoints.any(|endpoint| self.at_endpoint[endpoint.authority.as_str()] > 1))
    }
}

impl RouteTable {
    /// Builds the table for `config`. Models that are in `before` keep their ledger. They keep
    /// their pool if it is theirs alone before and after, or if it belongs to the same server.
    #[must_use]
    pub fn build(config: &Config, before: &Self, wake: &Wake) -> Self {
        let workers = config.process.workers.get();
        let mut shared: HashMap<&str, Arc<Pool>> = HashMap::new();
        let mut connectors: HashMap<&str, Arc<Connector>> = HashMap::new();
        let mut models = HashMap::with_capacity(config.models.len());
        let neighbours = Neighbours::of(config);
        for model in config.models.values() {
            let known = before.models.get(model.name.as_str());
            let ledger = known.map_or_else(
                || Arc::new(Ledger::new(workers, wake.clone())),
                |m| m.ledger.clone(),
            );
            let pool = match model.server.replication() {
                Replication::PerModel => {
                    let own = known.filter(|m| {
                        let before = &m.config.server;
                        let same = discriminant(&before.kind) == discriminant(&model.server.kind);
                        same && before.replication() == Replication::PerModel
                    });
                    own.map_or_else(Default::default, |m| m.pool.clone())
                }
                Replication::Shared => {
                    let name = model.server.name.as_str();
                    shared
                        .entry(name)
                        .or_insert_with(|| before.pool_of(name))
                        .clone()
                }
            };
            pool.configure(model.server.outlier_detection, model.server.slow_start);
            // Reuse the connector, with the certificates it has loaded, unless the server's
            // configuration has changed.
            let same = known.filter(|m| m.config.server == model.server);
            let connector = same.map_or_else(
                || {
                    let connector = connectors.entry(&*model.server.name);
                    connector
                        .or_insert_with(|| Arc::new(Connector::new(&model.server)))
                        .clone()
                },
                |m| m.connector.clone(),
            );
            // A reload does not lose what is known of the replicas' caches.
            let prefix_table = PrefixTable::of(
                &model.server.load_balancing,
                known.and_then(|m| m.prefix_table.as_ref()),
            );
            let card = same.map_or_else(Default::default, |m| m.card.clone());
            let metrics = before.metrics.of(&model.name, &model.server.name);
            if model.server.load_balancing.has_affinity() {
                metrics.affinity.show();
            }
            let model = Model {
                config: model.clone(),
                has_neighbours: neighbours.has(model),
                ledger,
                pool,
                prefix_table,
                connector,
                card,
                metrics,
            };
            models.insert(model.name().into(), Arc::new(model));
        }
        let aliases = config.models.values().flat_map(|model| {
            let own = |alias: &String| (alias.as_str().into(), model.name.as_str().into());
            model.aliases.iter().map(own)
        });
        let left = before
            .models
            .values()
            .filter(|m| !models.contains_key(m.name()));
        let table = Self {
            generation: before.generation + 1,
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            keys: before.keys.clone(),
            leaving: before.draining().chain(left).cloned().collect(),
            aliases: aliases.collect(),
            default_model: config.process.routing.default_model.clone(),
            fallback_model: config.process.routing.fallback_model.clone(),
            metrics: before.metrics.clone(),
            models,
        };
        table.expire_metrics(Nanos::now());
        table
    }

    /// The same table with other API keys.
    #[must_use]
    pub fn with_keys(&self, file: &ApiKeysFile) -> Self {
        let keys = ApiKeys::new(file, self.keys.as_deref(), &self.metrics);
        Self {
            generation: self.generation + 1,
            keys: Some(Arc::new(keys)),
            ..self.clone()
        }
    }

    /// Removes metric series of models that were removed some time ago.
    pub fn expire_metrics(&self, now: Nanos) {
        let served = self.models.values().chain(self.draining());
        let served = served.map(|m| (m.name(), &*m.config.server.name));
        let keys = self.keys.iter().flat_map(|keys| keys.series());
        self.metrics.expire(served, keys, now);
    }

    /// The model of this name or alias.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&Arc<Model>> {
        let own = self.aliases.get(name).map_or(name, |own| own);
        self.models.get(own)
    }

    /// Models that are no longer configured and still have requests in flight.
    pub fn draining(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.leaving.iter().filter(|m| m.ledger.in_flight() > 0)
    }

    /// Closes all pools: held requests are answered with an error, and no more are held.
    pub fn close_pools(&self) {
        for model in self.models.values().chain(&self.leaving) {
            model.pool.close();
        }
    }

    /// The pool that the models of a static server share.
    fn pool_of(&self, server: &str) -> Arc<Pool> {
        let on_it = |m: &&Arc<Model>| {
            m.config.server.name == server && m.config.server.replication() == Replication::Shared
        };
        self.models
            .values()
            .find(on_it)
            .map_or_else(Default::default, |m| m.pool.clone())
    }

    /// Closes the pools that `after` does not have, whose held requests are answered with an error.
    pub fn retire(&self, after: &Self) {
        let pools = |table: &Self| -> HashMap<_, _> {
            let pool = |m: &Arc<Model>| (Arc::as_ptr(&m.pool), m.pool.clone());
            table.models.values().map(pool).collect()
        };
        let kept = pools(after);
        for (at, pool) in pools(self) {
            if !kept.contains_key(&at) {
                pool.close();
            }
        }
    }

    /// The models with their ledgers and pools, for the scaler.
    #[must_use]
    pub fn model_handles(&self) -> Vec<ModelHandle> {
        let watched = |m: &Arc<Model>| ModelHandle {
            model: m.config.clone(),
            ledger: m.ledger.clone(),
            traffic: m.pool.clone(),
        };
        self.models.values().map(watched).collect()
    }
}

impl ModelList for RouteTable {
    fn names(&self) -> Vec<&str> {
        self.models.keys().map(|name| &**name).collect()
    }

    fn aliases(&self) -> Vec<&str> {
        self.aliases.keys().map(|alias| &**alias).collect()
    }

    fn is_served(&self, name: &str) -> bool {
        self.model(name).is_some()
    }

    fn is_ready(&self, name: &str) -> bool {
        let model = self.models.get(name);
        model.is_some_and(|model| !model.pool.replicas().is_empty())
    }

    fn card(&self, name: &str) -> ModelCard {
        let model = self.model(name);
        model.map(|model| model.card.get()).unwrap_or_default()
    }
}

/// The current table, for all workers. For a request, a worker reads only the generation, and
/// loads the table if it has changed.
#[derive(Debug, Default)]
pub struct SharedRoutes {
    generation: AtomicU64,
    current: ArcSwap<RouteTable>,
}

impl SharedRoutes {
    /// The table in force.
    #[must_use]
    pub fn current(&self) -> Arc<RouteTable> {
        self.current.load_full()
    }

    /// The generation of the current table. It may lag behind [`current`](Self::current) for a
    /// moment.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Replaces the current table.
    pub fn set(&self, table: RouteTable) {
        let generation = table.generation;
        self.current.store(Arc::new(table));
        self.generation.store(generation, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A worker that took an older table under a newer generation would keep it until the next reload.
    #[test]
    fn whoever_has_seen_a_generation_gets_its_table_or_a_newer_one() {
        const TABLES: u64 = if cfg!(miri) { 30 } else { 5_000 };
        let routes = SharedRoutes::default();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut seen = 0;
                    while seen < TABLES {
                        let generation = routes.generation();
                        let table = routes.current().generation;
                        assert!(table >= generation, "{table} under {generation}");
                        assert!(generation >= seen, "{generation} after {seen}");
                        seen = generation;
                    }
                });
            }
            for generation in 1..=TABLES {
                routes.set(RouteTable {
                    generation,
                    ..RouteTable::default()
                });
            }
        });
    }
}
