//! One model under the scaler's eyes: observe, decide, guard, request, record.

use std::{
    mem,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tailback_config::Model;

use super::{
    Watched,
    request::{Request, Requester},
    sources::Mark,
};
use crate::{
    board::Board,
    brain::{Brain, Replicas, Turn},
    clock::Nanos,
    decision::{Decision, Outcome, Reason, Record},
    orchestrator::{Memory, Orchestrator, ReplicaSet},
    policy::{Observation, Settings},
    replica::Replica,
};

/// Whether it is known what runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenOver {
    /// What the orchestrator has is still to be heard; nothing is asked for.
    NotYet,
    Yes,
}

pub(super) struct Tracked {
    watched: Watched,
    orchestrator: Arc<dyn Orchestrator>,
    /// What the orchestrator said before is of a model that has gone.
    since: Mark,
    requester: Requester,
    board: Board,
    set: ReplicaSet,
    brain: Brain,
    taken_over: TakenOver,
    /// Whether the ledger will ring when the level is reached.
    armed: bool,
    /// What was last decided with `dryRun`, which is not carried out: said once.
    dry_run: Option<u32>,
}

impl Tracked {
    /// Begins with what the orchestrator says there is, or else with the
    /// configured count. Hears what the orchestrator says after `since`.
    pub(super) fn new(watched: Watched, since: Mark, board: Board) -> Self {
        let orchestrator = since.orchestrator.clone();
        let desired = watched.model.replicas.initial;
        let reading = watched.ledger.read();
        let taken_over = match orchestrator.memory() {
            Memory::None => TakenOver::Yes,
            Memory::Own => TakenOver::NotYet,
        };
        let mut tracked = Self {
            brain: Brain::new(Settings::from(&*watched.model), desired, reading),
            requester: Requester::new(orchestrator.clone(), board.clone()),
            orchestrator,
            since,
            board,
            set: ReplicaSet {
                capacity: u32::MAX,
                ..ReplicaSet::default()
            },
            taken_over,
            armed: false,
            dry_run: None,
            watched,
        };
        tracked.orchestrator.follow(&tracked.watched.model);
        match taken_over {
            TakenOver::Yes => {
                tracked.ask(None, None);
                tracked.show(&Reason::Configured { replicas: desired }.to_string());
                tracked.arm();
            }
            TakenOver::NotYet => tracked.show(&Reason::Unheard.to_string()),
        }
        tracked
    }

    /// Whether `model` is run by the same orchestrator as this one.
    pub(super) fn same_kind(&self, model: &Model) -> bool {
        mem::discriminant(&self.watched.model.server.kind) == mem::discriminant(&model.server.kind)
    }

    /// Takes a new configuration and keeps the history.
    pub(super) fn reconfigure(&mut self, watched: Watched) {
        let before = mem::replace(&mut self.watched, watched);
        let asked = self.brain.desired();
        let replicas = &self.watched.model.replicas;
        if before.model.replicas.initial != replicas.initial {
            let kept = if replicas.scaled {
                self.brain.desired()
            } else {
                0
            };
            self.brain.adopt(replicas.initial.max(kept), Nanos::now());
        }
        self.brain.configure(Settings::from(&*self.watched.model));
        self.orchestrator.follow(&self.watched.model);
        match (self.taken_over, self.orchestrator.memory()) {
            (TakenOver::NotYet, _) => {}
            // Also where the count is the same: it must hear of a changed command.
            (TakenOver::Yes, Memory::None) => self.ask(None, None),
            (TakenOver::Yes, Memory::Own) if self.brain.desired() == asked => {}
            (TakenOver::Yes, Memory::Own) => self.ask(None, None),
        }
        self.watched.traffic.set_replicas(&self.set.ready);
        self.decide(None);
    }

    /// Its replicas finish what they have and go.
    pub(super) async fn forget(self) {
        // Nothing that was not taken yet is asked for after this.
        drop(self.requester);
        self.orchestrator.forget(&self.watched.model.name).await;
    }

    /// Whether what was said at `mark` is for this one.
    pub(super) fn hears(&self, mark: &Mark) -> bool {
        mark.is_after(&self.since)
    }

    /// The bell rang: for this model?
    pub(super) fn answer_crossing(&mut self) {
        if let Some(crossing) = self.watched.ledger.take_crossing() {
            self.armed = false;
            let lag = self.watched.ledger.in_flight();
            if self.brain.wake_at().is_some_and(|level| lag < level) {
                // A shard used up its part of the room; the level is not reached.
                return self.arm();
            }
            self.decide(Some(crossing));
        }
    }

