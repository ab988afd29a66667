//! Puts the file of API keys in force, at the start and whenever it changes. It is independent of
//! the manifests: a revoked key must be refused even while the manifests have errors.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, anyhow};
use metrics::{Gauge, gauge};
use tailback_config::{ApiKeysFile, watch};
use tokio::sync::mpsc::UnboundedSender;

use super::signal::Event;
use crate::models::SharedRoutes;

/// The file of API keys, watched until the process ends.
pub(super) struct ApiKeysReloader {
    path: PathBuf,
    routes: Arc<SharedRoutes>,
    successful: Gauge,
}

impl ApiKeysReloader {
    /// Puts the keys at `path` in force, and tells `events` of each change of the file.
    ///
    /// # Errors
    /// The errors in the file.
    pub(super) fn start(
        path: PathBuf,
        routes: Arc<SharedRoutes>,
        events: UnboundedSender<Event>,
    ) -> Result<Self> {
        let wrong = |errors| anyhow!("environment TAILBACK_API_KEYS_FILE: {errors}");
        // Watched before it is read, so that no change is missed.
        let on_change = move || {
            // If nobody receives the event, the process is ending.
            let _ = events.send(Event::ApiKeys("the file of API keys has changed"));
        };
        let watching = watch(std::slice::from_ref(&path), on_change);
        let watching = watching.map_err(|error| wrong(error.into()))?;
        // Keeps watching until the process ends.
        std::mem::forget(watching);
        let file = ApiKeysFile::read(&path).map_err(wrong)?;
        let successful = gauge!("tailback_api_keys_last_reload_successful");
        let this = Self {
            path,
            routes,
            successful,
        };
        this.apply(&file, "start");
        Ok(this)
    }

    /// Reads the file again. If it has errors, the keys in force stay.
    pub(super) fn reload(&self, cause: &str) {
        match ApiKeysFile::read(&self.path) {
            Ok(file) => self.apply(&file, cause),
            Err(errors) => {
                self.successful.set(0.0);
                tracing::error!(
                    "{cause}: the file of API keys is wrong, the keys in force stay:\n{errors}"
                );
            }
        }
    }

    fn apply(&self, file: &ApiKeysFile, cause: &str) {
        let before = self.routes.current();
        self.routes.set(before.with_keys(file));
        self.successful.set(1.0);
        let now = self.routes.current();
        let names = |table: &crate::models::RouteTable| -> Vec<String> {
            let keys = table.keys.iter().flat_map(|keys| keys.names());
            keys.map(str::to_owned).collect()
        };
        let (old, new) = (names(&before), names(&now));
        let but = |these: &[String], those: &[String]| -> Vec<String> {
            let rest = these.iter().filter(|name| !those.contains(name));
            rest.cloned().collect()
        };
        tracing::info!(
            added = but(&new, &old).join(", "),
            removed = but(&old, &new).join(", "),
            "{cause}: {} API keys in force",
            new.len()
        );
    }
}
