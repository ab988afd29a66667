//! One model on a webhook server: what was asked for, and what was last seen.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tailback_config::{Model, WebhookSpec};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    client::Client,
    state::{self, Seen},
};
use crate::{
    clock::Nanos,
    orchestrator::{Events, ReplicaSet, ScaleError, gateway::Addresses, start_up::StartUps},
    replica::Replica,
};

/// Longest time between two polls while replicas are on their way.
const SOON: Duration = Duration::from_secs(1);
/// How long an API may take to say what it was asked for.
const LAG: Duration = Duration::from_secs(10);
/// Longest time between two polls that fail, where the period is not longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A model, its API client, and what the API last said.
pub(super) struct Followed {
    events: Events,
    client: Arc<Client>,
    view: Mutex<View>,
    /// Polls now.
    look: Notify,
}

struct View {
    model: Arc<Model>,
    addresses: Addresses,
    /// Of requests that were taken, the last.
    asked: Option<u32>,
    /// How many were taken: a look that began before one says nothing of it.
    requests: u64,
    seen: Option<Seen>,
    ready: u32,
    start_ups: StartUps,
    failure: Option<String>,
    /// Whether the API asks for another count than we did, and it was said.
    differs: Differs,
}

/// Whether the API's count is ours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Differs {
    No,
    /// Since then: it may lag behind.
    Since(Nanos),
    Said,
}

