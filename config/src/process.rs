//! What holds for the whole process. It comes from the environment alone, so it is fixed until
//! the next start.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Cors, Origin};

/// The process-wide settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Where the data plane listens.
    pub listen: SocketAddr,
    /// Where the admin pages are.
    pub admin: SocketAddr,
    /// Who may change state through the admin pages; `None`: nobody.
    pub admin_token: Option<Token>,
    /// Worker threads of the data plane.
    pub workers: NonZeroUsize,
    /// Log filter, in the syntax of `tracing`'s `EnvFilter`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Where each finished request is written; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// Time between the scaler's periodic checks.
    pub scaling_period: Duration,
    /// How long each wait may last.
    pub timeouts: Timeouts,
    /// How much of each thing is accepted.
    pub limits: Limits,
    /// How callers are spoken to by TLS; `None`: in clear text.
    pub tls: Option<ListenerTls>,
    /// Which pages of other origins may call; `None`: none.
    pub cors: Option<Cors>,
    /// Which models are found in the cluster; `None`: only manifests say what is served.
    pub cluster_models: Option<ClusterModels>,
    /// Where other proxies are that act as one with this one; `None`: it is alone.
    pub peers: Option<Peers>,
    /// The variables and options that were set; all else is default.
    pub set: Vec<Origin>,
}

/// A secret that says who may do something. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Where each finished request is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// `-`: to standard output.
    Stdout,
    /// At the end of this file.
    File(PathBuf),
}

/// Which models are found in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterModels {
    /// In this namespace; `None`: in all.
    pub namespace: Option<String>,
    /// Where requests of Seldon's Models go; `{namespace}` stands for theirs.
    pub gateway: String,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `text`: for people.
    Text,
    /// `json`: one object a line.
    Json,
}

/// How long each wait for callers may last. None is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// A request's header block must arrive in this.
    pub header: Duration,
    /// A caller's idle connection is closed after this.
    pub keep_alive: Duration,
    /// Longest time in which a caller sends nothing of a body that is awaited, or takes nothing of
    /// an answer that is there.
    pub body: Duration,
    /// Longest time in which nothing comes of a stream's first message, by which its model is
    /// found: what holds for a model where it and its server say nothing.
    pub stream_idle: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain: Duration,
    /// How long, of that, it waits for upgraded connections.
    pub tunnel_drain: Duration,
}

/// How much of each thing the data plane accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's header block. At least 8192.
    pub header_bytes: usize,
    /// Fields of a request's header block.
    pub header_fields: usize,
    /// Bytes that requests which wait, for more of their body or for a replica, may have in
    /// memory of their bodies, all together.
    pub held_bytes: usize,
    /// Connections at once; `None`: as many as the file descriptor limit allows.
    pub connections: Option<usize>,
}

/// How callers are spoken to by TLS. The files are read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificate and those it is signed by, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Who must have signed callers' certificates, PEM; `None`: callers need none.
    pub client_ca: Option<PathBuf>,
    /// The lowest version.
    pub min_version: TlsVersion,
}

/// Proxies in a Kubernetes namespace that act as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// The Service whose EndpointSlices list their admin addresses.
    pub service: String,
    /// The Lease that has the name of the one that leads.
    pub lease: String,
    /// Where both are; `None`: the service account's namespace, or the kubeconfig context's.
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
    /// Fewer characters than this can be guessed.
    pub const SHORTEST: usize = 16;

    /// `text` as a token: at least [`SHORTEST`](Self::SHORTEST) visible ASCII characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fit = text.len() >= Self::SHORTEST && text.bytes().all(|b| b.is_ascii_graphic());
        fit.then(|| Self(text.to_owned()))
    }

    /// Its characters, to be compared.
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
    /// What is written `text` in the environment.
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

// === impl LogFormat ===

impl LogFormat {
    /// The name of the variable that says it.
    pub const VARIABLE: &'static str = "TAILBACK_LOG_FORMAT";

    /// What `text` says, if it is one.
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
