//! Scale requests that were refused or failed. Until a retry succeeds, the desired count is the
//! old one.

use super::*;
use crate::run::scale_request::ScaleAnswer;

/// A count that was refused or failed and is retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// The count that is asked for.
    pub replicas: u32,
    /// Why the last request was refused or failed.
    pub why: String,
}

impl ModelController {
    /// Takes the result of a scale request.
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
                    tracing::info!(
                        model,
                        replicas = rejected.replicas,
                        "the scale request was accepted after a retry"
                    );
                }
            }
            Err(why) => {
                self.rejected = Some(Rejection {
                    replicas: answer.replicas,
                    why,
                });
                // Without a reported count, our own count stays the desired one.
                if let Some(accepted) = self.set.desired {
                    self.scaler.adopt(accepted, now);
                }
            }
        }
        self.decide(None);
    }

    /// Cancels the pending scale request.
    pub(super) fn withdraw(&mut self) {
        self.requester.withdraw();
        (self.requested, self.rejected) = (None, None);
    }

    /// Retries a rejected count at once if the reason may be gone since `before`: a workload was
    /// created, or the cluster is back.
    pub(super) fn try_rejected_again(&self, before: &ReplicaSet) {
        let appeared = before.desired.is_none() && self.set.desired.is_some();
        let recovered = before.failure.is_some() && self.set.failure.is_none();
        if self.rejected.is_some() && (appeared || recovered) {
            self.requester.try_now();
        }
    }
}
