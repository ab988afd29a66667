//! Where traces are sent, and which ones. The variables are those of OpenTelemetry's specification.

use std::{fmt, path::PathBuf, time::Duration};

/// Traces of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The collector's URL: by HTTP with its path, by gRPC without one.
    pub endpoint: String,
    /// The protocol of the exports.
    pub protocol: OtlpProtocol,
    /// Header fields (HTTP) or metadata (gRPC) of each export.
    pub headers: Vec<(String, String)>,
    /// The PEM file with the authorities that may have signed the collector's certificate; `None`:
    /// those of the system.
    pub ca: Option<PathBuf>,
    /// How long an export may take. Never zero.
    pub timeout: Duration,
    /// The resource attribute `service.name`.
    pub service_name: String,
    /// Further attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// Which requests are recorded.
    pub sampler: Sampler,
    /// Most requests that may wait to be exported. Never zero.
    pub queue: usize,
    /// Most spans in one export. Never zero.
    pub batch: usize,
    /// Longest time that a span waits for its export. Never zero.
    pub delay: Duration,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP by gRPC.
    Grpc,
    /// OTLP by HTTP, in Protocol Buffers.
    Http,
}

/// Which requests are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether a caller's sampling decision is followed.
    pub is_parent_based: bool,
    /// The share of all other requests that is recorded, from 0 to 1.
    pub ratio: f64,
}

/// `f64` is not `Eq` because of NaN. `ratio` is never NaN.
impl Eq for Traces {}

impl OtlpProtocol {
    /// The name as in the variables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

impl fmt::Display for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.endpoint, self.protocol.as_str())
    }
}
