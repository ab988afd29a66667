//! `/server_info`: which process this is, and what came of the last upgrade.

use std::{
    sync::{Mutex, MutexGuard},
    time::SystemTime,
};

use serde::Serialize;
use serde_json::{Value, json};
use tailback_scaler::orchestrator::process;

use crate::telemetry::build_info::VERSION;

/// This process.
#[derive(Debug)]
pub struct ServerInfo {
    started: SystemTime,
    upgrade: Mutex<Upgrades>,
}

/// The upgrades of this process: those that failed, as it is not there any more after another.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upgrades {
    /// One is under way.
    running: bool,
    failed: u64,
    /// Why the last one failed.
    failure: Option<String>,
}

impl Default for ServerInfo {
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
            upgrade: Mutex::default(),
        }
    }
}

impl ServerInfo {
    /// A process that is to take over was started.
    pub fn upgrade_begins(&self) {
        self.upgrades().running = true;
    }

    /// No process takes over.
    pub fn upgrade_failed(&self, why: String) {
        let mut upgrades = self.upgrades();
        upgrades.running = false;
        upgrades.failed += 1;
        upgrades.failure = Some(why);
    }

    pub(super) fn page(&self) -> Value {
        let up = self.started.elapsed().unwrap_or_default();
        json!({
            "version": VERSION,
            "pid": std::process::id(),
            // Tells it from all others, of whatever host or container.
            "process": process::identity(),
            "uptimeSeconds": up.as_secs(),
            "upgrade": *self.upgrades(),
        })
    }

    fn upgrades(&self) -> MutexGuard<'_, Upgrades> {
        self.upgrade.lock().unwrap_or_else(|e| e.into_inner())
    }
}
