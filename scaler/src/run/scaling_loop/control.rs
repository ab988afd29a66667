//! Operators' orders.

use tokio::sync::oneshot;

use super::Loop;
use crate::{
    manual_count::ManualCount,
    run::{
        controller::ModelController,
        order::{ControlError, ControlResult, ReplicaOrder, ScaleOrder},
    },
    status::PauseState,
};

impl Loop {
    pub(super) fn set_pause(&mut self, model: &str, pause: PauseState) -> ControlResult<()> {
        self.led(model)?.set_pause(pause);
        Ok(())
    }

    pub(super) fn set_manual(
        &mut self,
        model: &str,
        order: Option<ScaleOrder>,
    ) -> ControlResult<Option<ManualCount>> {
        self.led(model)?.set_manual(order)
    }

    /// The model's controller, if this proxy leads.
    fn led(&mut self, model: &str) -> ControlResult<&mut ModelController> {
        match self.models.get_mut(model) {
            None => Err(ControlError::NoModel),
            Some(_) if !self.membership.leads() => {
                Err(ControlError::NotLeading(self.membership.leader()))
            }
            Some(controller) => Ok(controller),
        }
    }

    /// Passes the order on to the orchestrator without waiting for it.
    pub(super) fn order_replica(
        &self,
        model: &str,
        replica: &str,
        order: ReplicaOrder,
        answer: oneshot::Sender<ControlResult<String>>,
    ) {
        let found = match self.models.get(model) {
            None => Err(ControlError::NoModel),
            // A process whose successor has taken over stops no replicas.
            Some(_) if self.membership.is_retired() => Err(ControlError::Stopped),
            Some(controller) => controller.find_replica(replica),
        };
        // Sending fails only if the caller no longer waits.
        match (found, self.models.get(model)) {
            (Ok(found), Some(controller)) => {
                let carried_out = controller.order_replica(&found, order);
                tokio::spawn(async move {
                    let name = found.name().to_owned();
                    let _ = answer.send(carried_out.await.map(|()| name));
                });
            }
            (Err(error), _) => drop(answer.send(Err(error))),
            (Ok(_), None) => drop(answer.send(Err(ControlError::NoModel))),
        }
    }
}
