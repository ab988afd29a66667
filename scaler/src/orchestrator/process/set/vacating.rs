//! Instances that host many models: they drain when their models are served elsewhere.

use super::{Instance, Set};
use crate::orchestrator::process::plan::{InstancePhase, InstancePlan};

impl Set {
    /// Of the instances that `plan` drains, keeps those whose models must be loaded into others
    /// first, and marks them as vacating. If there are no others yet, all their models go at once.
    pub(super) fn vacate(&self, plan: &mut InstancePlan) {
        let model = &self.wanted.model;
        if model.server.multi_model.is_none() || self.wanted.replicas == 0 {
            return;
        }
        let drained = |id: &u64| plan.drain.contains(id);
        let stays = |(id, m): &(&u64, &Instance)| m.phase == InstancePhase::Ready && !drained(id);
        let others = self.instances.iter().any(|own| stays(&own));
        for (id, instance) in &self.instances {
            if !drained(id) && instance.replica.is_vacating() {
                instance.replica.keep();
            }
        }
        plan.drain.retain(|id| {
            let Some(instance) = self.instances.get(id) else {
                return true;
            };
            let replica = &instance.replica;
            let is_done = replica.is_vacated() || replica.health().is_condemned();
            if is_done || instance.phase != InstancePhase::Ready {
                return true;
            }
            if !others {
                tracing::warn!(%replica, "drains with all its models: there is no other replica yet. They are loaded again when there is one, and their requests are held meanwhile");
                return true;
            }
            if !replica.is_vacating() {
                tracing::info!(%replica, "drains when its models are loaded in other replicas");
                replica.vacate();
            }
            false
        });
    }
}
