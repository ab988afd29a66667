//! One model of the running scaler: observe, evaluate, request, record.

mod control;
mod demand;
mod external_change;
mod health;
mod membership;
mod rejection;
mod show;
mod stall;
mod succession;

use std::{
    mem,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tailback_config::Model;

use self::{rejection::Rejection, stall::Stall};
use super::{
    command::ModelHandle,
    external_change::{BackOff, ExternalChanges},
    membership::MembershipView,
    orchestrators::Epoch,
    scale_request::{Requester, ScaleAnswers, ScaleRequest},
};
use crate::{
    clock::Nanos,
    decision::{Decision, DecisionRecord, Reason, ScaleOutcome},
    ledger::{Crossing, Reading},
    model_scaler::{Evaluation, ModelScaler, Replicas},
    orchestrator::{Demand, Orchestrator, ReplicaSet, StateSource, handover::InheritedModel},
    peers::{
        Role,
        counts_update::{Counts, LeftToOthers},
        peer_counts::CountsChange,
    },
    policy::{Observation, Settings},
    replica::Replica,
    status::{PauseState, StatusStore},
};

/// Whether the replicas that run at the start have been taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenOver {
    /// The orchestrator has not reported them yet. No scale requests until then.
    NotYet,
    Yes,
}

pub(super) struct ModelController {
    handle: ModelHandle,
    /// The other proxies.
    others: MembershipView,
    /// The last reading of our own ledger.
    own: Reading,
    orchestrator: Arc<dyn Orchestrator>,
    /// Where this controller began: earlier replica sets belong to a model that has gone.
    since: Epoch,
    requester: Requester,
    /// The count of the scale request that is not answered yet.
    requested: Option<u32>,
    /// The count that was refused or failed, while it is retried.
    rejected: Option<Rejection>,
    status: StatusStore,
    set: ReplicaSet,
    scaler: ModelScaler,
    taken_over: TakenOver,
    /// Detects changes of the count by somebody else.
    external: ExternalChanges,
    /// The back-off, as it is published to other proxies.
    left_to_others: Option<LeftToOthers>,
    pause: PauseState,
    /// Whether the ledger will send a wake-up when the lag reaches the level.
    armed: bool,
    /// The demand that the orchestrator was last told, and the arrivals until then.
    demand: (Demand, u64),
    /// The last count decided under `dryRun`, so that it is recorded once.
    dry_run: Option<u32>,
    /// The last count that was decided, whether it was carried out or not.
    wanted: u32,
    /// Hanging starts, if there are any; logged once.
    stall: Option<Stall>,
}

impl ModelController {
    /// Begins with the count that the orchestrator reports, or else with the count that was handed
    /// over, or else with the configured one. Replica sets before `since` are ignored.
    pub(super) fn new(
        handle: ModelHandle,
        since: Epoch,
        status: StatusStore,
        others: MembershipView,
        answers: ScaleAnswers,
        inherited: Option<InheritedModel>,
    ) -> Self {
        let orchestrator = since.orchestrator.clone();
        let replicas = &handle.model.replicas;
        let inherited = inherited.as_ref();
        let found = inherited.filter(|_| replicas.scaled);
        let desired = found.map_or(replicas.initial, |found| found.desired);
        let own = handle.ledger.read();
        let reading = own.plus(&others.counts);
        let taken_over = match orchestrator.state_source(&handle.model) {
            StateSource::Requests => TakenOver::Yes,
            StateSource::Orchestrator => TakenOver::NotYet,
        };
        let mut controller = Self {
            scaler: ModelScaler::new(Settings::from(&*handle.model), desired, reading),
            requester: Requester::new(orchestrator.clone(), status.clone(), answers),
            requested: None,
            rejected: None,
            orchestrator,
            since,
            status,
            set: ReplicaSet {
                capacity: u32::MAX,
                ..ReplicaSet::default()
            },
            taken_over,
            external: ExternalChanges::default(),
            left_to_others: None,
            pause: PauseState::Active,
            armed: false,
            demand: (Demand::default(), own.arrived),
            dry_run: None,
            wanted: desired,
            stall: None,
            handle,
            others,
            own,
        };
        controller.drain_again(inherited);
        controller.orchestrator.follow(&controller.handle.model);
        controller.obey(inherited.map(|found| &found.orders));
        controller.end_hold_if_refused();
        controller.begin(found.is_some());
        controller
    }

