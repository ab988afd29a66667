//! Health monitoring of the model's replicas.

use super::*;
use crate::health::Pool;

impl ModelController {
    /// Its replicas, and the pool that sends them requests.
    pub(in crate::run) fn pool(&self) -> Pool<'_> {
        Pool {
            model: &self.handle.model.name,
            server: &self.handle.model.server,
            traffic: &self.handle.traffic,
            replicas: &self.set.ready,
        }
    }

    /// Asks the orchestrator to replace a replica that stays unhealthy.
    pub(in crate::run) async fn replace(&self, replica: &Arc<Replica>) {
        let model = &self.handle.model.name;
        self.orchestrator.replace(model, replica).await;
    }
}
