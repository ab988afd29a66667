//! Decides where the replicas of models are: which model goes into which replica of a shared
//! server, or onto which device of a host; which models are evicted to make room; and how many
//! replicas servers need.
//!
//! [`plan()`] is a pure function of a [`Fleet`] and a time. It keeps no state between two calls,
//! so that it works the same after a restart. The rules are in `docs/explanation/placement.md`.
//!
//! The files, in the order in which a plan is made: `draft` is the fleet as the plan so far
//! changes it, with the `room` in each bin; `admit` decides which models are promised room;
//! `servers` how many bins there should be; `needs` who comes first; `claims` which model gets
//! room; `evict` and `turns` which model gives it up; `depart` which replicas go without being
//! evicted; `capacity` how many replicas models could have. `retries` decides when a failed load is
//! tried again.

mod admit;
mod capacity;
mod claims;
mod depart;
mod draft;
mod evict;
mod fleet;
mod needs;
mod plan;
mod retries;
mod room;
mod servers;
mod turns;

#[cfg(test)]
mod tests;

pub use fleet::{Bin, BinPool, Fleet, ModelNeed, Placed, PlacedState, ServerScaling};
pub use plan::{Drain, Load, Plan, Position, Unplaced, Why};
pub use retries::{FailedLoads, LoadTries};

use crate::clock::Nanos;

/// Decides which replicas to load, drain and resume, so that every model is placed as far as there
/// is room.
///
/// The same fleet at the same time gives the same plan. Make a new plan whenever the fleet
/// changes, and at [`Plan::again_at`].
#[must_use]
pub fn plan(fleet: &Fleet, now: Nanos) -> Plan {
    let mut draft = draft::Draft::new(fleet, now);
    depart::drain_surplus(&mut draft);
    depart::drain_too_much(&mut draft);
    let admission = admit::admit(&mut draft);
    servers::scale(&mut draft, &admission);
    let hopeless = claims::place(&mut draft, &admission);
    depart::drain_parting(&mut draft, &hopeless);
    capacity::find(&mut draft);
    draft.plan
}
