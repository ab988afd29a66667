//! The model's replicas under watch.

use super::*;
use crate::health::Pool;

impl ModelController {
    /// Its replicas, and where their requests come from.
    pub(in crate::run) fn pool(&self) -> Pool<'_> {
        Pool {
            model: &self.handle.model.name,
            server: &self.handle.model.server,
            traffic: &self.handle.traffic,
            replicas: &self.set.ready,
        }
    }

    /// Has a replica replaced that stays unhealthy, where that is possible.
    pub(in crate::run) async fn replace(&self, replica: &Arc<Replica>) {
        let model = &self.handle.model.name;
        self.orchestrator.replace(model, replica).await;
    }
}
