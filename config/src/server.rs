//! Servers: how the replicas of one or more models are run.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::{
    Endpoint, HealthCheck, KubernetesSpec, LoadBalancing, MultiModelSpec, ObjectLocation,
    OutlierDetection, Overrides, ProcessSpec, Readiness, SeldonSpec, SlowStart, Template,
    UpstreamTls, WebhookSpec, WorkloadSource,
};

/// How the replicas of one or more models are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name by which models refer to it.
    pub name: String,
    /// The document that describes it.
    pub place: ObjectLocation,
    /// Its capabilities, which must include a model's requirements.
    pub capabilities: Vec<String>,
    /// Bytes of memory a replica has for its models; `None`: not checked.
    pub memory: Option<u64>,
    /// Requests one replica takes at once; `None`: no limit.
    pub concurrency: Option<NonZeroU32>,
    /// Largest number of replicas of a model on it; `None`: no limit.
    pub max_replicas: Option<u32>,
    /// The version of HTTP towards its replicas.
    pub protocol: Protocol,
    /// The `Host` header towards its replicas.
    pub host_header: HostHeader,
    /// The API key that Tailback sends to its replicas (`Authorization: Bearer`) in place of the
    /// caller's; `None`: the caller's is passed on, unless Tailback itself checks API keys.
    pub upstream_key: Option<Template>,
    /// How a replica is chosen for a request.
    pub load_balancing: LoadBalancing,
    /// When a replica that fails requests gets none for a while; `None`: never.
    pub outlier_detection: Option<OutlierDetection>,
    /// How ready replicas are checked; `None`: not at all.
    pub health_check: Option<HealthCheck>,
    /// How the share of requests of a new replica grows; `None`: it has a full share at once.
    pub slow_start: Option<SlowStart>,
    /// What runs its replicas.
    pub kind: Kind,
    /// Set if each of its replicas hosts many models.
    pub multi_model: Option<MultiModelSpec>,
    /// Defaults for its models.
    pub overrides: Overrides,
}

/// The version of HTTP towards replicas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `auto`: HTTP/2 for gRPC. For other requests, HTTP/1.1 in clear text, or under TLS the
    /// version that the replica prefers.
    #[default]
    Auto,
    /// `http1`: HTTP/1.1; no gRPC.
    Http1,
    /// `h2c`: HTTP/2 in clear text, with prior knowledge.
    H2c,
    /// `h2`: HTTP/2 under TLS.
    H2,
}

/// The host that replicas see: `Host`, or `:authority` in HTTP/2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// `pass`: the caller's.
    #[default]
    Pass,
    /// `upstream`: the replica's own address.
    Upstream,
    /// A fixed host.
    Given(String),
}

/// How a server's replicas are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A local command for each replica.
    Process(Box<ProcessSpec>),
    /// Fixed addresses, never scaled.
    Static(StaticSpec),
    /// A Kubernetes workload.
    Kubernetes(KubernetesSpec),
    /// Replicas that an HTTP API starts and stops.
    Webhook(WebhookSpec),
    /// Models of Seldon Core 2.
    Seldon(SeldonSpec),
}

/// Whether models share the replicas of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Each model has its own.
    PerModel,
    /// All models of the server share them.
    Shared,
}

/// Fixed addresses, never scaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticSpec {
    /// The addresses. Never empty, no two equal.
    pub endpoints: Vec<Endpoint>,
    /// How they are reached by TLS (`https://`); `None`: in clear text.
    pub tls: Option<UpstreamTls>,
    /// How often host names are looked up, where each address of a name is a replica. `None`: a
    /// name is one replica, and is looked up for each connection.
    pub resolve: Option<Duration>,
}

// === impl Server ===

