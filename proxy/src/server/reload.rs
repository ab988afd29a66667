//! Applies a configuration to the running process, at the start and at each reload.

use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use tailback_config::{Config, Store};
use tailback_scaler::{
    ledger::Wake,
    run::{Scaler, control::ControlHandle},
};

use super::cluster;
use crate::{
    admin::ReloadOutcome,
    models::{RouteTable, SharedRoutes},
};

pub(super) struct Reloader {
    store: Arc<Store>,
    tables: Arc<SharedRoutes>,
    scaler: Scaler,
    wake: Wake,
    reloaded: Counter,
    unchanged: Counter,
    refused: Counter,
    successful: Gauge,
}

impl Reloader {
    pub(super) fn new(
        store: Arc<Store>,
        tables: Arc<SharedRoutes>,
        scaler: Scaler,
        wake: Wake,
    ) -> Self {
        let outcome = |outcome| counter!("tailback_config_reloads_total", "outcome" => outcome);
        let successful = gauge!("tailback_config_last_reload_successful");
        successful.set(1.0); // the process starts with a valid configuration
        Self {
            store,
            tables,
            scaler,
            wake,
            reloaded: outcome("reloaded"),
            unchanged: outcome("unchanged"),
            refused: outcome("refused"),
            successful,
        }
    }

    /// Puts `config` in force: the route table first, then the scaler.
    pub(super) fn apply(&self, config: &Config) {
        if !config.skipped.is_empty() {
            tracing::info!("{}", config.skipped);
            for place in config.skipped.iter() {
                tracing::debug!("skipped {place}");
            }
        }
        let before = self.tables.current();
        let table = RouteTable::build(config, &before, &self.wake);
        let models = table.model_handles();
        self.tables.set(table);
        self.scaler.configure(models);
        // Last: requests held in a closed pool look up their model in the new table.
        before.retire(&self.tables.current());
    }

    /// Loads the manifests again. If they are invalid, the current configuration stays in force.
    pub(super) async fn reload(&self, cause: &str) -> ReloadOutcome {
        let reloaded = self.store.reload();
        self.successful.set(f64::from(reloaded.is_ok()));
        for warning in reloaded.iter().flat_map(|reloaded| &reloaded.warnings) {
            tracing::warn!("{warning}");
        }
        match reloaded {
            Ok(reloaded) if reloaded.changed => {
                if let Err(error) = cluster::check(&self.store.current()).await {
                    tracing::error!("{cause}: {error:#}");
                }
                self.apply(&self.store.current());
                self.reloaded.increment(1);
                tracing::info!(
                    "{cause}: configuration reloaded: {}",
                    reloaded.notes.join("; ")
                );
                ReloadOutcome::Reloaded(reloaded.notes)
            }
            Ok(_) => {
                self.unchanged.increment(1);
                tracing::info!("{cause}: configuration unchanged");
                ReloadOutcome::Unchanged
            }
            Err(errors) => {
                self.refused.increment(1);
                tracing::error!(
                    "{cause}: the new configuration is wrong, the old one stays in force:\n{errors}"
                );
                ReloadOutcome::Refused(errors.to_string())
            }
        }
    }

    /// The scaler.
    pub(super) fn scaler(&self) -> &Scaler {
        &self.scaler
    }

    /// Gives up leadership, so that another proxy may lead.
    pub(super) fn hand_over(&self) {
        self.scaler.hand_over();
    }

    /// A handle for operators' orders.
    pub(super) fn control_handle(&self) -> ControlHandle {
        self.scaler.control_handle()
    }

    /// Stops all replicas.
    pub(super) async fn stop(&self) {
        self.scaler.stop().await;
    }
}
