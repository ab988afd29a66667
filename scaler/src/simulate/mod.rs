//! A deterministic discrete-event simulation of one model, its replicas, and its scaler, on a
//! virtual clock.
//!
//! A [`Trace`] has the requests. The [`World`](world) has the replicas, with their start-up time
//! and concurrency. A [`SimulatedScaler`] is the live [`ModelScaler`](crate::model_scaler), or
//! the rules of another autoscaler in [`mod@reference`]. The [`SimulationResult`] has the waits
//! of requests and the cost of replicas; the [`bound`] is the cost if the trace were known in
//! advance. The same seed gives the same result.

pub mod bound;
pub mod compare;
pub mod conditions;
mod engine;
pub mod fleet;
pub mod outcome;
pub mod read;
pub mod reference;
pub mod scaler;
pub mod shapes;
pub mod start_up;
pub mod timeline;
pub mod trace;
mod world;

pub use self::{
    compare::{Comparison, Contender, Setup},
    conditions::Conditions,
    engine::simulate,
    outcome::SimulationResult,
    scaler::{Cause, Seen, SimulatedScaler},
    start_up::StartUp,
    timeline::{Extent, Slice},
    trace::{Request, Trace},
};

#[cfg(test)]
mod robustness;
#[cfg(test)]
mod tests;
