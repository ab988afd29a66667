//! Which models are active, shared by all `StreamIsActive` streams.
//!
//! One task evaluates each model that a stream waits for, and the model's streams wait for its
//! result. So the cost grows with the number of models, not of streams.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tailback_scaler::status::StatusStore;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::{
    activity::LastUse,
    trigger::{Metric, Trigger},
};
use crate::{models::RouteTable, models::SharedRoutes};

/// Interval between evaluations of an inactive model. It bounds the delay of a push.
const LOOK: Duration = Duration::from_millis(20);
/// Interval between evaluations of an active model.
const LOOK_AT_ACTIVE: Duration = Duration::from_secs(1);
/// Evaluating takes at most 1/20 of a core's time: with very many models, the intervals grow.
const SHARE: u32 = 20;

/// Tracks which models are active, for all of KEDA's streams.
pub(super) struct Monitor {
    routes: Arc<SharedRoutes>,
    status_store: StatusStore,
    models: Mutex<Models>,
    /// Notified when a stream subscribes.
    subscribed: Notify,
}

#[derive(Default)]
struct Models {
    /// Generation of the route table that the models were looked up in.
    generation: u64,
    watched: HashMap<(Box<str>, Metric), WatchedModel>,
}

struct WatchedModel {
    trigger: Trigger,
    last_use: LastUse,
    looked: Instant,
    active: watch::Sender<bool>,
}

// === impl Monitor ===

impl Monitor {
    pub(super) fn new(routes: Arc<SharedRoutes>, status_store: StatusStore) -> Self {
        Self {
            routes,
            status_store,
            models: Mutex::default(),
            subscribed: Notify::new(),
        }
    }

    fn models(&self) -> MutexGuard<'_, Models> {
        // A poisoned lock is fine: the content is plain data, consistent at any time.
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the model of `trigger` is active now.
    pub(super) fn is_active(&self, trigger: Trigger) -> bool {
        self.models()
            .of(trigger, &self.status_store)
            .look(&self.status_store)
    }

    /// A channel that holds whether the model of `trigger` is active. It is closed when the model
    /// is removed.
    pub(super) fn subscribe(&self, trigger: Trigger) -> watch::Receiver<bool> {
        let receiver = self
            .models()
            .of(trigger, &self.status_store)
            .active
            .subscribe();
        self.subscribed.notify_one();
        receiver
    }

    /// Evaluates the models that streams wait for, for as long as it is polled.
    pub(super) async fn run(&self) {
        loop {
            let start = Instant::now();
            let waiting = {
                let mut models = self.models();
                models.follow(&self.routes.current());
                models.look(&self.status_store)
            };
            if waiting {
                sleep(LOOK.max(start.elapsed() * (SHARE - 1))).await;
            } else {
                self.subscribed.notified().await;
            }
        }
    }
}

// === impl Models ===

impl Models {
    fn of(&mut self, trigger: Trigger, status_store: &StatusStore) -> &mut WatchedModel {
        let key = (trigger.model.name().into(), trigger.metric);
        self.watched
            .entry(key)
            .or_insert_with(|| WatchedModel::new(trigger, status_store))
    }

    /// Looks up the models in a new `table`. Models that it does not have are dropped, which
    /// closes their channels.
    fn follow(&mut self, table: &RouteTable) {
        if self.generation == table.generation {
            return;
        }
        self.generation = table.generation;
        self.watched.retain(|(name, metric), watched| {
            let trigger = Trigger::of(name, *metric, table);
            trigger.map(|trigger| watched.trigger = trigger).is_ok()
        });
    }

    /// Evaluates the models that streams wait for; returns whether there are any.
    fn look(&mut self, status_store: &StatusStore) -> bool {
        let mut waiting = false;
        for watched in self.watched.values_mut() {
            if watched.active.receiver_count() == 0 {
                continue;
            }
            waiting = true;
            let active = *watched.active.borrow();
            if !active || watched.looked.elapsed() >= LOOK_AT_ACTIVE {
                watched.look(status_store);
            }
        }
        waiting
    }
}

// === impl WatchedModel ===

impl WatchedModel {
    fn new(trigger: Trigger, status_store: &StatusStore) -> Self {
        let mut watched = Self {
            trigger,
            last_use: LastUse::default(),
            looked: Instant::now(),
            active: watch::Sender::new(false),
        };
        watched.look(status_store);
        watched
    }

    /// Evaluates the model: returns whether it is active, and notifies its streams if that has
    /// changed.
    fn look(&mut self, status_store: &StatusStore) -> bool {
        let reading = self.trigger.reading(status_store);
        let inactive = self.trigger.model.config.scaling.inactive.value;
        let used = self.last_use.is_recent(&reading, inactive);
        let active = match self.trigger.metric {
            Metric::Lag => used,
            // A request counts even before the policy has seen it.
            Metric::Replicas => reading.in_flight() > 0 || self.trigger.wanted(status_store) > 0,
        };
        self.looked = Instant::now();
        self.active
            .send_if_modified(|before| std::mem::replace(before, active) != active);
        active
    }
}
