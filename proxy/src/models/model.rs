//! A model at run time: its configuration, ledger, replicas and metrics.

use std::sync::Arc;

use tailback_scaler::ledger::Ledger;

use super::known_card::KnownCard;
use crate::{
    admission::{Pool, balance::PrefixTable},
    telemetry::metrics::ModelMetrics,
    upstream::Connector,
};

/// A model of the data plane. A reload builds a new one with the same ledger and pool, so that no
/// count and no held request is lost.
#[derive(Debug)]
pub struct Model {
    /// Its configuration.
    pub config: Arc<tailback_config::Model>,
    /// Whether its replicas serve other models, too, which a request could name to them.
    pub has_neighbours: bool,
    /// Its counts of requests.
    pub ledger: Arc<Ledger>,
    /// Which of its replicas have seen which prompts, if its server's load balancing is by prefix.
    pub prefix_table: Option<Arc<PrefixTable>>,
    /// Its replicas, and the requests held for them. Models on one static server share a pool.
    pub pool: Arc<Pool>,
    /// Opens connections to its replicas.
    pub connector: Arc<Connector>,
    /// The metadata that its replicas report.
    pub card: Arc<KnownCard>,
    /// Metric handles, resolved when the model was configured.
    pub metrics: ModelMetrics,
}

impl Model {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its name, followed by its aliases.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let aliases = self.config.aliases.iter().map(String::as_str);
        std::iter::once(self.name()).chain(aliases).collect()
    }

    /// Whether it has at most one replica, so that state within a replica can be nowhere else.
    #[must_use]
    pub fn has_one_replica(&self) -> bool {
        match self.config.server.endpoints() {
            Some(endpoints) => endpoints.len() == 1,
            None => self.pool.size() <= 1,
        }
    }
}

impl AsRef<Ledger> for Model {
    fn as_ref(&self) -> &Ledger {
        &self.ledger
    }
}
