//! Where the replicas of models are: which model goes into which replica of a shared server, or
//! onto which device of a host; which one goes to make room; and how many replicas servers need.

mod fleet;
mod plan;

pub use fleet::{Bin, BinPool, Fleet, ModelNeed, Placed, PlacedState, ServerScaling};
pub use plan::{Drain, Load, Plan, Position, Unplaced, Why};
