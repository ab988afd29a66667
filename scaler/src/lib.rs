//! The scaling brain of Tailback: it counts what every model owes its callers
//! and turns the counts into scale requests.
//!
//! From pure to I/O: the [`ledger`] counts; [`signals`] turns its readings into
//! an [`Observation`](policy::Observation); a [`policy`] wishes; the
//! [`guard`] allows; the [`run`] loop asks an [`orchestrator`]. Where several
//! proxies act as one, their [`peers`] are part of each reading.

pub mod clock;
pub mod ledger;
pub mod replica;
mod sync;

#[cfg(not(tailback_loom))]
pub mod constraints;
#[cfg(not(tailback_loom))]
pub mod decision;
#[cfg(not(tailback_loom))]
pub mod model_scaler;
#[cfg(not(tailback_loom))]
pub mod orchestrator;
#[cfg(not(tailback_loom))]
pub mod peers;
#[cfg(not(tailback_loom))]
pub mod policy;
#[cfg(not(tailback_loom))]
pub mod run;
#[cfg(not(tailback_loom))]
pub mod signals;
#[cfg(not(tailback_loom))]
pub mod simulate;
#[cfg(not(tailback_loom))]
pub mod status;
