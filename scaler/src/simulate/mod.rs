//! A deterministic discrete-event simulation of one model, its replicas and
//! whoever scales them, on a virtual clock.
//!
//! A [`Trace`] of requests meets a [`World`](world) of replicas with a start-up
//! time and a concurrency, and a [`SimulatedScaler`]: the live
//! [`ModelScaler`](crate::model_scaler) itself, or one of the field's rules in
//! [`mod@reference`]. The [`SimulationResult`] says how
//! long requests waited and what the replicas cost, beside the [`bound`] of
//! someone who knew the trace beforehand. The same seed gives the same outcome.

pub mod bound;
pub mod compare;
pub mod conditions;
mod engine;
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
