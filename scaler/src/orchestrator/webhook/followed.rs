//! One model on a webhook server: the count that was asked for, and the state that the API
//! reported last.

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
    state::{self, ObservedState},
};
use crate::{
    clock::Nanos,
    orchestrator::{Events, ReplicaSet, ScaleError, gateway::GatewayAddresses, start_up::StartUps},
    replica::Replica,
};

/// Longest time between two polls while replicas are starting or draining.
const SOON: Duration = Duration::from_secs(1);
/// How long the API may report an older count after it accepted a request.
const LAG: Duration = Duration::from_secs(10);
/// Longest time between two polls while polls fail, unless `periodSeconds` is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A model, its API client, and its last known state.
pub(super) struct Followed {
    events: Events,
    client: Arc<Client>,
    view: Mutex<View>,
    /// Wakes the poll loop at once.
    look: Notify,
}

struct View {
    model: Arc<Model>,
    addresses: GatewayAddresses,
    /// The count in the last request that the API accepted.
    asked: Option<u32>,
    /// How many requests the API has accepted. A poll that began before the last one is
    /// discarded.
    requests: u64,
    seen: Option<ObservedState>,
    ready: u32,
    start_ups: StartUps,
    failure: Option<String>,
    /// Whether the API reports another count than we asked for.
    differs: Differs,
}

/// Whether the count that the API reports differs from the one that we asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Differs {
    No,
    /// It differs since then. For [`LAG`], the API may only be late.
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
                addresses: GatewayAddresses::default(),
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

    /// Takes the model's configuration, and polls at once if it has changed.
    pub(super) fn configure(&self, model: &Arc<Model>) {
        let mut view = self.view();
        if Arc::ptr_eq(&view.model, model) {
            return;
        }
        view.model = model.clone();
        // The last state stays valid until the next poll, if the server is still polled.
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
            return Err(ScaleError::Refused(
                "the model's server is not a webhook server".into(),
            ));
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

    /// The poll loop. Ends when the server's configuration has no `state`.
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
            // Jittered, so that several proxies do not poll one API at the same time.
            let _ = timeout(
                pause.mul_f64(0.9 + 0.2 * fastrand::f64()),
                self.look.notified(),
            )
            .await;
            // Gives the API a moment to show a request that it has just accepted.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stores the result of a poll that began after `requests` accepted requests, and publishes
    /// the replica set. Returns whether no replica is starting or draining.
    fn looked(
        &self,
        found: Result<ObservedState, String>,
        requests: u64,
        model: &Arc<Model>,
    ) -> bool {
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
                    tracing::warn!(
                        model = model.name,
                        "cannot read the replicas' state; the last known state stays in force: {why}"
                    );
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
        // Fails only when the scaler has stopped.
        let _ = self.events.send(set.clone());
        set
    }
}

impl View {
    /// Compares the API's count with ours. If they differ for longer than [`LAG`], somebody else
    /// has changed it: this is logged once, and the API's count is accepted until the next
    /// decision.
    fn compare(&mut self, seen: &ObservedState) {
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
                    "the API reports another desired count than was asked for: somebody else has changed it"
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
            // For [`LAG`] after a request, the count of the request stands for the API's.
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

    /// The replicas that take requests. If they are gateways, also how many replicas are behind
    /// them.
    fn ready(&mut self, spec: &WebhookSpec) -> (Vec<Arc<Replica>>, Option<u32>) {
        let (name, limit) = (&*self.model.name, self.model.concurrency.value);
        let seen = self.seen.as_ref();
        if let Some(endpoints) = seen.and_then(|seen| seen.endpoints.as_ref()) {
            return (self.addresses.each(name, endpoints, limit), None);
        }
        let ready = match (&spec.state, seen) {
            // Without a state, what was accepted counts as ready.
            (None, _) => self.asked,
            (Some(_), None) => None,
            (Some(_), Some(seen)) => seen.ready.or(seen.desired),
        };
        let ready = ready.unwrap_or(0);
        let through = self.addresses.gateway(name, &spec.endpoints, limit, ready);
        (through, Some(ready))
    }
}