    /// Whether `model` keeps this model's replicas: it has the same kind of orchestrator and, in
    /// Kubernetes, the same workload.
    pub(super) fn same_kind(&self, model: &Model) -> bool {
        let workload = |model: &Model| model.server.kubernetes().map(|spec| spec.of(&model.name));
        let ours = &*self.handle.model;
        let shares = |model: &Model| (model.server.multi_model.is_some(), model.room.is_some());
        if shares(ours) != shares(model) {
            return false;
        } else if model.server.multi_model.is_some() {
            return true;
        }
        mem::discriminant(&ours.server.kind) == mem::discriminant(&model.server.kind)
            && workload(ours) == workload(model)
    }

    /// Applies a new configuration. Replicas and history stay.
    pub(super) fn reconfigure(&mut self, handle: ModelHandle) {
        let before = mem::replace(&mut self.handle, handle);
        self.end_hold_if_refused();
        let asked = self.scaler.desired();
        let record = self.configured(&before.model);
        self.scaler.configure(Settings::from(&*self.handle.model));
        self.orchestrator.follow(&self.handle.model);
        let state_source = self.orchestrator.state_source(&self.handle.model);
        match (self.taken_over, state_source) {
            (TakenOver::NotYet, _) => {}
            // Even for the same count: the orchestrator must learn of a changed command.
            (TakenOver::Yes, StateSource::Requests) => self.ask(record, None),
            (TakenOver::Yes, StateSource::Orchestrator) if self.scaler.desired() == asked => {}
            (TakenOver::Yes, StateSource::Orchestrator) => self.ask(record, None),
        }
        self.handle.traffic.set_replicas(&self.set.ready);
        self.decide(None);
    }

    /// Adopts the configured count, if it differs from `before` and the model is not paused.
    /// Returns the record of it; `None` with `dryRun`, where a record means that the count was
    /// not asked for.
    fn configured(&mut self, before: &Model) -> Option<DecisionRecord> {
        let model = &self.handle.model;
        let replicas = &model.replicas;
        if before.replicas.initial == replicas.initial
            || self.pause == PauseState::Paused
            || self.scaler.manual().is_some()
        {
            return None;
        }
        let asked = self.scaler.desired();
        let kept = if replicas.scaled { asked } else { 0 };
        let replicas = replicas.initial.max(kept);
        if replicas == asked {
            return None;
        }
        let dry_run = model.scaling.dry_run.value;
        let decision = Decision {
            desired: replicas,
            reasons: vec![Reason::Configured { replicas }],
        };
        let reading = self.look();
        let record = self.record(&reading, &decision);
        self.scaler.adopt(replicas, reading.at);
        (!dry_run).then_some(record)
    }

    /// Ends the model: its orchestrator forgets it.
    pub(super) async fn forget(self) {
        // Cancels a scale request that was not accepted yet.
        drop(self.requester);
        self.orchestrator.forget(&self.handle.model.name).await;
    }

    /// Whether a replica set at `epoch` belongs to this model.
    pub(super) fn accepts(&self, epoch: &Epoch) -> bool {
        epoch.is_after(&self.since)
    }

    /// The model's ledger has sent a wake-up: decides.
    pub(super) fn answer_crossing(&mut self) {
        if let Some(crossing) = self.handle.ledger.take_crossing() {
            self.armed = false;
            let lag = self.look().in_flight();
            if self.wake_level().is_some_and(|level| lag < level) {
                // A shard has used up its share of the room; the level is not reached.
                return self.arm();
            }
            self.decide(Some(crossing));
        }
    }

    pub(super) fn replicas_changed(&mut self, set: ReplicaSet) {
        let same = |a: &[Arc<Replica>], b: &[Arc<Replica>]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        if !same(&self.set.ready, &set.ready) || self.set.behind != set.behind {
            self.scaler.replicas_changed(Nanos::now());
        }
        // Even for the same replicas: their concurrency may have changed.
        self.handle.traffic.set_replicas(&set.ready);
        let before = mem::replace(&mut self.set, set);
        self.refuse_held(&before);
        self.try_rejected_again(&before);
        match self.others.role {
            Role::Leads => self.check_external_change(),
            Role::Follows => self.follow_count(),
        }
        if let (TakenOver::NotYet, Some(found)) = (self.taken_over, self.set.desired) {
            self.taken_over = TakenOver::Yes;
            self.scaler.take_over(found, Nanos::now());
            tracing::info!(
                model = self.handle.model.name,
                "{}",
                Reason::Found { replicas: found }
            );
        }
        self.decide(None);
    }

    /// The current demand over all proxies: of our own ledger, and of the last known counts of the
    /// others. All decisions are made from it.
    fn look(&mut self) -> Reading {
        self.own = self.handle.ledger.read();
        self.own.plus(&self.others.counts).demand()
    }

