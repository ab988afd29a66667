//! Connections to replicas: opened, used for one request at a time, and kept
//! idle for the next, by one worker alone.
//!
//! A connection has no task of its own. Whoever leases it drives it from the
//! request's own task, which saves two task switches a request.

mod connection;
mod lease;

pub use self::{
    connection::{SendError, Upstream},
    lease::{Idle, Lease, Slot},
};
