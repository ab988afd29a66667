//! What each worker thread keeps for itself: the routing table as it last saw
//! it, with its own connections to replicas. No other thread touches it, so
//! that a request's way takes no lock and shares no reference count.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use send_wrapper::SendWrapper;
use tailback_scaler::ledger::Ledger;

use crate::{
    admission::{Pool, RetryBudget, balance::Balancer},
    exchange::{Account, AccountRef},
    models::{Model, RouteTable, SharedRoutes},
    protocol::route::names_in_path,
    upstream::{SWEEP, WorkerPool},
};

/// A model as this worker sees it: cheap to clone as an `Rc`.
#[derive(Debug)]
pub struct WorkerModel {
    /// Shared with other workers.
    pub model: Arc<Model>,
    /// What its requests are counted in.
    pub account: AccountRef,
    /// Its replicas.
    pub pool: Rc<WorkerPool>,
    /// How one of them is chosen.
    pub balancer: Balancer,
    /// How many requests may be sent again; `None`: it sets no `retry`.
    pub retry_budget: Option<RetryBudget>,
}

/// What leads from a request to its model and its ledger.
#[derive(Clone, Debug)]
pub struct ModelRef(Rc<WorkerModel>);

impl std::ops::Deref for ModelRef {
    type Target = WorkerModel;
    fn deref(&self) -> &WorkerModel {
        &self.0
    }
}

impl AsRef<Ledger> for ModelRef {
    fn as_ref(&self) -> &Ledger {
        &self.0.model.ledger
    }
}

/// The table as this worker last saw it.
#[derive(Debug, Default)]
pub struct WorkerRoutes {
    /// What it was made from.
    pub table: Arc<RouteTable>,
    models: HashMap<Box<str>, ModelRef>,
    /// Further names of the same models.
    aliases: HashMap<Box<str>, ModelRef>,
    /// The most `/` in any name.
    deepest: usize,
}

impl WorkerRoutes {
    /// The model of this name, be it its own or an alias.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&ModelRef> {
        self.models.get(name).or_else(|| self.aliases.get(name))
    }

    /// The model that a path names below `/v2/models/`, and how long the name is there. Of
    /// several that fit, the one of the longest name.
    ///
    /// # Errors
    /// The name, if no model has it.
    pub fn model_in_path(&self, below_models: &str) -> Result<(&ModelRef, usize), String> {
        // Most names are a segment, as it is.
        let segment = below_models.split('/').next().unwrap_or_default();
        if self.deepest == 0
            && let Some(model) = self.models.get(segment)
        {
            return Ok((model, segment.len()));
        }
        let mut shortest = segment.into();
        for (length, name) in names_in_path(below_models, self.deepest) {
            if let Some(model) = self.model(&name) {
                return Ok((model, length));
            }
            shortest = name;
        }
        Err(shortest.into_owned())
    }

    /// Keeps the connections of every pool that is in both.
    fn succeed(before: &Self, table: Arc<RouteTable>) -> Self {
        let mut pools: Vec<Rc<WorkerPool>> =
            before.models.values().map(|m| m.pool.clone()).collect();
        let mut own_pool = |pool: &Arc<Pool>| {
            if let Some(known) = pools.iter().find(|own| Arc::ptr_eq(own.shared(), pool)) {
                return known.clone();
            }
            let own = Rc::new(WorkerPool::new(pool.clone()));
            pools.push(own.clone());
            own
        };
        let workers = table.workers;
        let models: HashMap<Box<str>, ModelRef> = table
            .models
            .iter()
            .map(|(name, model)| {
                let own = WorkerModel {
                    account: AccountRef::new(Account {
                        name: name.clone(),
                        ledger: model.ledger.clone(),
                        metrics: model.metrics.clone(),
                    }),
                    model: model.clone(),
                    pool: own_pool(&model.pool),
                    balancer: Balancer::new(model.config.server.load_balancing),
                    retry_budget: (model.config.retry.value.as_ref())
                        .map(|retry| RetryBudget::new(retry.budget, workers)),
                };
                (name.clone(), ModelRef(Rc::new(own)))
            })
            .collect();
        let of_one = |model: &ModelRef| {
            let aliases = model.model.config.aliases.iter();
            let aliases: Vec<_> = aliases.map(|alias| (&**alias).into()).collect();
            let model = model.clone();
            aliases.into_iter().map(move |alias| (alias, model.clone()))
        };
        let aliases: HashMap<Box<str>, ModelRef> = models.values().flat_map(of_one).collect();
        let names = models.keys().chain(aliases.keys());
        let deepest = names.map(|name| name.matches('/').count()).max();
        Self {
            table,
            models,
            aliases,
            deepest: deepest.unwrap_or(0),
        }
    }
}

impl WorkerRoutes {
    /// Closes connections that have been idle for too long. Replicas that have gone are let go of first, with
    /// their connections, also where no request asks for them any more.
    fn sweep(&self) {
        for model in self.models.values() {
            for replica in model.pool.replicas().iter() {
                replica.http.sweep();
                replica.grpc.sweep();
            }
        }
    }
}

/// Sees to it that this worker's idle connections to replicas are looked through.
pub fn keep_swept(tables: &Arc<SharedRoutes>) {
    if SWEPT.replace(true) {
        return;
    }
    let tables = tables.clone();
    // Workers do not steal: it stays on this thread.
    tokio::spawn(SendWrapper::new(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            table(&tables).sweep();
        }
    }));
}

thread_local! {
    static SWEPT: Cell<bool> = const { Cell::new(false) };
    static TABLE: RefCell<Rc<WorkerRoutes>> = RefCell::default();
}

/// This worker's view of the table in force: one atomic load, unless it changed.
#[must_use]
pub fn table(tables: &SharedRoutes) -> Rc<WorkerRoutes> {
    TABLE.with_borrow_mut(|own| {
        if own.table.generation != tables.generation() {
            *own = Rc::new(WorkerRoutes::succeed(own, tables.current()));
        }
        own.clone()
    })
}
