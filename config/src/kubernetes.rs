//! Kubernetes servers: the workload that is scaled, and the address of its replicas.

use std::fmt;

use crate::{Endpoint, UpstreamTls};

/// The placeholder of the model's name in [`KubernetesSpec::name`] and [`Service::name`].
pub(crate) const MODEL: &str = "{model}";
/// The placeholder of the server's name, in the fields that describe how a server's replicas are
/// run.
pub(crate) const SERVER: &str = "{server}";

/// A workload in a cluster: any object with a `scale` subresource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSpec {
    /// `group/version`, or `version` alone for the core group.
    pub api_version: String,
    /// The kind, as in the workload's own manifest: `Deployment`.
    pub kind: String,
    /// The workload's name; with `{model}` in it each model has a workload of its own.
    pub name: String,
    /// The namespace; `None`: that of the service account or of the kubeconfig's context.
    pub namespace: Option<String>,
    /// Where requests to its replicas go.
    pub source: WorkloadSource,
    /// How the replicas are reached by TLS; `None`: in clear text.
    pub tls: Option<UpstreamTls>,
}

/// Where requests to a workload's replicas go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkloadSource {
    /// Directly to the pods of a Service, as its EndpointSlices list them.
    Service(Service),
    /// To gateways: addresses that stand for all replicas. Never empty.
    Endpoints(Vec<Endpoint>),
}

/// A Service in the workload's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name. Contains `{model}` if the workload's name does.
    pub name: String,
    /// The port for HTTP; `None`: the Service's only port.
    pub port: Option<ServicePort>,
    /// The port for gRPC, if it is another one.
    pub grpc_port: Option<ServicePort>,
}

/// A port of a Service's pods.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServicePort {
    /// The port's name in the Service.
    Name(String),
    /// The pods' own port (`targetPort`), as in EndpointSlices.
    Number(u16),
}

// === impl KubernetesSpec ===

impl KubernetesSpec {
    /// Whether each model has a workload of its own.
    #[must_use]
    pub fn is_per_model(&self) -> bool {
        self.name.contains(MODEL)
    }

    /// The workload of `model`: this one with the model's name filled in.
    #[must_use]
    pub fn of(&self, model: &str) -> Self {
        let mut spec = self.clone();
        spec.name = fill(&spec.name, model);
        if let WorkloadSource::Service(service) = &mut spec.source {
            service.name = fill(&service.name, model);
        }
        spec
    }

    /// The Service whose pods are reached directly, if they are.
    #[must_use]
    pub fn service(&self) -> Option<&Service> {
        match &self.source {
            WorkloadSource::Service(service) => Some(service),
            WorkloadSource::Endpoints(_) => None,
        }
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }
}

fn fill(text: &str, model: &str) -> String {
    text.replace(MODEL, model)
}

impl fmt::Display for KubernetesSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = match &self.namespace {
            Some(namespace) => format!("{namespace}/"),
            None => String::new(),
        };
        let (kind, api_version, name) = (&self.kind, &self.api_version, &self.name);
        write!(f, "{kind} ({api_version}) {namespace}{name}, ")?;
        match &self.source {
            WorkloadSource::Service(service) => write!(f, "{service}")?,
            WorkloadSource::Endpoints(endpoints) => {
                let all: Vec<_> = endpoints.iter().map(Endpoint::to_string).collect();
                write!(f, "through {}", all.join(" "))?;
            }
        }
        f.write_str(if self.tls.is_some() { " by TLS" } else { "" })
    }
}

// === impl Service ===

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service {}", self.name)?;
        if let Some(port) = &self.port {
            write!(f, " port {port}")?;
        }
        if let Some(port) = &self.grpc_port {
            write!(f, " (gRPC {port})")?;
        }
        Ok(())
    }
}

// === impl ServicePort ===

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}
