//! Reports how much a model is used, if it shares a server's or the machine's room: the
//! orchestrator gives the room to models that are in use.

use super::*;
use crate::server_status::PlacementState;

impl ModelController {
    /// Tells the orchestrator if the demand for the model has changed.
    pub(super) fn tell_demand(&mut self, reading: &Reading) {
        let model = &self.handle.model;
        if model.server.multi_model.is_none() && model.room.is_none() {
            return;
        }
        // Without a ready replica, all requests wait except those that a draining replica still
        // has. This does not use the held count, because an arrival wakes the scaler before the
        // request is held.
        let waiting = match self.set.ready.is_empty() {
            true => {
                let leaving = self.set.leaving.iter();
                let elsewhere = leaving.map(|own| u64::from(own.replica.in_flight()));
                reading.in_flight().saturating_sub(elsewhere.sum())
            }
            false => reading.held,
        };
        let (before, arrived) = self.demand;
        let is_used = reading.arrived != arrived || reading.in_flight() > 0;
        let demand = Demand {
            held: u32::try_from(waiting).unwrap_or(u32::MAX),
            last_used: if is_used {
                reading.at
            } else {
                before.last_used
            },
        };
        if demand != before {
            self.demand = (demand, reading.arrived);
            self.orchestrator.demand(&self.handle.model.name, demand);
        }
    }

    /// The lag at which the ledger sends a wake-up: 1 for an evicted model, which the next request
    /// brings back; otherwise the policy's level.
    pub(super) fn wake_level(&self) -> Option<u64> {
        let placement = self.set.placement.as_ref();
        let sleeps = placement.is_some_and(|placement| {
            matches!(
                placement.state,
                PlacementState::Evicted | PlacementState::Waiting
            )
        });
        match sleeps && self.scaler.desired() > 0 {
            true => Some(1),
            false => self.scaler.wake_at(),
        }
    }

    /// Answers held requests with an error if a load of the model has failed since `before`,
    /// because nothing else will answer them soon.
    pub(super) fn refuse_held(&self, before: &ReplicaSet) {
        let Some(failure) = &self.set.load_failure else {
            return;
        };
        if before.load_failure.as_ref() != Some(failure) {
            self.handle.traffic.refuse_held(&failure.why);
        }
    }
}
