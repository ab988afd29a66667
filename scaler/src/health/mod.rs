//! The health of replicas after they have become ready: probes, and hang detection.
//!
//! What requests show about a replica is judged in the data plane (outlier detection). This module
//! does what needs a clock and connections of its own. [`Monitor`] observes all replicas a few
//! times a second, and reports to the data plane ([`Traffic`](crate::replica::Traffic)). The
//! conclusions are pure functions: [`hang`] and [`check`].

pub mod check;
pub mod hang;
mod monitor;
mod replica_monitor;

pub(crate) use self::monitor::{Monitor, Pool, Replacement};
