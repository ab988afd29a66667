//! Carries out [operators' orders](crate::run::control) for the model.

use super::*;
use crate::{
    manual_count::ManualCount,
    run::order::{ControlError, ControlResult, ReplicaOrder, ScaleOrder},
    standing_orders::StandingOrders,
};

impl ModelController {
    /// Pauses or resumes the model's scaling.
    pub(in crate::run) fn set_pause(&mut self, pause: PauseState) {
        if pause == self.pause {
            return;
        }
        self.pause = pause;
        let model = &self.handle.model.name;
        match pause {
            PauseState::Paused => tracing::warn!(
                model,
                "scaling is paused: the count stays until it is resumed"
            ),
            PauseState::Active => tracing::info!(model, "scaling is resumed"),
        }
        self.decide(None);
    }

    /// Keeps the current count while the model is paused.
    pub(super) fn pause(&self, decision: &mut Decision) {
        if self.pause == PauseState::Paused {
            let wanted = mem::replace(&mut decision.desired, self.scaler.desired());
            decision.reasons.push(Reason::Paused { wanted });
        }
    }

    /// Sets the model's count for a while, or ends that (`None`). Returns the count in force.
    pub(in crate::run) fn set_manual(
        &mut self,
        order: Option<ScaleOrder>,
    ) -> ControlResult<Option<ManualCount>> {
        let manual = match order {
            Some(order) => Some(self.manual_count(order)?),
            None => None,
        };
        if manual.is_some() {
            // An operator's count overrides a back-off.
            self.external.end_back_off();
        }
        self.hold(manual.clone());
        self.decide(None);
        Ok(manual)
    }

    /// The count for `order` within the model's settings.
    fn manual_count(&self, order: ScaleOrder) -> ControlResult<ManualCount> {
        let paused = (self.pause == PauseState::Paused)
            .then_some("the scaling of this model is paused: resume it first");
        if let Some(why) = self.why_not_held().or(paused) {
            return Err(ControlError::Refused(why.to_owned()));
        }
        let bounds = &self.handle.model.replicas;
        let most = bounds.max.max(bounds.min);
        let replicas = order.replicas.clamp(bounds.min, most);
        Ok(ManualCount::lasting(replicas, order.lasts, order.by))
    }

    /// Why the model's settings do not allow an operator's count; `None`: they do.
    fn why_not_held(&self) -> Option<&'static str> {
        let model = &self.handle.model;
        let bounds = &model.replicas;
        if bounds.is_followed() {
            Some(
                "others set the count of this model: set minReplicas or maxReplicas to let Tailback do it",
            )
        } else if !bounds.scaled {
            Some(
                "the count of this model is fixed: set minReplicas or maxReplicas to let it change",
            )
        } else if model.scaling.dry_run.value {
            Some("dryRun is set on this model: Tailback asks for no replicas")
        } else {
            None
        }
    }

    /// After a change of settings: ends an operator's count that they do not allow, and logs it.
    pub(super) fn end_hold_if_refused(&mut self) {
        if let (Some(manual), Some(why)) = (self.scaler.manual(), self.why_not_held()) {
            let (model, replicas) = (&self.handle.model.name, manual.replicas);
            tracing::warn!(
                model,
                replicas,
                "the count that an operator held has ended: {why}"
            );
            self.hold(None);
        }
    }

    /// Takes over operators' orders from when a server of another kind ran the model, as far as
    /// the settings allow them.
    pub(in crate::run) fn go_on_with(&mut self, orders: Option<&StandingOrders>) {
        if self.obey(orders) {
            self.end_hold_if_refused();
            self.decide(None);
        }
    }

    /// Operators' orders that are still in force.
    pub(in crate::run) fn orders(&self) -> StandingOrders {
        StandingOrders {
            paused: self.pause == PauseState::Paused,
            manual: self.scaler.manual().cloned(),
        }
    }

    /// Takes over operators' orders from another process, or from another controller of the model.
    /// Returns whether anything has changed.
    pub(super) fn obey(&mut self, orders: Option<&StandingOrders>) -> bool {
        let Some(orders) = orders.filter(|orders| **orders != self.orders()) else {
            return false;
        };
        self.pause = match orders.paused {
            true => PauseState::Paused,
            false => PauseState::Active,
        };
        self.hold(orders.manual.clone());
        true
    }

    /// Sets the count to `manual`, in place of the policy's, until its time is over.
    fn hold(&mut self, manual: Option<ManualCount>) {
        let with_end = |manual: ManualCount| {
            let until = Nanos::now() + manual.left()?;
            Some((manual, until))
        };
        self.scaler.set_manual(manual.and_then(with_end));
    }

    /// The model's replica with this name or endpoint.
    pub(in crate::run) fn find_replica(&self, name: &str) -> ControlResult<Arc<Replica>> {
        let moving = self.set.coming.iter().chain(&self.set.leaving);
        let all = self.set.ready.iter().chain(moving.map(|own| &own.replica));
        let mut found = all
            .clone()
            .filter(|replica| [replica.name(), replica.authority()].contains(&name));
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found.clone()),
            (Some(_), Some(_)) => Err(ControlError::Refused(format!(
                "several replicas are named {name:?}: ask for one by its endpoint"
            ))),
            (None, _) => {
                let names = all.map(|replica| replica.name().to_owned());
                Err(ControlError::NoReplica(names.collect()))
            }
        }
    }

    /// Makes the orchestrator restart, drain or resume `replica`.
    pub(in crate::run) fn order_replica(
        &self,
        replica: &Arc<Replica>,
        order: ReplicaOrder,
    ) -> impl Future<Output = ControlResult<()>> + use<> {
        let (model, replica) = (self.handle.model.clone(), replica.clone());
        let orchestrator = self.orchestrator.clone();
        async move {
            match order {
                ReplicaOrder::Restart => orchestrator.restart(&model.name, &replica).await?,
                ReplicaOrder::Drain => {
                    orchestrator.set_drained(&model, replica.authority(), true)?;
                }
                ReplicaOrder::Resume => {
                    orchestrator.set_drained(&model, replica.authority(), false)?;
                }
            }
            Ok(())
        }
    }
}
