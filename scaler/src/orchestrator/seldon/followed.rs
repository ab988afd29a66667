//! One model that Seldon runs: polls its status, and moves it one replica at a time to the count
//! that the scaler asked for.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tailback_config::{Model, SeldonSpec};
use tokio::{sync::Notify, time::timeout};

use super::{
    message::Trigger,
    relay::{ObservedModel, Relay},
    scheduler::{Scheduler, status_text},
};
use crate::{
    clock::Nanos,
    orchestrator::{Events, ReplicaSet, ScaleError, gateway::GatewayAddresses, start_up::StartUps},
};

/// Time between two polls of a model that has the count asked for, all of it available.
const PERIOD: Duration = Duration::from_secs(5);
/// Time between two polls while the count is changing or replicas are starting.
const SOON: Duration = Duration::from_millis(500);
/// Longest time between two polls while polls fail.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A model, the count it is moved to, and its last known status.
pub(super) struct Followed {
    events: Events,
    view: Mutex<View>,
    /// Wakes the poll loop at once.
    look: Notify,
}

struct View {
    model: Arc<Model>,
    addresses: GatewayAddresses,
    /// The count to move to. `None` once it was reached: if somebody else changes the count later,
    /// that change stays.
    goal: Option<u32>,
    relay: Relay,
    seen: Option<ObservedModel>,
    start_ups: StartUps,
    failure: Option<String>,
}

impl Followed {
    pub(super) fn new(model: Arc<Model>, events: Events) -> Self {
        Self {
            events,
            view: Mutex::new(View {
                model,
                addresses: GatewayAddresses::default(),
                goal: None,
                relay: Relay::default(),
                seen: None,
                start_ups: StartUps::default(),
                failure: None,
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
        if !Arc::ptr_eq(&view.model, model) {
            view.model = model.clone();
            drop(view);
            self.look.notify_one();
        }
    }

    /// Sets the count that the model is moved to.
    ///
    /// # Errors
    /// [`ScaleError`], if the scheduler would not go there, or its status is not known yet.
    pub(super) fn scale(&self, replicas: u32) -> Result<(), ScaleError> {
        let mut view = self.view();
        let Some(seen) = &view.seen else {
            let why = view.failure.clone();
            let why = why
                .unwrap_or_else(|| "the status from Seldon's scheduler has not arrived yet".into());
            return Err(ScaleError::Failed(why));
        };
        if seen.replicas != replicas {
            seen.allows(replicas).map_err(ScaleError::Refused)?;
        }
        let before = view.goal.unwrap_or(seen.replicas);
        view.start_ups.asked(before, replicas, Nanos::now());
        view.goal = Some(replicas);
        drop(view);
        self.look.notify_one();
        Ok(())
    }

    /// The poll loop: reads the status and sends the next trigger, if there is one to send.
    pub(super) async fn lead(self: Arc<Self>) {
        let mut pause = Duration::ZERO;
        let mut known: Option<(SeldonSpec, Scheduler)> = None;
        loop {
            let model = self.view().model.clone();
            let Some(spec) = model.server.seldon() else {
                return;
            };
            let scheduler = match &known {
                Some((of, scheduler)) if of == spec => Ok(scheduler.clone()),
                _ => Scheduler::new(&spec.scheduler, &spec.agent),
            };
            let name = model.upstream_name.as_ref().unwrap_or(&model.name);
            let found = match scheduler {
                Ok(scheduler) => {
                    let found = scheduler.look(name).await;
                    known = Some((spec.clone(), scheduler));
                    found
                }
                Err(why) => Err(why),
            };
            let went_well = found.is_ok();
            let step = self.looked(found, spec);
            if let (Some((trigger, seen)), Some((_, scheduler))) = (step, &known)
                && let Err(status) = scheduler.trigger(name, &seen, trigger).await
            {
                self.refused(&status);
            }
            pause = match (went_well, self.is_settled()) {
                (true, true) => PERIOD,
                (true, false) => SOON,
                (false, _) => (pause * 2).clamp(SOON, LONGEST_PAUSE),
            };
            let jittered = pause.mul_f64(0.9 + 0.2 * fastrand::f64());
            let _ = timeout(jittered, self.look.notified()).await;
        }
    }

    /// Stores a status, publishes the replica set, and returns the trigger to send next.
    fn looked(
        &self,
        found: Result<ObservedModel, String>,
        spec: &SeldonSpec,
    ) -> Option<(Trigger, ObservedModel)> {
        let mut view = self.view();
        let seen = match found {
            Ok(seen) => seen,
            Err(why) => {
                if view.failure.as_ref() != Some(&why) {
                    tracing::warn!(model = view.model.name, "{why}");
                }
                view.failure = Some(why);
                self.publish(&mut view, spec);
                return None;
            }
        };
        let before = view.seen.replace(seen.clone());
        let more = seen
            .available
            .saturating_sub(before.map_or(0, |seen| seen.available));
        view.start_ups.ready(more, Nanos::now());
        view.failure.clone_from(&seen.failure);
        if view.goal == Some(seen.replicas) && !view.relay.waits() {
            view.goal = None;
        }
        let step = match view.goal {
            Some(goal) => view.relay.next(goal, &seen, Nanos::now()),
            None => None,
        };
        if seen.available >= view.goal.unwrap_or(seen.replicas) {
            view.start_ups.complete();
        }
        self.publish(&mut view, spec);
        step.map(|trigger| (trigger, seen))
    }

    /// Reports that the last trigger failed.
    fn refused(&self, status: &tonic::Status) {
        let mut view = self.view();
        let why = match status.code() {
            tonic::Code::Unimplemented => {
                // The scheduler has surely not acted on the trigger.
                view.relay.refused();
                view.goal = None;
                "Seldon's scheduler does not accept scaling triggers: start it with --enable-model-autoscaling \
                 (autoscaling.autoscalingModelEnabled in its chart)"
                    .to_owned()
            }
            _ => format!(
                "Seldon's scheduler refused the scaling trigger: {}",
                status_text(status)
            ),
        };
        tracing::warn!(model = view.model.name, "{why}");
        view.failure = Some(why);
        let model = view.model.clone();
        if let Some(spec) = model.server.seldon() {
            self.publish(&mut view, spec);
        }
    }

    fn is_settled(&self) -> bool {
        let view = self.view();
        view.goal.is_none()
            && view
                .seen
                .as_ref()
                .is_some_and(|seen| seen.available == seen.replicas)
    }

    fn publish(&self, view: &mut View, spec: &SeldonSpec) {
        let model = view.model.clone();
        let seen = view.seen.as_ref();
        let ready = seen.map_or(0, |seen| seen.available);
        let wanted = view.goal.or(seen.map(|seen| seen.replicas)).unwrap_or(0);
        let limit = model.concurrency.value;
        let set = ReplicaSet {
            model: model.name.clone(),
            // On the way to our goal, report the goal: the steps are not changes by somebody
            // else.
            desired: seen.map(|_| wanted),
            ready: view
                .addresses
                .gateway(&model.name, &spec.endpoints, limit, ready),
            behind: Some(ready),
            starting: wanted.saturating_sub(ready),
            draining: 0,
            capacity: match seen {
                Some(ObservedModel { max: 1.., .. }) => seen.map_or(u32::MAX, |seen| seen.max),
                _ => u32::MAX,
            },
            start_up: view.start_ups.last(),
            failure: view.failure.clone(),
            ..ReplicaSet::default()
        };
        // Fails only when the scaler has stopped.
        let _ = self.events.send(set);
    }
}
