//! `/server_info`: the identity of this process, and the results of its last upgrade and reload.

use std::{
    sync::{Mutex, MutexGuard},
    time::SystemTime,
};

use serde::Serialize;
use serde_json::{Value, json};
use tailback_scaler::orchestrator::process;

use super::reload::{LastReload, ReloadOutcome};
use crate::telemetry::build_info::VERSION;

/// Start time, upgrades and reloads of this process.
#[derive(Debug)]
pub struct ServerInfo {
    started: SystemTime,
    upgrade: Mutex<Upgrades>,
    reload: Mutex<Option<LastReload>>,
}

/// Upgrades that this process started. Only failures are visible: after a success, the process
/// ends.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upgrades {
    /// Whether one is under way.
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
            reload: Mutex::default(),
        }
    }
}

impl ServerInfo {
    /// Records that a successor process was started.
    pub fn upgrade_begins(&self) {
        self.upgrades().running = true;
    }

    /// Records that the successor did not take over.
    pub fn upgrade_failed(&self, why: String) {
        let mut upgrades = self.upgrades();
        upgrades.running = false;
        upgrades.failed += 1;
        upgrades.failure = Some(why);
    }

    /// Records what came of a reload.
    pub fn reload_ended(&self, outcome: &ReloadOutcome) {
        *plain(&self.reload) = Some(LastReload::now(outcome));
    }

    /// When this process was started.
    pub(super) fn started(&self) -> SystemTime {
        self.started
    }

    pub(super) fn last_reload(&self) -> Option<LastReload> {
        *plain(&self.reload)
    }

    pub(super) fn page(&self) -> Value {
        let up = self.started.elapsed().unwrap_or_default();
        json!({
            "version": VERSION,
            "pid": std::process::id(),
            // Unique across hosts and containers.
            "process": process::identity(),
            "uptimeSeconds": up.as_secs(),
            "upgrade": *self.upgrades(),
            "lastReload": self.last_reload(),
        })
    }

    fn upgrades(&self) -> MutexGuard<'_, Upgrades> {
        plain(&self.upgrade)
    }
}

/// Data that is consistent even if a writer panicked.
fn plain<T>(data: &Mutex<T>) -> MutexGuard<'_, T> {
    data.lock().unwrap_or_else(|e| e.into_inner())
}
