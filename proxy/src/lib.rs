//! The data plane of Tailback and its `tailback` binary.
//!
//! A request's way can be read top to bottom in [`pipeline`]. The modules are floors: each imports only
//! from those below it. `docs/architecture.md` lists them, and a test in `tests/layout` holds the imports
//! against that list.
//!
//! `exchange` stands on `telemetry`, not the other way round: a request that ends
//! writes itself into the metrics and the access log, wherever that happens. They
//! know a request only by its outcome, status and times.

pub mod admin;
mod admin_client;
pub mod admission;
pub mod api_keys;
pub mod cli;
pub mod downstream;
pub mod exchange;
#[cfg(test)]
mod fault_simulation;
pub mod health;
pub mod http1;
pub mod limits;
pub mod log;
pub mod models;
mod net;
pub mod overload;
pub mod pipeline;
pub mod protocol;
pub mod server;
pub mod simulate;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod status;
pub mod telemetry;
pub mod upstream;
