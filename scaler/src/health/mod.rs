//! The health of replicas after they have become ready: probes, and hang detection.
//!
//! What requests themselves tell about a replica is judged where they are, in the data plane. Here
//! is what needs a clock and connections of its own. [`Monitor`] looks at all replicas a few times
//! a second, and reports what it finds to the data plane ([`Traffic`](crate::replica::Traffic)).
//! What follows from an observation is a pure function: [`hang`] and [`check`].

pub mod check;
pub mod hang;
mod monitor;
mod replica_monitor;

pub(crate) use self::monitor::{Monitor, Pool, Replacement};