impl Followed {
    pub(super) fn new(model: Arc<Model>, events: Events, client: Arc<Client>) -> Self {
        Self {
            events,
            client,
            view: Mutex::new(View {
                model,
                addresses: Addresses::default(),
                asked: None,
                requests: 0,
                seen: None,
                ready: 0,
                start_ups: StartUps::default(),
                failure: None,
                differs: Differs::No,
            }),
            look: Notify::new(),
        }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The model's configuration may be another one.
    pub(super) fn configure(&self, model: &Arc<Model>) {
        let mut view = self.view();
        if Arc::ptr_eq(&view.model, model) {
            return;
        }
        view.model = model.clone();
        // What was seen holds until the next look, if there is one.
        if !super::has_state(model) {
            view.seen = None;
        }
        if view.asked.is_some() || view.seen.is_some() {
            self.publish(&mut view);
        }
        drop(view);
        self.look.notify_one();
    }

    pub(super) async fn scale(&self, replicas: u32) -> Result<(), ScaleError> {
        let model = self.view().model.clone();
        let Some(spec) = model.server.webhook() else {
            return Err(ScaleError::Refused("the server is no webhook".into()));
        };
        self.client.scale(spec, &model.name, replicas).await?;
        let mut view = self.view();
        let before = view.asked.unwrap_or(view.ready);
        view.start_ups.asked(before, replicas, Nanos::now());
        view.asked = Some(replicas);
        view.requests += 1;
        view.differs = Differs::No;
        if spec.state.is_none() || view.seen.is_some() {
            self.publish(&mut view);
        }
        drop(view);
        self.look.notify_one();
        Ok(())
    }

    /// Looks at what there is, for as long as it is polled.
    pub(super) async fn look(self: Arc<Self>) {
        let mut pause = Duration::ZERO;
        loop {
            let (model, requests) = {
                let view = self.view();
                (view.model.clone(), view.requests)
            };
            let state = model
                .server
                .webhook()
                .and_then(|s| Some((s, s.state.as_ref()?)));
            let Some((spec, state)) = state else { return };
            let found = match self.client.state(spec, state, &model.name).await {
                Ok(body) => {
                    let secure = spec.tls.is_some();
                    let at = || format!("GET {}", state.target.url.show(&model.name));
                    state::read(&body, state, &model.name, secure)
                        .map_err(|why| spec.redact(format!("{}: {why}", at())))
                }
                Err(why) => Err(why),
            };
            let went_well = found.is_ok();
            let settled = self.looked(found, requests, &model);
            pause = match (went_well, settled) {
                (true, true) => state.period,
                (true, false) => state.period.min(SOON),
                (false, _) => {
                    (pause * 2).clamp(SOON.min(state.period), LONGEST_PAUSE.max(state.period))
                }
            };
            // All proxies that look at one API come spread.
            let _ = timeout(
                pause.mul_f64(0.9 + 0.2 * fastrand::f64()),
                self.look.notified(),
            )
            .await;
            // A request that was taken shows a moment later.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes in what was found, by a look before which `requests` were taken.
    /// Returns whether nothing is on its way.
    fn looked(&self, found: Result<Seen, String>, requests: u64, model: &Arc<Model>) -> bool {
        let mut view = self.view();
        if view.requests != requests || !Arc::ptr_eq(&view.model, model) {
            return false;
        }
        match found {
            Ok(seen) => {
                view.compare(&seen);
                view.seen = Some(seen);
                view.failure = None;
            }
            Err(why) => {
                if view.failure.as_ref() != Some(&why) {
                    tracing::warn!(model = model.name, "the state cannot be read: {why}");
                }
                view.failure = Some(why);
            }
        }
        let set = self.publish(&mut view);
        set.starting == 0 && set.draining == 0
    }

    fn publish(&self, view: &mut View) -> ReplicaSet {
        let model = view.model.clone();
        let set = match model.server.webhook() {
            Some(spec) => view.replica_set(spec),
            None => ReplicaSet::default(),
        };
        // The scaler has stopped: nobody cares.
        let _ = self.events.send(set.clone());
        set
    }
}

impl View {
    /// The API's count is somebody else's, if it is not ours for a while: that is
    /// said, and not fought over. The next decision asks for its own count.
    fn compare(&mut self, seen: &Seen) {
        let (Some(asked), Some(found)) = (self.asked, seen.desired) else {
            return;
        };
        let now = Nanos::now();
        self.differs = match (asked == found, self.differs) {
            (true, _) => Differs::No,
            (false, Differs::No) => Differs::Since(now),
            (false, Differs::Since(then)) if now.since(then) < LAG => Differs::Since(then),
            (false, Differs::Since(_)) => {
                tracing::warn!(
                    model = self.model.name,
                    asked,
                    found,
                    "the API asks for another count than we asked it for"
                );
                Differs::Said
            }
            (false, Differs::Said) => Differs::Said,
        };
    }

    fn replica_set(&mut self, spec: &WebhookSpec) -> ReplicaSet {
        let model = self.model.clone();
        let (ready, behind) = self.ready(spec);
        let count = behind.unwrap_or_else(|| u32::try_from(ready.len()).unwrap_or(u32::MAX));
        let now = Nanos::now();
        self.start_ups.ready(count.saturating_sub(self.ready), now);
        self.ready = count;
        let desired = self.seen.as_ref().and_then(|seen| seen.desired);
        let wanted = match (self.asked, self.differs) {
            (Some(asked), Differs::No | Differs::Since(_)) => asked,
            (asked, _) => desired.or(asked).unwrap_or(count),
        };
        if count >= wanted {
            self.start_ups.complete();
        }
        ReplicaSet {
            model: model.name.clone(),
            // While it may lag behind what it has taken, that is its account.
            desired: desired.map(|_| wanted),
            ready,
            behind,
            starting: wanted.saturating_sub(count),
            draining: 0,
            capacity: u32::MAX,
            start_up: self.start_ups.last(),
            failure: self.failure.clone(),
            ..ReplicaSet::default()
        }
    }

    /// Who takes requests, and how many replicas they stand for.
    fn ready(&mut self, spec: &WebhookSpec) -> (Vec<Arc<Replica>>, Option<u32>) {
        let (name, limit) = (&*self.model.name, self.model.concurrency.value);
        let seen = self.seen.as_ref();
        if let Some(endpoints) = seen.and_then(|seen| seen.endpoints.as_ref()) {
            return (self.addresses.each(name, endpoints, limit), None);
        }
        let ready = match (&spec.state, seen) {
            // Nothing but our word.
            (None, _) => self.asked,
            (Some(_), None) => None,
            (Some(_), Some(seen)) => seen.ready.or(seen.desired),
        };
        let ready = ready.unwrap_or(0);
        let through = self.addresses.gateway(name, &spec.endpoints, limit, ready);
        (through, Some(ready))
    }
}