impl Server {
    /// Its command, if it is a process server.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessSpec> {
        match &self.kind {
            Kind::Process(spec) => Some(spec),
            Kind::Static(_) | Kind::Kubernetes(_) | Kind::Webhook(_) | Kind::Seldon(_) => None,
        }
    }

    /// Its workload, if it is a Kubernetes server.
    #[must_use]
    pub fn kubernetes(&self) -> Option<&KubernetesSpec> {
        match &self.kind {
            Kind::Kubernetes(spec) => Some(spec),
            Kind::Process(_) | Kind::Static(_) | Kind::Webhook(_) | Kind::Seldon(_) => None,
        }
    }

    /// Its webhook, if it is a webhook server.
    #[must_use]
    pub fn webhook(&self) -> Option<&WebhookSpec> {
        match &self.kind {
            Kind::Webhook(spec) => Some(spec),
            Kind::Process(_) | Kind::Static(_) | Kind::Kubernetes(_) | Kind::Seldon(_) => None,
        }
    }

    /// Its scheduler, if it is a Seldon server.
    #[must_use]
    pub fn seldon(&self) -> Option<&SeldonSpec> {
        match &self.kind {
            Kind::Seldon(spec) => Some(spec),
            Kind::Process(_) | Kind::Static(_) | Kind::Kubernetes(_) | Kind::Webhook(_) => None,
        }
    }

    /// How its replicas are reached by TLS, if they are.
    #[must_use]
    pub fn tls(&self) -> Option<&UpstreamTls> {
        self.kind.tls()
    }

    /// Its fixed addresses or gateways, if it has any.
    #[must_use]
    pub fn endpoints(&self) -> Option<&[Endpoint]> {
        match &self.kind {
            Kind::Static(spec) => Some(&spec.endpoints),
            Kind::Kubernetes(spec) => match &spec.source {
                WorkloadSource::Endpoints(endpoints) => Some(endpoints),
                WorkloadSource::Service(_) => None,
            },
            Kind::Webhook(spec) => Some(&spec.endpoints),
            Kind::Seldon(spec) => Some(&spec.endpoints),
            Kind::Process(_) => None,
        }
    }

    /// The probe of its ready replicas, if they are probed. Multi-model servers are not: their
    /// lists of models are read all the time, which shows the same.
    #[must_use]
    pub fn health_probe(&self) -> Option<&Readiness> {
        if self.multi_model.is_some() {
            return None;
        }
        let own = self.health_check.as_ref()?.probe.as_ref();
        let probe = own.or_else(|| self.process().map(|process| &*process.ready))?;
        match probe {
            Readiness::Http(_) | Readiness::Grpc(_) | Readiness::Tcp => Some(probe),
            Readiness::Line(_) | Readiness::None => None,
        }
    }

    /// Whether its models share its replicas.
    #[must_use]
    pub fn replication(&self) -> Replication {
        match &self.kind {
            // A model is loaded into some of the server's replicas, at most once into each.
            _ if self.multi_model.is_some() => Replication::PerModel,
            Kind::Process(_) | Kind::Webhook(_) | Kind::Seldon(_) => Replication::PerModel,
            Kind::Static(_) => Replication::Shared,
            Kind::Kubernetes(spec) if spec.is_per_model() => Replication::PerModel,
            Kind::Kubernetes(_) => Replication::Shared,
        }
    }
}

// === impl Kind ===

impl Kind {
    /// How its replicas are reached by TLS, if they are.
    pub(crate) fn tls(&self) -> Option<&UpstreamTls> {
        match self {
            Self::Process(_) => None,
            Self::Static(spec) => spec.tls.as_ref(),
            Self::Kubernetes(spec) => spec.tls.as_ref(),
            Self::Webhook(spec) => spec.tls.as_ref(),
            Self::Seldon(spec) => spec.tls.as_ref(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process(_) => "process",
            Self::Static(_) => "static",
            Self::Kubernetes(_) => "kubernetes",
            Self::Webhook(_) => "webhook",
            Self::Seldon(_) => "seldon",
        })
    }
}

// === impl Protocol ===

impl Protocol {
    /// Every protocol, in the order the documentation lists them.
    pub const ALL: &[Self] = &[Self::Auto, Self::Http1, Self::H2c, Self::H2];

    /// As it is written in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Http1 => "http1",
            Self::H2c => "h2c",
            Self::H2 => "h2",
        }
    }

    /// The protocol named `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|protocol| protocol.as_str() == text)
    }
}
