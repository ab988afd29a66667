//! The data plane of Tailback and its `tailback` binary.
//!
//! A request's way can be read top to bottom in [`request`]; which protocol it
//! speaks is its [`dialect`]. What runs around it: [`downstream`] connections
//! on pingora's listeners and workers, [`upstream`] connections to replicas, and
//! [`admit`], where requests get a replica or wait for one.
//! [`serve`](mod@serve) puts it together with the configuration and the scaler.

pub mod access_log;
pub mod admin;
pub mod admit;
pub mod answer;
pub mod body;
pub mod cli;
mod coalesce;
mod cork;
mod date;
pub mod dialect;
pub mod downstream;
pub mod grpc;
pub mod headers;
pub mod health;
pub mod log;
pub mod metrics;
pub mod model;
pub mod outcome;
pub mod own;
pub mod peek;
pub mod request;
pub mod route;
pub mod serve;
pub mod simulate;
pub mod table;
mod tls;
mod transport;
pub mod upstream;
pub mod worker;