    /// Takes a reading, and decides if it is time to. Returns whether the ledger is armed or needs
    /// no arming.
    pub(super) fn sample(&mut self, period: Duration) -> bool {
        let reading = self.look();
        self.tell_demand(&reading);
        if self.scaler.sample(reading, period) {
            self.decide(None);
        } else if !self.armed {
            self.arm();
        }
        self.armed || self.wake_level().is_none()
    }

    /// One evaluation: observe, decide, constrain, record, request.
    fn decide(&mut self, crossing: Option<Crossing>) {
        if self.taken_over == TakenOver::NotYet {
            return self.show(&Reason::AwaitingState.to_string());
        }
        let reading = self.look();
        // The decision also answers an arrival that it counts and whose wake-up has not been
        // answered yet.
        let crossing = crossing.or_else(|| self.handle.ledger.take_crossing_of(&self.own));
        self.tell_demand(&reading);
        let Evaluation { seen, mut decision } = self.scaler.decide(reading, &self.replicas());
        self.watch_starts(&seen);
        self.leave_to_others(&seen, &mut decision);
        self.pause(&mut decision);
        let why = decision.why();
        self.wanted = decision.desired;
        let dry_run = self.handle.model.scaling.dry_run.value;
        let leads = self.others.role == Role::Leads;
        let accepted = self.scaler.desired();
        let asked = match self.rejected.as_ref().map(|rejected| rejected.replicas) {
            Some(rejected) if rejected != accepted && decision.desired == accepted => {
                // The present count is right again: no other one is needed.
                self.withdraw();
                accepted
            }
            Some(rejected) => rejected,
            None => accepted,
        };
        if leads && is_news(&mut self.dry_run, dry_run, asked, decision.desired) {
            let mut record = self.record(&reading, &decision);
            record.trace = crossing.and_then(|crossing| crossing.span);
            if !dry_run {
                self.scaler.adopt(decision.desired, reading.at);
            }
            self.ask(Some(record), crossing);
        }
        // Arm before the count is published, so that a request sent by a client that saw the
        // count wakes the scaler.
        self.arm();
        self.show(&why);
    }

    fn replicas(&self) -> Replicas {
        Replicas {
            ready: self.set.ready_count(),
            starting: self.set.starting,
            capacity: self.set.capacity,
            start_up: self.set.start_up,
        }
    }

    fn record(&self, seen: &Reading, decision: &Decision) -> DecisionRecord {
        DecisionRecord {
            time: seconds_since_1970(),
            model: self.handle.model.name.clone(),
            from: self.scaler.desired(),
            to: decision.desired,
            lag: seen.in_flight(),
            held: seen.held,
            reasons: decision.reasons.clone(),
            outcome: ScaleOutcome::Accepted,
            trace: None,
        }
    }

    /// Sends a scale request for the desired count, if this proxy leads.
    fn ask(&mut self, record: Option<DecisionRecord>, crossing: Option<Crossing>) {
        if self.others.role == Role::Follows {
            return;
        }
        let dry_run = self.handle.model.scaling.dry_run.value;
        self.requested = Some(self.scaler.desired());
        self.rejected = None;
        if !dry_run || record.is_none() {
            self.external.asked(self.scaler.desired(), Nanos::now());
        }
        let model = self.handle.model.clone();
        self.requester.ask(ScaleRequest {
            model,
            replicas: self.scaler.desired(),
            record,
            crossing,
        });
    }

    /// Asks the ledger for a wake-up at the lag where the policy may want more replicas.
    ///
    /// The room below the level is divided among the proxies, as a ledger divides it among its
    /// shards. All of them together cannot reach the level before one has used up its share. That
    /// one wakes up, and publishes its counts to the others.
    fn arm(&mut self) {
        let Some(level) = self.wake_level() else {
            self.armed = false;
            return;
        };
        self.armed = !self.handle.ledger.arm(self.part_of(level));
        if !self.armed && self.look().in_flight() < level {
            // The share is used up, but not the room: take a new share.
            self.armed = !self.handle.ledger.arm(self.part_of(level));
        }
    }
}

fn seconds_since_1970() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Whether the count `desired` must be carried out while `asked` is asked for. With `dry_run`,
/// `asked` never changes; then, whether `desired` must be recorded, which is once.
fn is_news(reported: &mut Option<u32>, dry_run: bool, asked: u32, desired: u32) -> bool {
    let before = if dry_run {
        reported.replace(desired)
    } else {
        reported.take()
    };
    desired != asked && (!dry_run || before != Some(desired))
}

#[cfg(test)]
mod tests;
