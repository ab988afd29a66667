//! A server: how replicas of one or more models are run, and where.

use std::fmt;
use std::num::NonZeroU32;

use crate::{
    KubernetesSpec, ObjectLocation, Overrides, ProcessSpec, SeldonSpec, Source, WebhookSpec,
};

/// How replicas of one or more models are run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name models refer to.
    pub name: String,
    /// The document that describes it.
    pub place: ObjectLocation,
    /// What it can run: a model's requirements must be among them.
    pub capabilities: Vec<String>,
    /// Bytes of memory a replica has for its models; `None`: not checked.
    pub memory: Option<u64>,
    /// Requests one replica takes at once; `None`: no limit.
    pub concurrency: Option<NonZeroU32>,
    /// Most replicas a model on it may have; `None`: no bound.
    pub max_replicas: Option<u32>,
    /// Which HTTP its replicas are spoken to.
    pub protocol: Protocol,
    /// What its replicas are told as the host.
    pub host_header: HostHeader,
    /// Which of a model's replicas a request goes to.
    pub load_balancing: LoadBalancing,
    /// How its replicas are run.
    pub kind: Kind,
    /// What its models use where they set nothing themselves.
    pub overrides: Overrides,
}

/// Which HTTP replicas are spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `auto`: HTTP/2 for gRPC; else HTTP/1.1 in clear text, and what the replica prefers under
    /// TLS.
    #[default]
    Auto,
    /// `http1`: HTTP/1.1; no gRPC.
    Http1,
    /// `h2c`: HTTP/2 in clear text, without asking first (prior knowledge).
    H2c,
    /// `h2`: HTTP/2 under TLS.
    H2,
}

/// What replicas are told as the host: `Host`, or `:authority` in HTTP/2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// `pass`: what the caller said.
    #[default]
    Pass,
    /// `upstream`: their own address.
    Upstream,
    /// This one.
    Given(String),
}

/// Which of a model's replicas a request goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadBalancing {
    /// `powerOfTwo`: of two picked at random, the one with fewer requests.
    #[default]
    PowerOfTwo,
    /// `leastRequest`: of all, the one with the fewest requests.
    LeastRequest,
    /// `roundRobin`: one after the other.
    RoundRobin,
}

/// How a server's replicas are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A local command per replica.
    Process(ProcessSpec),
    /// Fixed addresses, never scaled.
    Static(StaticSpec),
    /// A workload in a cluster.
    Kubernetes(KubernetesSpec),
    /// Whatever an HTTP API runs.
    Webhook(WebhookSpec),
    /// Models of Seldon Core 2.
    Seldon(SeldonSpec),
}

/// Whose the replicas of a server are.
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
    /// The addresses. Never empty, no two alike.
    pub endpoints: Vec<Endpoint>,
    /// How they are reached, if it is by TLS: `https://`.
    pub tls: Option<UpstreamTls>,
}

/// How replicas are reached by TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Certificates (DER) of those who may have signed the replicas'; empty: the system's.
    pub ca: Vec<Vec<u8>>,
    /// The name that their certificates have; `None`: the endpoint's host.
    pub server_name: Option<String>,
}

/// The address of one replica, from `http://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `host:port`, as a `Host` header or a connector wants it; an IPv6 host is in brackets.
    pub authority: String,
    /// The host alone: a name or an address; IPv6 without brackets.
    pub host: String,
    /// The port; 80 where the address had none, 443 with `https`.
    pub port: u16,
    /// `https://`: by TLS.
    pub secure: bool,
    /// Where it takes gRPC, if not there.
    pub grpc: Option<Box<Endpoint>>,
}

// === impl Server ===

impl Server {
    /// The command it runs, if it is a process server.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessSpec> {
        match &self.kind {
            Kind::Process(spec) => Some(spec),
            Kind::Static(_) | Kind::Kubernetes(_) | Kind::Webhook(_) | Kind::Seldon(_) => None,
        }
    }

    /// The workload it is, if it is a Kubernetes server.
    #[must_use]
    pub fn kubernetes(&self) -> Option<&KubernetesSpec> {
        match &self.kind {
            Kind::Kubernetes(spec) => Some(spec),
            Kind::Process(_) | Kind::Static(_) | Kind::Webhook(_) | Kind::Seldon(_) => None,
        }
    }

    /// The webhook it is scaled by, if it is a webhook server.
    #[must_use]
    pub fn webhook(&self) -> Option<&WebhookSpec> {
        match &self.kind {
            Kind::Webhook(spec) => Some(spec),
            Kind::Process(_) | Kind::Static(_) | Kind::Kubernetes(_) | Kind::Seldon(_) => None,
        }
    }

    /// The scheduler it is scaled by, if it is a Seldon server.
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

    /// Its fixed addresses, if it has such.
    #[must_use]
    pub fn endpoints(&self) -> Option<&[Endpoint]> {
        match &self.kind {
            Kind::Static(spec) => Some(&spec.endpoints),
            Kind::Kubernetes(spec) => match &spec.source {
                Source::Endpoints(endpoints) => Some(endpoints),
                Source::Service(_) => None,
            },
            Kind::Webhook(spec) => Some(&spec.endpoints),
            Kind::Seldon(spec) => Some(&spec.endpoints),
            Kind::Process(_) => None,
        }
    }

    /// Whose its replicas are.
    #[must_use]
    pub fn replication(&self) -> Replication {
        match &self.kind {
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

    /// The protocol that is written `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|protocol| protocol.as_str() == text)
    }
}

// === impl LoadBalancing ===

impl LoadBalancing {
    /// Every strategy, in the order the documentation lists them.
    pub const ALL: [Self; 3] = [Self::PowerOfTwo, Self::LeastRequest, Self::RoundRobin];

    /// As it is written in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PowerOfTwo => "powerOfTwo",
            Self::LeastRequest => "leastRequest",
            Self::RoundRobin => "roundRobin",
        }
    }
}

// === impl Endpoint ===

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}
