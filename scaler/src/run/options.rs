//! How the scaler runs.

use std::{path::PathBuf, time::Duration};

use crate::{
    ledger::Wake,
    peers::{self, publisher::CountsPublisher},
    status::StatusStore,
};

/// How the scaler runs.
pub struct Options {
    /// Time between periodic decisions.
    pub period: Duration,
    /// The bell the ledgers ring.
    pub wake: Wake,
    /// Where it shows its state.
    pub status: StatusStore,
    /// The program that supervises replicas; see
    /// [`Processes::new`](crate::orchestrator::process::Processes::new).
    pub supervisor: PathBuf,
    /// Where it lays out what other proxies are told.
    pub publisher: CountsPublisher,
    /// Where other proxies are; `None`: this one is alone.
    pub peers: Option<peers::Settings>,
}