    pub(super) fn replicas_changed(&mut self, set: ReplicaSet) {
        let same = |a: &[Arc<Replica>], b: &[Arc<Replica>]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        if !same(&self.set.ready, &set.ready) {
            self.brain.replicas_changed(Nanos::now());
        }
        // Also if they are the same: they may take more at once.
        self.watched.traffic.set_replicas(&set.ready);
        self.set = set;
        if let (TakenOver::NotYet, Some(found)) = (self.taken_over, self.set.desired) {
            self.taken_over = TakenOver::Yes;
            self.brain.take_over(found, Nanos::now());
            tracing::info!(
                model = self.watched.model.name,
                "{}",
                Reason::Found { replicas: found }
            );
        }
        self.decide(None);
    }

    /// Reads the ledger; decides if the period is over, or if lag is over the
    /// level and nobody rings for it. Returns whether the ledger is armed.
    pub(super) fn sample(&mut self, period: Duration) -> bool {
        let reading = self.watched.ledger.read();
        if self.brain.sample(reading, period) {
            self.decide(None);
        } else if !self.armed {
            self.arm();
        }
        self.armed || self.brain.wake_at().is_none()
    }

    /// One turn: observe, decide, guard, request, record.
    fn decide(&mut self, crossing: Option<Nanos>) {
        if self.taken_over == TakenOver::NotYet {
            return self.show(&Reason::Unheard.to_string());
        }
        let reading = self.watched.ledger.read();
        let Turn { seen, decision } = self.brain.decide(reading, &self.replicas());
        let why = decision
            .reasons
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        let dry_run = self.watched.model.scaling.dry_run.value;
        if is_news(
            &mut self.dry_run,
            dry_run,
            self.brain.desired(),
            decision.desired,
        ) {
            let record = self.record(&seen, &decision);
            if !dry_run {
                self.brain.adopt(decision.desired, reading.at);
            }
            self.ask(Some(record), crossing);
        }
        self.show(&why);
        self.arm();
    }

    fn replicas(&self) -> Replicas {
        Replicas {
            ready: u32::try_from(self.set.ready.len()).unwrap_or(u32::MAX),
            starting: self.set.starting,
            capacity: self.set.capacity,
            start_up: self.set.start_up,
        }
    }

    fn record(&self, seen: &Observation, decision: &Decision) -> Record {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        Record {
            time,
            model: self.watched.model.name.clone(),
            from: self.brain.desired(),
            to: decision.desired,
            lag: seen.lag,
            held: seen.held,
            reasons: decision.reasons.clone(),
            outcome: Outcome::Accepted,
        }
    }

    fn ask(&self, record: Option<Record>, crossing: Option<Nanos>) {
        let model = self.watched.model.clone();
        self.requester.ask(Request {
            model,
            replicas: self.brain.desired(),
            record,
            crossing,
        });
    }

    /// Asks the ledger to ring when the policy would want more.
    fn arm(&mut self) {
        self.armed = match self.brain.wake_at() {
            Some(level) => !self.watched.ledger.arm(level),
            None => false,
        };
    }

    fn show(&self, why: &str) {
        self.board.update(&self.watched.model.name, |status| {
            status.desired = self.brain.desired();
            status.ready.clone_from(&self.set.ready);
            status.starting = self.set.starting;
            status.draining = self.set.draining;
            status.start_up_seconds = self.set.start_up.map(|s| s.as_secs_f64());
            status.failure.clone_from(&self.set.failure);
            why.clone_into(&mut status.reason);
        });
    }
}

/// Whether `desired`, where `asked` are asked for, is to be carried out; with
/// `dry_run`, whether it is to be said: once, since `asked` stays as it is.
fn is_news(said: &mut Option<u32>, dry_run: bool, asked: u32, desired: u32) -> bool {
    let before = if dry_run {
        said.replace(desired)
    } else {
        said.take()
    };
    desired != asked && (!dry_run || before != Some(desired))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_with_dry_run_is_a_decision_said_once() {
        let mut said = None;
        let mut go = |dry_run, asked, desired| is_news(&mut said, dry_run, asked, desired);
        assert!(go(true, 1, 3), "said");
        assert!(!go(true, 1, 3), "once");
        assert!(go(true, 1, 2), "another");
        assert!(!go(false, 2, 2), "nothing to do");
        assert!(go(false, 4, 2), "a reload raised the count meanwhile");
        assert!(go(true, 4, 2), "dryRun begins anew");
    }
}
