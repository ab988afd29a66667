//! An upgrade: a new process, possibly of another version, takes over the sockets and replicas of
//! the running one, which finishes its requests in flight.
//!
//! ```text
//! running process                                     new process
//!   starts it, with a socket as its input ──────────▶
//!   Hello, and the listening sockets ───────────────▶ reads the configuration, opens what it needs
//!                                      ◀──────────── Ready, or Failed and why
//!   parks its replicas
//!   Inherited, and a parcel for each replica ───────▶ leads them, accepts connections
//!                                      ◀──────────── Took
//!   accepts no more, and finishes what it has ◀─────▶ (lines of both scalers)
//! ```
//!
//! Until `Took`, the running process can go on as before, and does so if the new one fails or does
//! not answer in time. From then on the new process is the proxy.
//!
//! The listening sockets themselves are passed on (`SCM_RIGHTS`). So a connection that the kernel
//! has completed, and neither process has accepted yet, waits in the queue that both share.

mod channel;
mod predecessor;
mod successor;

use serde::{Deserialize, Serialize};
use tailback_scaler::orchestrator::handover::Inherited;

pub(super) use self::{
    predecessor::Predecessor,
    successor::{Handover, Program, Successor},
};

/// Version of the messages. Fields may be added with defaults; any other change needs a new
/// version, upon which the two processes refuse the upgrade and ask for a restart.
const PROTOCOL: u32 = 2;

/// The first message, from the running process.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    version: String,
    pid: u32,
}

/// From the running process: the scaler's state, and how many parcels follow.
#[derive(Debug, Serialize, Deserialize)]
struct HandOver {
    inherited: Inherited,
    parcels: usize,
}

/// From the new process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Reply {
    /// It has loaded its configuration and opened what it needs.
    Ready { version: String },
    /// It manages the replicas and accepts connections.
    Took,
    /// It cannot take over, and ends.
    Failed { why: String },
}
