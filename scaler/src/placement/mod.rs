//! Where the replicas of models are: which model goes into which replica of a shared server, or
//! onto which device of a host; which one goes to make room; and how many replicas servers need.
//!
//! [`plan()`] is a pure function: it sees a [`Fleet`] and a time, and says what to do. It keeps
//! nothing between two calls, so that after a restart it goes on from what is there. The rules
//! are in `docs/explanation/placement.md`.
//!
//! The files, in the order in which a plan is made: `draft` has the fleet as the plan so far
//! leaves it, with the `room` in each bin; `admit` decides which models are promised room;
//! `servers` how many bins there should be; `claims` who gets room; `evict` and `turns` who gives
//! it; `depart` what leaves without being evicted; `capacity` how many replicas models could have.
//! `retries` has when a load that failed is tried again.

mod admit;
mod capacity;
mod claims;
mod depart;
mod draft;
mod evict;
mod fleet;
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

/// What is to be done now, so that every model is where it should be, as far as there is room.
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
