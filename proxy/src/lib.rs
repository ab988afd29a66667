//! The data plane of Tailback and its `tailback` binary.
//!
//! The path of a request can be read from top to bottom in [`pipeline`]. The modules are layers:
//! each imports only from those below it. `docs/architecture.md` lists them, and a test in
//! `tests/layout` checks the imports against that list.
//!
//! `exchange` is above `telemetry`, not the other way round: a request that ends records itself in
//! the metrics and the access log, wherever it ends. These know only its outcome, status and
//! times.

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
pub mod http2;
pub mod limits;
pub mod log;
pub mod message;
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
