//! What the scaler shows of itself: each model's state and the last decisions.
//! Written by the scaler, read by the admin endpoints; never on a request's way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use serde::Serialize;

use crate::{
    decision::Record,
    ledger::Reading,
    replica::Replica,
    run::{Proxies, switch::Activity},
};

/// How many decisions are kept.
const KEPT: usize = 256;

/// A model, as the scaler last saw it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Replicas asked for.
    pub desired: u32,
    /// Replicas the policy wants: other than those asked for with `dryRun`.
    pub wanted: u32,
    /// Those that take traffic.
    pub ready: Vec<Arc<Replica>>,
    /// How many replicas those are: more than addresses behind a gateway.
    pub ready_count: u32,
    /// On their way.
    pub starting: u32,
    /// Finishing what they have.
    pub draining: u32,
    /// Seconds the last start took.
    pub start_up_seconds: Option<f64>,
    /// Why a replica failed last, or that starts hang, until one is ready after it.
    pub failure: Option<String>,
    /// Whether it is scaled.
    pub activity: Activity,
    /// Why the count is what it is, as of the last look.
    pub reason: String,
    /// What other proxies count.
    pub others: Reading,
}

#[derive(Debug, Default)]
struct Content {
    models: BTreeMap<String, Status>,
    decisions: VecDeque<Record>,
    proxies: Option<Proxies>,
}

/// The board. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Content>>);

/// A replica, as it is listed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaView {
    /// Its name.
    pub name: String,
    /// `host:port`.
    pub endpoint: String,
    /// Requests it has now.
    pub in_flight: u32,
}

impl Status {
    /// The ready replicas, to be listed.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaView> {
        let view = |r: &Arc<Replica>| ReplicaView {
            name: r.name().to_owned(),
            endpoint: r.authority().to_owned(),
            in_flight: r.in_flight(),
        };
        self.ready.iter().map(view).collect()
    }
}

impl Board {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Plain data: whole even if a writer panicked.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The model's state, if the scaler knows it.
    #[must_use]
    pub fn status(&self, model: &str) -> Option<Status> {
        self.content().models.get(model).cloned()
    }

    /// The last decisions, newest first.
    #[must_use]
    pub fn decisions(&self) -> Vec<Record> {
        self.content().decisions.iter().rev().cloned().collect()
    }

    /// The proxies that act as one with this one; `None`: it is alone.
    #[must_use]
    pub fn proxies(&self) -> Option<Proxies> {
        self.content().proxies.clone()
    }

    pub(crate) fn show_proxies(&self, proxies: Proxies) {
        self.content().proxies = Some(proxies);
    }

    pub(crate) fn update(&self, model: &str, change: impl FnOnce(&mut Status)) {
        change(self.content().models.entry(model.to_owned()).or_default());
    }

    pub(crate) fn remove(&self, model: &str) {
        self.content().models.remove(model);
    }

    pub(crate) fn record(&self, record: Record) {
        let decisions = &mut self.content().decisions;
        if decisions.len() == KEPT {
            decisions.pop_front();
        }
        decisions.push_back(record);
    }
}
