//! The scaler's loop: waits for an event and passes it to the models that it concerns.

mod control;
mod succession;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    command::{LoopCommand, ModelHandle},
    controller::ModelController,
    membership::Membership,
    options::ScalerOptions,
    orchestrators::{Epoch, Orchestrators},
    scale_request::{ScaleAnswer, ScaleAnswers},
    succession::Succession,
};
use crate::{
    clock::Nanos,
    health::{Monitor, Replacement},
    orchestrator::ReplicaSet,
    peers::MembershipEvent,
};

/// Sampling interval: how often every model's ledger is read.
const SAMPLE: Duration = Duration::from_secs(1);
/// Sampling interval with peers; bounds the staleness of the counts that they get.
const SAMPLE_WITH_PEERS: Duration = Duration::from_millis(200);
/// Sampling interval while a model's lag is over its wake-up level, so that its ledger sends no
/// wake-up.
const SAMPLE_OVER_LEVEL: Duration = Duration::from_millis(50);

/// The time between reviews of the replicas' health.
const REVIEW: Duration = Duration::from_millis(250);

/// The scaler while it runs.
pub(super) struct Loop {
    options: ScalerOptions,
    models: BTreeMap<String, ModelController>,
    /// The name of each model, by the number of its ledger.
    by_ledger: HashMap<u64, String>,
    orchestrators: Orchestrators,
    membership: Membership,
    membership_events: mpsc::UnboundedReceiver<MembershipEvent>,
    answers: ScaleAnswers,
    answered: mpsc::UnboundedReceiver<ScaleAnswer>,
    /// When all ledgers are read next.
    sample: Instant,
    monitor: Monitor,
    /// When the monitor observes the replicas next.
    review: Instant,
    succession: Succession,
}

impl Loop {
    pub(super) fn new(options: ScalerOptions) -> Self {
        let (membership, membership_events) =
            Membership::new(options.publisher.instance(), options.peers.as_ref());
        membership.show(&options.status);
        let (answers, answered) = mpsc::unbounded_channel();
        Self {
            membership,
            membership_events,
            answers,
            answered,
            sample: Instant::now(),
            monitor: Monitor::default(),
            review: Instant::now(),
            succession: Succession::default(),
            orchestrators: Orchestrators::new(&options),
            options,
            models: BTreeMap::new(),
            by_ledger: HashMap::new(),
        }
    }

    /// Runs until a command stops it, or all senders of commands are gone.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<LoopCommand>) {
        loop {
            tokio::select! {
                biased;
                ledgers = self.options.wake.rung() => self.answer_crossings(&ledgers),
                (epoch, set) = self.orchestrators.next() => self.replicas_changed(&epoch, set),
                Some(answer) = self.answered.recv() => self.scale_answered(answer),
                Some(event) = self.succession.events.recv() => self.predecessor_said(event),
                Some(event) = self.membership_events.recv() => self.membership_changed(event),
                command = commands.recv() => match command {
                    Some(LoopCommand::Configure(models)) => self.configure(models).await,
                    Some(LoopCommand::Pause { model, pause, answer }) => {
                        // Fails only if the caller no longer waits.
                        let _ = answer.send(self.set_pause(&model, pause));
                    }
                    Some(LoopCommand::Scale { model, order, answer }) => {
                        let _ = answer.send(self.set_manual(&model, order));
                    }
                    Some(LoopCommand::Replica { model, replica, order, answer }) => {
                        self.order_replica(&model, &replica, order, answer);
                    }
                    Some(LoopCommand::HandOver) => self.membership.hand_over(),
                    Some(LoopCommand::Inherit { inherited, parcels, answer }) => {
                        let _ = answer.send(self.inherit(inherited, parcels).await);
                    }
                    Some(LoopCommand::Attach { predecessor, gone }) => self.attach(predecessor, gone).await,
                    Some(LoopCommand::HandOut(answer)) => self.hand_out(answer).await,
                    Some(LoopCommand::TakeBack(done)) => {
                        self.take_back().await;
                        let _ = done.send(());
                    }
                    Some(LoopCommand::Retire { successor, gone }) => self.retire(successor, gone).await,
                    Some(LoopCommand::Stop(done)) => {
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop().await,
                },
                () = sleep_until(self.review) => self.review_health().await,
                () = sleep_until(self.sample) => self.sample(),
            }
            if !self.membership.is_alone() {
                self.publish();
            }
        }
    }

