//! The thread-local state of each worker: its copy of the route table, with its own connections to
//! replicas. No other thread accesses it, so a request needs no lock and no shared reference
//! count.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use http::HeaderValue;
use send_wrapper::SendWrapper;
use smallvec::SmallVec;
use tailback_scaler::ledger::Ledger;

use crate::{
    admission::{Pool, RetryBudget, balance::Balancer},
    api_keys::WorkerKeys,
    exchange::{Account, AccountRef},
    models::{Model, RouteTable, SharedRoutes},
    protocol::{ProxyError, model_name::names_in_path},
    upstream::{SWEEP, WorkerPool},
};

/// A model as one worker sees it.
#[derive(Debug)]
pub struct WorkerModel {
    /// Shared with other workers.
    pub model: Arc<Model>,
    /// The counters of its requests.
    pub account: AccountRef,
    /// Its replicas, with this worker's connections.
    pub pool: Rc<WorkerPool>,
    /// Chooses a replica for each request.
    pub balancer: Balancer,
    /// `Authorization` for requests to its replicas, in place of the caller's. Each worker has its
    /// own copy, so that cloning it writes no memory that other workers use.
    pub upstream_key: Option<HeaderValue>,
    /// How many requests may be retried; `None` if the model sets no `retry`.
    pub retry_budget: Option<RetryBudget>,
}

/// A worker's handle on a model; cheap to clone.
#[derive(Clone, Debug)]
pub struct ModelRef(Rc<WorkerModel>);

impl std::ops::Deref for ModelRef {
    type Target = WorkerModel;
    fn deref(&self) -> &WorkerModel {
        &self.0
    }
}

/// The model that a request is for.
#[derive(Clone, Debug)]
pub struct Known {
    /// The model.
    pub model: ModelRef,
    /// Whether the request names it by its own name. `false` for an alias, a default or a fallback.
    pub is_own_name: bool,
}

impl Known {
    /// A model that is named by its own name.
    #[must_use]
    pub fn by_own_name(model: &ModelRef) -> Self {
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

/// The route table as this worker last loaded it.
#[derive(Debug, Default)]
pub struct WorkerRoutes {
    /// The shared table of which this is a view.
    pub table: Arc<RouteTable>,
    models: HashMap<Box<str>, ModelRef>,
    /// Models by alias.
    aliases: HashMap<Box<str>, ModelRef>,
    /// Models by wildcard prefix, longest first.
    wildcards: Vec<(Box<str>, ModelRef)>,
    /// The API keys that requests must have; `None`: they need none.
    pub keys: Option<WorkerKeys>,
    /// The most `/` in any name.
    deepest: usize,
}

impl WorkerRoutes {
    /// The model of this name or alias, apart from wildcards.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&ModelRef> {
        self.models.get(name).or_else(|| self.aliases.get(name))
    }

    /// The model of this name or alias; of several matching wildcards, the longest one's.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&ModelRef> {
        self.named(name).or_else(|| {
            let mut fit = self.wildcards.iter();
            fit.find(|(start, _)| name.starts_with(&**start))
                .map(|(_, model)| model)
        })
    }

    /// The model that `name` stands for: the default model if it is empty, and the fallback model
    /// if no model has it.
    ///
    /// # Errors
    /// [`ProxyError::UnknownModel`] if there is none.
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

    /// All models.
    pub fn models(&self) -> impl Iterator<Item = &ModelRef> {
        self.models.values()
    }

    /// The default model, if one is configured and served.
    #[must_use]
    pub fn default_model(&self) -> Option<&ModelRef> {
        self.model(self.table.default_model.as_deref()?)
    }

    /// The served model, if there is exactly one.
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

    /// The model whose name this part of a path begins with, and the length of that name in the
    /// path, in bytes. Of several exact names the longest matches; of several that match wildcards,
    /// the shortest.
    ///
    /// # Errors
    /// The name, if no model has it.
    pub fn model_in_path(&self, part: &str) -> Result<(Known, usize), String> {
        // Most names are a single unencoded path segment.
        let segment = part.split('/').next().unwrap_or_default();
        if self.deepest == 0
            && let Some(model) = self.models.get(segment)
        {
            return Ok((Known::by_own_name(model), segment.len()));
        }
        let names: SmallVec<[_; 4]> = names_in_path(part, self.deepest).collect();
        let found = (names.iter())
            .find_map(|(length, name)| Some((self.named(name)?, *length, name)))
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

    /// This worker's view of `table`. Pools that are in both keep their connections.
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
                    balancer: Balancer::new(
                        &model.config.server.load_balancing,
                        model.prefix_table.clone(),
                    ),
                    upstream_key: upstream_key(model),
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
        let keys = table.keys.as_ref().map(|keys| {
            let names: Vec<_> = table.models.values().map(|model| model.names()).collect();
            WorkerKeys::new(keys, &names)
        });
        let names = models.keys().chain(aliases.keys());
        let names = names.chain(wildcards.iter().map(|(start, _)| start));
        let deepest = names.map(|name| name.matches('/').count()).max();
        Self {
            table,
            models,
            aliases,
            wildcards,
            keys,
            deepest: deepest.unwrap_or(0),
        }
    }
}

/// `Bearer` with the key for the model's replicas.
fn upstream_key(model: &Model) -> Option<HeaderValue> {
    let key = model.config.server.upstream_key.as_ref()?;
    // The configuration has checked that the key consists of visible ASCII characters.
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.fill("", 0))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl WorkerRoutes {
    /// Closes connections that were idle for too long. Reading a pool's replicas first drops
    /// removed ones with their connections, even if no request reads them.
    fn sweep(&self) {
        for model in self.models.values() {
            for replica in model.pool.replicas().iter() {
                replica.http.sweep();
                replica.grpc.sweep();
            }
        }
    }
}

/// Starts this worker's periodic sweep of idle connections, once.
pub fn keep_swept(tables: &Arc<SharedRoutes>) {
    if SWEPT.replace(true) {
        return;
    }
    let tables = tables.clone();
    // Workers do not steal tasks, so it stays on this thread.
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

/// This worker's view of the current table. Costs one atomic load unless the table has changed.
#[must_use]
pub fn table(tables: &SharedRoutes) -> Rc<WorkerRoutes> {
    TABLE.with_borrow_mut(|own| {
        if own.table.generation != tables.generation() {
            *own = Rc::new(WorkerRoutes::succeed(own, tables.current()));
        }
        own.clone()
    })
}
