//! What the scaler asks of the data plane.

use std::sync::Arc;

use super::{Replica, health::HealthReport};
use crate::clock::Nanos;

/// What sends a model's requests to its replicas: the data plane's pool.
pub trait Traffic: Send + Sync {
    /// Replaces the set of replicas that take requests.
    fn set_replicas(&self, ready: &[Arc<Replica>]);

    /// Offers free slots to the requests that are held.
    fn serve_held(&self);

    /// Answers the requests that are held now with `why`: what they wait for does not come.
    fn refuse_held(&self, why: &Arc<str>);

    /// Looks at the replicas' health: ejects those that fail more than others, and brings back
    /// those that were ejected for long enough. To be called a few times a second; what is not
    /// due costs nothing.
    fn review_health(&self, now: Nanos);

    /// Takes note of what watching `replica` has shown.
    fn report_health(&self, replica: &Replica, report: HealthReport, now: Nanos);
}
