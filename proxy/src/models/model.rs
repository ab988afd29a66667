//! A model at run time: its configuration, accounts, replicas and metrics.

use std::sync::Arc;

use tailback_scaler::ledger::Ledger;

use crate::{admission::Pool, telemetry::metrics::ModelMetrics, upstream::Connector};

/// What the data plane knows of a model. A reload makes a new one around the
/// same ledger and pool, so that no count and no held request is lost.
#[derive(Debug)]
pub struct Model {
    /// As configured.
    pub config: Arc<tailback_config::Model>,
    /// Its accounts.
    pub ledger: Arc<Ledger>,
    /// Its replicas and held requests; shared by models on one static server.
    pub pool: Arc<Pool>,
    /// How its replicas are spoken to.
    pub connector: Arc<Connector>,
    /// Handles resolved when it was configured.
    pub metrics: ModelMetrics,
}

impl Model {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether there is one replica at most: what one keeps is there, if anywhere.
    #[must_use]
    pub fn has_one_replica(&self) -> bool {
        match self.config.server.endpoints() {
            Some(endpoints) => endpoints.len() == 1,
            None => self.pool.replicas().len() <= 1,
        }
    }
}

impl AsRef<Ledger> for Model {
    fn as_ref(&self) -> &Ledger {
        &self.ledger
    }
}
