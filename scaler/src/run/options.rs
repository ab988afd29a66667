//! The options of the running scaler.

use std::{path::PathBuf, time::Duration};

use tailback_config::Placement;

use crate::{
    ledger::Wake,
    peers::{self, publisher::CountsPublisher},
    replica_logs::ReplicaLogs,
    server_status::ServerStatusStore,
    status::StatusStore,
};

/// What the running scaler needs from the process around it.
pub struct ScalerOptions {
    /// Time between periodic decisions.
    pub period: Duration,
    /// The wake-up that the models' ledgers send.
    pub wake: Wake,
    /// Where the scaler writes its state for the admin address.
    pub status: StatusStore,
    /// Where the lines go that replicas print.
    pub logs: ReplicaLogs,
    /// Where the state of multi-model servers is written for the admin address.
    pub servers: ServerStatusStore,
    /// How models are loaded into multi-model servers.
    pub placement: Placement,
    /// The program that supervises replicas; see
    /// [`Processes::new`](crate::orchestrator::process::Processes::new).
    pub supervisor: PathBuf,
    /// Publishes the counts to other proxies.
    pub publisher: CountsPublisher,
    /// How to find other proxies; `None`: this proxy is alone.
    pub peers: Option<peers::Settings>,
}
