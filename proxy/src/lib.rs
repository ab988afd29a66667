//! The data plane of Tailback and its `tailback` binary.
//!
//! A request's way can be read top to bottom in [`pipeline`]. The modules are
//! floors, from the top:
//!
//! | floor | what it does |
//! |---|---|
//! | [`cli`], [`health`], [`simulate`] | the commands |
//! | [`server`] | the process: listeners, workers, signals, drain, reload |
//! | [`admin`] | pages, metrics, KEDA |
//! | [`pipeline`] | one request's way: locate, count in, admit, forward, complete |
//! | [`downstream`] | HTTP/1.1, HTTP/2 and tunnels towards callers |
//! | [`models`] | what is served, and each worker's view of it |
//! | [`upstream`] | connections to replicas |
//! | [`admission`] | which replica, or the queue of held requests |
//! | [`exchange`] | one request and its answer: state, bodies, accounts |
//! | [`protocol`] | the inference protocols: where the model is named, local replies, errors |
//! | [`telemetry`] | metrics, access log |
//! | [`status`], `net` | words for how requests end; bytes of connections |

pub mod admin;
pub mod admission;
pub mod cli;
pub mod downstream;
pub mod exchange;
pub mod health;
pub mod limits;
pub mod log;
pub mod models;
mod net;
pub mod pipeline;
pub mod protocol;
pub mod server;
pub mod simulate;
pub mod status;
pub mod telemetry;
pub mod upstream;