    /// Decides about the models whose `ledgers` have sent wake-ups.
    fn answer_crossings(&mut self, ledgers: &BTreeSet<u64>) {
        for ledger in ledgers {
            // The model may be gone.
            if let Some(name) = self.by_ledger.get(ledger)
                && let Some(controller) = self.models.get_mut(name)
            {
                controller.answer_crossing();
            }
        }
    }

    fn replicas_changed(&mut self, epoch: &Epoch, set: ReplicaSet) {
        if self.orchestrators.is_local(epoch) {
            self.succession.tell(&set);
        }
        match self.models.get_mut(&set.model) {
            Some(controller) if controller.accepts(epoch) => controller.replicas_changed(set),
            // The set is of a multi-model server, of processes that share the machine's room, of
            // an earlier model of this name, or of a model that has gone.
            _ => self.orchestrators.pass_on(set),
        }
    }

    fn scale_answered(&mut self, answer: ScaleAnswer) {
        // The model may be gone.
        if let Some(controller) = self.models.get_mut(&answer.model) {
            controller.scale_answered(answer);
        }
    }

    fn sample(&mut self) {
        self.membership.pass(Nanos::now());
        self.pass_on_counts();
        let mut next = if self.membership.is_alone() {
            SAMPLE
        } else {
            SAMPLE_WITH_PEERS
        };
        for controller in self.models.values_mut() {
            if !controller.sample(self.options.period) {
                next = SAMPLE_OVER_LEVEL;
            }
        }
        self.sample = Instant::now() + next;
        self.membership.show(&self.options.status);
        self.publish();
    }

    async fn review_health(&mut self) {
        self.review = Instant::now() + REVIEW;
        let pools = self.models.values().map(ModelController::pool);
        for Replacement { model, replica } in self.monitor.look(pools, Nanos::now()) {
            // A process whose successor has taken over stops no replicas.
            if let Some(controller) = self.models.get(&model)
                && !self.membership.is_retired()
            {
                controller.replace(&replica).await;
            }
        }
    }

    fn membership_changed(&mut self, event: MembershipEvent) {
        let role = self.membership.role();
        self.membership.apply(event);
        self.pass_on_counts();
        if role != self.membership.role() {
            for controller in self.models.values_mut() {
                controller.set_role(self.membership.role());
            }
            self.membership.show(&self.options.status);
        }
    }

    /// Adds what has changed in the peers' counts to the models' readings.
    fn pass_on_counts(&mut self) {
        for (model, change) in self.membership.take_changes() {
            if let Some(controller) = self.models.get_mut(&model) {
                controller.peers_counted(self.membership.view(&model), &change);
            }
        }
    }

    /// Publishes our counts, as they were last read, to the other proxies.
    fn publish(&self) {
        // After a hand-over, the successor gets the predecessor's counts only through this
        // process.
        let all = self.membership.is_retired();
        let counts = |(name, controller): (&String, &ModelController)| {
            (name.clone(), controller.counts(all))
        };
        let counts = self.models.iter().map(counts).collect();
        self.options
            .publisher
            .publish(self.membership.published_role(), counts);
    }

    async fn configure(&mut self, models: Vec<ModelHandle>) {
        let mut before = std::mem::take(&mut self.models);
        self.by_ledger.clear();
        for handle in models {
            let name = handle.model.name.clone();
            self.by_ledger.insert(handle.ledger.number(), name.clone());
            let controller = match before.remove(&name) {
                Some(mut controller) if controller.same_kind(&handle.model) => {
                    controller.reconfigure(handle);
                    controller
                }
                other => {
                    let orders = other.as_ref().map(ModelController::orders);
                    if let Some(controller) = other {
                        controller.forget().await;
                    }
                    let since = self.orchestrators.now(&handle.model);
                    let peers = self.membership.view(&name);
                    let status = self.options.status.clone();
                    let answers = self.answers.clone();
                    let inherited = self.succession.inherited.remove(&name);
                    let mut controller =
                        ModelController::new(handle, since, status, peers, answers, inherited);
                    // Operators' orders belong to the model, whatever runs its replicas.
                    controller.go_on_with(orders.as_ref());
                    controller
                }
            };
            self.models.insert(name, controller);
        }
        for (name, controller) in before {
            controller.forget().await;
            self.options.status.remove(&name);
            self.succession.tell(&ReplicaSet {
                model: name,
                ..ReplicaSet::default()
            });
        }
    }

    async fn stop(&mut self) {
        self.membership.leave().await;
        self.models.clear();
        self.orchestrators.shutdown().await;
        self.options.publisher.end().await;
    }
}
