//! The settings of the whole process. They come from the environment alone and are fixed until
//! the next start.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Cors, MemoryMax, Origin, Placement, Traces};

/// The process-wide settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The address of the data plane.
    pub listen: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    /// The secret that allows changes through the admin address; `None`: no changes.
    pub admin_token: Option<Token>,
    /// The file of API keys; `None`: requests need none.
    pub api_keys: Option<PathBuf>,
    /// Worker threads of the data plane.
    pub workers: NonZeroUsize,
    /// Log filter, in the syntax of `tracing`'s `EnvFilter`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The access log; `None`: there is none.
    pub access_log: Option<AccessLog>,
    /// Where traces go; `None`: there are none.
    pub traces: Option<Traces>,
    /// The variables of OpenTelemetry with their values, for people.
    pub opentelemetry: Vec<(&'static str, String)>,
    /// Time between the scaler's periodic evaluations.
    pub scaling_period: Duration,
    /// Time limits towards callers.
    pub timeouts: Timeouts,
    /// Size limits towards callers.
    pub limits: Limits,
    /// What happens to an HTTP/1.1 request whose caller closes its sending side of the connection.
    pub half_close: HalfClose,
    /// TLS towards callers; `None`: clear text.
    pub tls: Option<ListenerTls>,
    /// CORS; `None`: pages of other origins may not call.
    pub cors: Option<Cors>,
    /// Whether documents of other kinds are skipped; otherwise they are errors.
    pub skip_other_kinds: bool,
    /// Where requests go that do not name a model that is served.
    pub routing: Routing,
    /// Discovery of models in the cluster; `None`: only models in manifests are served.
    pub cluster_models: Option<ClusterModels>,
    /// The other proxies of the group; `None`: this proxy is alone.
    pub peers: Option<Peers>,
    /// How models are loaded into servers that host many of them.
    pub placement: Placement,
    /// The variables and options that were set; all others have their defaults.
    pub set: Vec<Origin>,
}

/// What happens to requests that name no served model, and to requests that only ask about a
/// model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// The model of requests that name none; `None`: they are refused.
    pub default_model: Option<String>,
    /// The model of requests that name one that is not served; `None`: they are refused.
    pub fallback_model: Option<String>,
    /// Whether requests about a model, such as readiness checks, wake it and count as use.
    pub probes_wake: bool,
}

/// A secret that authorises its bearer. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Where the access log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// `-`: to standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// Discovery of models in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterModels {
    /// The namespace; `None`: all namespaces.
    pub namespace: Option<String>,
    /// The address for requests to Seldon's Models; `{namespace}` stands for the Model's
    /// namespace.
    pub gateway: String,
}

/// What happens to an HTTP/1.1 request whose caller closes its sending side of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfClose {
    /// `answer`: the caller gets its response, unless a write shows that the connection is gone.
    Answer,
    /// `abort`: the caller counts as gone, and the request is cancelled.
    Abort,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `text`: for people.
    Text,
    /// `json`: one object on each line.
    Json,
}

/// Time limits of waiting for callers. None of them is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Time for a request's header block to arrive.
    pub header: Duration,
    /// Time after which a caller's idle connection is closed.
    pub keep_alive: Duration,
    /// Longest time in which a caller sends no byte of a body that Tailback waits for, or reads
    /// no byte of a response that is ready.
    pub body: Duration,
    /// Bytes per second that a caller must send of a body, averaged over [`body`](Self::body); 0:
    /// any rate.
    pub body_rate: u64,
    /// Longest time without a byte of a gRPC stream's first message, which names the model. It is
    /// also the default of the models' `streamIdleSeconds`.
    pub stream_idle: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain: Duration,
    /// How much of `drain` is for upgraded connections (tunnels).
    pub tunnel_drain: Duration,
    /// After an upgrade: how long requests and tunnels may go on in the old process.
    pub upgrade_drain: Duration,
}

/// Size limits of the data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest header block of a request, in bytes; at least 8192.
    pub header_bytes: usize,
    /// Largest number of fields in a request's header block.
    pub header_fields: usize,
    /// Bytes of request bodies that may be in memory for all waiting requests together, whether
    /// they wait for a replica or for the rest of their body.
    pub held_bytes: usize,
    /// Memory of the whole process. From a certain share of it on, load is shed.
    pub memory: MemoryMax,
    /// Largest number of connections; `None`: as many as the file descriptor limit allows.
    pub connections: Option<usize>,
}

/// TLS towards callers. The files are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificate and its chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities that must have signed callers' certificates, PEM; `None`: callers need no
    /// certificate.
    pub client_ca: Option<PathBuf>,
    /// The lowest TLS version.
    pub min_version: TlsVersion,
}

/// How the proxies of a group find each other in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// The Service whose EndpointSlices list their admin addresses.
    pub service: String,
    /// The Lease that holds the name of the leader.
    pub lease: String,
    /// The namespace of both; `None`: that of the service account or of the kubeconfig's context.
    pub namespace: Option<String>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `1.2`
    V12,
    /// `1.3`
    V13,
}

// === impl Token ===

impl Token {
    /// Smallest number of characters, so that a token cannot be guessed.
    pub const SHORTEST: usize = 16;

    /// Reads a token of at least [`SHORTEST`](Self::SHORTEST) visible ASCII characters; `None`
    /// for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fit = text.len() >= Self::SHORTEST && text.bytes().all(|b| b.is_ascii_graphic());
        fit.then(|| Self(text.to_owned()))
    }

    /// Its characters, for comparison.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    /// As it is written in the environment.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// Reads `-` or the path of a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "-" => Self::Stdout,
            path => Self::File(PathBuf::from(path)),
        }
    }
}

impl fmt::Display for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("-"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

// === impl HalfClose ===

impl HalfClose {
    /// Parses a value of the variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "answer" => Some(Self::Answer),
            "abort" => Some(Self::Abort),
            _ => None,
        }
    }
}

impl fmt::Display for HalfClose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Answer => "answer",
            Self::Abort => "abort",
        })
    }
}

// === impl LogFormat ===

impl LogFormat {
    /// The name of its variable.
    pub const VARIABLE: &'static str = "TAILBACK_LOG_FORMAT";

    /// The format named `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::Json]
            .into_iter()
            .find(|format| format.as_str() == text)
    }

    /// As it is written in the environment.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
