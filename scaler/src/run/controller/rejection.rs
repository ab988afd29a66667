//! A count that was asked for and is not taken: what is desired is what there was,
//! until it is.

use super::*;
use crate::run::scale_request::ScaleAnswer;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// Asked for, again and again.
    pub replicas: u32,
    /// Why they are not taken.
    pub why: String,
}

impl ModelController {
    /// Our request was answered, or given no answer.
    pub(in crate::run) fn scale_answered(&mut self, answer: ScaleAnswer) {
        if self.requested != Some(answer.replicas) {
            return; // Another count was asked for since.
        }
        let now = Nanos::now();
        match answer.result {
            Ok(()) => {
                self.requested = None;
                if let Some(rejected) = self.rejected.take() {
                    self.scaler.adopt(rejected.replicas, now);
                    let model = &self.handle.model.name;
                    tracing::info!(model, replicas = rejected.replicas, "taken after all");
                }
            }
            Err(why) => {
                self.rejected = Some(Rejection {
                    replicas: answer.replicas,
                    why,
                });
                // Where nobody says what is asked for, it is what we asked for.
                if let Some(accepted) = self.set.desired {
                    self.scaler.adopt(accepted, now);
                }
            }
        }
        self.decide(None);
    }

    /// What is asked for is not, any more.
    pub(super) fn withdraw(&mut self) {
        self.requester.withdraw();
        (self.requested, self.rejected) = (None, None);
    }

    /// What was in the way may be no more, now that things are not as they were
    /// `before`: a workload was made, or the cluster is there again.
    pub(super) fn try_rejected_again(&self, before: &ReplicaSet) {
        let appeared = before.desired.is_none() && self.set.desired.is_some();
        let recovered = before.failure.is_some() && self.set.failure.is_none();
        if self.rejected.is_some() && (appeared || recovered) {
            self.requester.try_now();
        }
    }
}
