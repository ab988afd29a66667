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
use smallvec::SmallVec;
use tailback_scaler::ledger::Ledger;

use crate::{
    admission::{Pool, RetryBudget, balance::Balancer},
    exchange::{Account, AccountRef},
    models::{Model, RouteTable, SharedRoutes},
    protocol::{ProxyError, model_name::names_in_path},
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

/// A model that a request names.
#[derive(Clone, Debug)]
pub struct Known {
    /// The model.
    pub model: ModelRef,
    /// Whether the request calls it by its own name, or by none.
    pub is_own_name: bool,
}

impl Known {
    /// A model by its own name.
    #[must_use]
    pub fn own(model: &ModelRef) -> Self {
        Self {
            model: model.clone(),
            is_own_name: true,
        }
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
    /// What further names begin with, longest first.
    wildcards: Vec<(Box<str>, ModelRef)>,
    /// The most `/` in any name.
    deepest: usize,
}

impl WorkerRoutes {
    /// The model of this name, be it its own or an alias; of several wildcards that fit, that of
    /// the longest.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&ModelRef> {
        let exact = self.models.get(name).or_else(|| self.aliases.get(name));
        exact.or_else(|| {
            let mut fit = self.wildcards.iter();
            fit.find(|(start, _)| name.starts_with(&**start))
                .map(|(_, model)| model)
        })
    }

    /// The model that a request names; for an empty name the default, and where no model has the
    /// name, the fallback.
    ///
    /// # Errors
    /// If there is none.
    pub fn known(&self, name: &str) -> Result<Known, ProxyError> {
        match self.model(name) {
            Some(model) => Ok(Known {
                is_own_name: model.model.name() == name,
                model: model.clone(),
            }),
            None => self
                .default_model()
                .filter(|_| name.is_empty())
                .map(|model| Known {
                    is_own_name: false,
                    model: model.clone(),
                })
                .or_else(|| self.fallback())
                .ok_or_else(|| ProxyError::UnknownModel(name.to_owned())),
        }
    }

    /// The model of requests that name none, if there is to be one.
    #[must_use]
    pub fn default_model(&self) -> Option<&ModelRef> {
        self.model(self.table.default_model.as_deref()?)
    }

    /// The model that is served, if there is but one.
    #[must_use]
    pub fn only_model(&self) -> Option<&ModelRef> {
        let mut all = self.models.values();
        let first = all.next();
        first.filter(|_| all.next().is_none())
    }

    fn fallback(&self) -> Option<Known> {
        let model = self.model(self.table.fallback_model.as_deref()?)?;
        Some(Known {
            model: model.clone(),
            is_own_name: false,
        })
    }

    /// The model that this part of a path begins with the name of, and how long the name is
    /// there. Of several that fit, the one of the longest name; of wildcards, that of the shortest.
    ///
    /// # Errors
    /// The name, if no model has it.
    pub fn model_in_path(&self, part: &str) -> Result<(Known, usize), String> {
        // Most names are a segment, as it is.
        let segment = part.split('/').next().unwrap_or_default();
        if self.deepest == 0
            && let Some(model) = self.models.get(segment)
        {
            return Ok((Known::own(model), segment.len()));
        }
        let names: SmallVec<[_; 4]> = names_in_path(part, self.deepest).collect();
        let exact = |name: &str| self.models.get(name).or_else(|| self.aliases.get(name));
        let found = (names.iter())
            .find_map(|(length, name)| Some((exact(name)?, *length, name)))
            .or_else(|| {
                let mut shortest_first = names.iter().rev();
                shortest_first.find_map(|(length, name)| Some((self.model(name)?, *length, name)))
            });
        if let Some((model, length, name)) = found {
            let known = Known {
                is_own_name: model.model.name() == name,
                model: model.clone(),
            };
            return Ok((known, length));
        }
        match self.fallback() {
            Some(known) => Ok((known, segment.len())),
            None => Err(names.last().map_or(segment, |(_, name)| name).to_owned()),
        }
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
        let starts = models.values().flat_map(|model| {
            let starts = model.model.config.wildcards.iter();
            starts.map(|start| (start.as_str().into(), model.clone()))
        });
        let mut wildcards: Vec<(Box<str>, ModelRef)> = starts.collect();
        wildcards.sort_by_key(|(start, _)| std::cmp::Reverse(start.len()));
        let names = models.keys().chain(aliases.keys());
        let names = names.chain(wildcards.iter().map(|(start, _)| start));
        let deepest = names.map(|name| name.matches('/').count()).max();
        Self {
            table,
            models,
            aliases,
            wildcards,
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
