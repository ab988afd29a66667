//! Seldon servers: Seldon Core 2's scheduler starts and stops replicas.

use std::fmt;

use crate::{Endpoint, UpstreamTls};

/// Models that Seldon Core 2 runs, scaled by triggers to its scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeldonSpec {
    /// The scheduler's address for the status of models: `host:port`.
    pub scheduler: String,
    /// The scheduler's address for scaling triggers, as used by agents: `host:port`.
    pub agent: String,
    /// The addresses of Seldon's mesh, which stand for all replicas. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// How the mesh is reached by TLS; `None`: in clear text.
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
