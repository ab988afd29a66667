//! An upgrade: another process, of a new version of the program perhaps, takes over all that
//! the running one has, and the running one finishes the requests that it has.
//!
//! ```text
//! running process                                     new process
//!   starts it, with a socket as its input ──────────▶
//!   Hello, and the listening sockets ───────────────▶ reads the configuration, opens what it needs
//!                                      ◀──────────── Ready, or Failed and why
//!   lets nobody lead its replicas
//!   Inherited, and a parcel for each replica ───────▶ leads them, accepts connections
//!                                      ◀──────────── Took
//!   accepts no more, and finishes what it has ◀─────▶ (lines of both scalers)
//! ```
//!
//! Until `Took`, the running process can go on as if nothing had been, and does so if the new
//! one fails or says nothing. From then on the new one is the proxy.
//!
//! The sockets are passed on themselves (`SCM_RIGHTS`), so that a connection which the system
//! has taken, and nobody accepted yet, is in the one queue of both.

mod channel;
mod predecessor;
mod successor;

use serde::{Deserialize, Serialize};
use tailback_scaler::orchestrator::handover::Inherited;

pub(super) use self::{
    predecessor::Predecessor,
    successor::{Exchange, Program, Successor},
};

/// The version of the messages. Fields may be added to them, with defaults; for all else, it
/// changes, and the two processes say that a restart is needed.
const PROTOCOL: u32 = 1;

/// From the running process.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    version: String,
    pid: u32,
}

/// From the running process: what it asked for, and how many parcels follow.
#[derive(Debug, Serialize, Deserialize)]
struct HandOver {
    inherited: Inherited,
    parcels: usize,
}

/// From the new process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Reply {
    /// It has all that it needs.
    Ready { version: String },
    /// It leads the replicas and accepts connections.
    Took,
    /// It ends, and why.
    Failed { why: String },
}
