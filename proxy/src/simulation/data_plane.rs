//! The real data plane: what `tailback serve` assembles, except its listener and its scaler.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    sync::Arc,
};

use tailback_config::Config;
use tailback_scaler::{
    clock::Nanos,
    ledger::{Ledger, Wake},
    replica::{Replica, Traffic},
};
use tokio::sync::watch;

use crate::{
    admission::Pool,
    downstream::{Downstream, DownstreamSettings, Lifecycle},
    exchange::body::BufferBudget,
    models::{Model, RouteTable, SharedRoutes},
    net::{
        Socket,
        simulated::{Plan, Stream, connection},
    },
    overload::Overload,
    pipeline::Pipeline,
    telemetry::metrics::{self, DownstreamMetrics, UpstreamMetrics},
    upstream::ConnectOptions,
};

/// See the module.
pub struct DataPlane {
    downstream: Arc<Downstream<Pipeline>>,
    routes: Arc<SharedRoutes>,
    stop: watch::Sender<bool>,
    is_draining: Cell<bool>,
    /// The ready replicas of each model.
    current: RefCell<BTreeMap<&'static str, Vec<Arc<Replica>>>>,
    /// All replicas that ever existed.
    ever: RefCell<Vec<(&'static str, Arc<Replica>)>>,
}

impl DataPlane {
    /// A data plane that serves `config`, without replicas.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let process = &config.process;
        let routes = Arc::new(SharedRoutes::default());
        let table = RouteTable::build(config, &RouteTable::default(), &Wake::default());
        routes.set(table);
        let lifecycle = Arc::new(Lifecycle::default());
        let overload = Arc::new(Overload::default());
        let downstream = Downstream {
            handler: Pipeline {
                routes: routes.clone(),
                stored: Arc::default(),
                live: Arc::default(),
                buffer_budget: BufferBudget::new(process.limits.held_bytes, overload.clone()),
                overload: overload.clone(),
                connect: ConnectOptions {
                    limits: process.limits.clone(),
                    metrics: UpstreamMetrics::default(),
                },
                access_log: None,
                tracer: None,
                probes_wake: process.routing.probes_wake,
                unrouted: metrics::unrouted(),
                status: Default::default(),
                cors: None,
                lifecycle: lifecycle.clone(),
            },
            settings: DownstreamSettings {
                timeouts: Arc::new(process.timeouts.clone()),
                limits: process.limits.clone(),
                max_connections: 1000,
                unread_bytes: BufferBudget::of_surplus(
                    process.limits.held_bytes / 2,
                    overload.clone(),
                ),
                overload,
                workers: 1,
                half_close: process.half_close,
                cors: None,
                tls: None,
            },
            metrics: DownstreamMetrics::default(),
            lifecycle,
        };
        Self {
            downstream: Arc::new(downstream),
            routes,
            stop: watch::Sender::new(false),
            is_draining: Cell::new(false),
            current: RefCell::default(),
            ever: RefCell::default(),
        }
    }

    /// A caller's end of a new connection with the faults in `plan`. `None`: nothing listens any
    /// more.
    pub fn connect(&self, plan: Plan) -> Option<Stream> {
        if self.is_draining.get() {
            return None;
        }
        let (near, far, _) = connection(plan);
        self.downstream
            .spawn(Socket::Simulated(far), self.stop.subscribe());
        Some(near)
    }

    /// # Panics
    /// If there is no such model. The same holds for the methods that take its name.
    fn model(&self, name: &str) -> Arc<Model> {
        let table = self.routes.current();
        match table.model(name) {
            Some(model) => model.clone(),
            None => panic!("{name} is not served"),
        }
    }

    /// The model's pool.
    #[must_use]
    pub fn pool(&self, model: &str) -> Arc<Pool> {
        self.model(model).pool.clone()
    }

    /// The model's ledger.
    #[must_use]
    pub fn ledger(&self, model: &str) -> Arc<Ledger> {
        self.model(model).ledger.clone()
    }

    /// In place of the scaler: gives the model new replicas at these addresses, with this
    /// concurrency.
    pub fn set_replicas(&self, model: &'static str, hosts: &[&str], concurrency: u32) {
        let replica = |host: &&str| Arc::new(Replica::new(*host, *host, Some(concurrency)));
        let replicas: Vec<_> = hosts.iter().map(replica).collect();
        let mut ever = self.ever.borrow_mut();
        ever.extend(replicas.iter().map(|replica| (model, replica.clone())));
        self.pool(model).set_replicas(&replicas);
        let before = self.current.borrow_mut().insert(model, replicas);
        for replica in before.into_iter().flatten() {
            replica.close();
        }
    }

    /// All replicas that ever existed, each with its model.
    #[must_use]
    pub fn replicas(&self) -> Vec<(&'static str, Arc<Replica>)> {
        self.ever.borrow().clone()
    }

    /// In place of the scaler, which does this a few times a second.
    pub fn review_health(&self) {
        for model in self.routes.current().models.values() {
            model.pool.review_health(Nanos::now());
        }
    }

    /// As on SIGTERM.
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.downstream.lifecycle.drain();
        self.stop.send_replace(true);
    }

    /// Ends the drain time.
    pub fn end(&self) {
        self.downstream.lifecycle.stop();
        self.routes.current().close_pools();
    }

    /// The number of callers' connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.downstream.lifecycle.connections()
    }

    /// Whether the budgets for bodies are completely free.
    #[must_use]
    pub fn has_all_memory_back(&self) -> bool {
        let budgets = [
            &self.downstream.handler.buffer_budget,
            &self.downstream.settings.unread_bytes,
        ];
        budgets.iter().all(|budget| {
            let mut all = budget.reserve();
            all.cover(all.most()).is_ok()
        })
    }
}
