//! Seldon Core 2's scheduler as the one who starts and stops replicas.

use std::fmt;

use crate::{Endpoint, UpstreamTls};

/// Models that Seldon Core 2 runs, scaled by triggers to its scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeldonSpec {
    /// Where the scheduler tells the status of models: `host:port`.
    pub scheduler: String,
    /// Where it takes triggers, as from its agents: `host:port`.
    pub agent: String,
    /// Addresses that stand for all replicas: the mesh. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// How they are reached by TLS, if they are.
    pub tls: Option<UpstreamTls>,
}

impl fmt::Display for SeldonSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.endpoints.iter().map(Endpoint::to_string).collect();
        let (scheduler, agent) = (&self.scheduler, &self.agent);
        write!(
            f,
            "status {scheduler}, triggers {agent}, through {}",
            all.join(" ")
        )?;
        f.write_str(if self.tls.is_some() { " by TLS" } else { "" })
    }
}
