//! The interface through which the scaler controls the data plane.

use std::sync::Arc;

use super::{Replica, health::HealthReport};
use crate::clock::Nanos;

/// Sends a model's requests to its replicas: the data plane's pool.
pub trait Traffic: Send + Sync {
    /// Replaces the set of replicas that take requests.
    fn set_replicas(&self, ready: &[Arc<Replica>]);

    /// Offers free slots to held requests.
    fn serve_held(&self);

    /// Answers all held requests with the error `why`, because no replica will come for them.
    fn refuse_held(&self, why: &Arc<str>);

    /// Reviews the replicas' health: ejects those that fail more than others, and brings back
    /// those whose ejection has ended. Called a few times a second; cheap if nothing is due.
    fn review_health(&self, now: Nanos);

    /// Takes what the scaler has found by watching `replica`.
    fn report_health(&self, replica: &Replica, report: HealthReport, now: Nanos);
}
