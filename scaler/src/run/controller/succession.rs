//! This model on its way from one process to the next: see [`succession`](crate::run::succession).

use super::*;

/// Whether a model is paused that was so in the process before.
pub(super) fn pause(inherited: Option<InheritedModel>) -> PauseState {
    match inherited {
        Some(InheritedModel { paused: true, .. }) => PauseState::Paused,
        _ => PauseState::Active,
    }
}

impl ModelController {
    /// Asks for what it begins with, as far as that is known: a count that was `found`, or the
    /// configured one.
    pub(super) fn begin(&mut self, found: bool) {
        if self.taken_over == TakenOver::NotYet {
            return self.show(&Reason::AwaitingState.to_string());
        }
        let replicas = self.scaler.desired();
        let reason = if found {
            self.scaler.take_over(replicas, self.own.at);
            Reason::Found { replicas }
        } else {
            Reason::Configured { replicas }
        };
        self.ask(None, None);
        self.arm();
        self.show(&reason.to_string());
    }

    /// What the next process begins with.
    pub(in crate::run) fn bequest(&self) -> InheritedModel {
        InheritedModel {
            desired: self.scaler.desired(),
            paused: self.pause == PauseState::Paused,
        }
    }

    /// Whether its replicas are processes of this host.
    pub(in crate::run) fn is_local(&self) -> bool {
        self.handle.model.server.process().is_some()
    }

    /// The set of replicas, if it is run by processes of this host and has been heard of.
    pub(in crate::run) fn local_set(&self) -> Option<&ReplicaSet> {
        Some(&self.set).filter(|set| self.is_local() && !set.model.is_empty())
    }

    /// Replicas may have slots again that another process had: who waits is let in.
    pub(in crate::run) fn slots_freed(&self) {
        self.handle.traffic.set_replicas(&self.set.ready);
    }
}
