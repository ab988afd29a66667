//! Answers that the proxy gives in a replica's place: what went wrong is a
//! [`ProxyError`], and `form` writes it as the caller's own protocol has it.

mod form;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use crate::{
    limits::Limit,
    protocol::peek::Fault,
    status::{GrpcCode, Outcome},
};

/// Why the proxy answers in a replica's place.
#[derive(Clone, Debug, PartialEq)]
pub enum ProxyError {
    /// No model of this name is configured.
    UnknownModel(String),
    /// No model is named.
    NoModel,
    /// The `seldon-model` header is no single name.
    BadModelHeader,
    /// Not exactly one Host.
    BadHost,
    /// Several lengths.
    BadLength,
    /// The body names no model.
    Unnamed(Fault),
    /// gRPC over HTTP/1.1.
    GrpcNeedsHttp2,
    /// A gRPC method that is not offered.
    NoMethod,
    /// The model repository is not the callers' to change.
    Repository,
    /// The server's replicas do not speak what gRPC needs.
    NoGrpc {
        /** the model */
        model: String,
    },
    /// The replica speaks another HTTP than its server's `protocol` says.
    WrongProtocol {
        /** the model */
        model: String,
    },
    /// CONNECT: this is not a forward proxy.
    Connect,
    /// What is in memory of waiting requests' bodies fills the room there is for it.
    NoRoom,
    /// The queue of held requests is full.
    QueueFull {
        /** the model */
        model: String,
        /** held */
        limit: u32,
    },
    /// Held until the deadline.
    HeldTooLong {
        /** the model */
        model: String,
        /** waited */
        seconds: f64,
        /** until a replica may be ready */
        retry_after: u32,
    },
    /// The model has no replicas by the user's own word, and will have none.
    SwitchedOff {
        /** the model */
        model: String,
    },
    /// Held when the time of a shutdown was over.
    ShuttingDown,
    /// No replica could be reached.
    Unreachable {
        /** the model */
        model: String,
    },
    /// The replica's connection broke before an answer.
    UpstreamReset {
        /** the model */
        model: String,
    },
    /// The replica's answer has a header that is too large.
    UpstreamHeader {
        /** the model */
        model: String,
    },
    /// The replica took longer than this allows.
    UpstreamSlow(Limit),
    /// The time that the caller gave is over.
    PastDeadline,
    /// The caller took too long to send its body.
    CallerSlow,
    /// The caller left within its body.
    CallerGone,
}

impl ProxyError {
    /// Its status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownModel(_) | Self::NoModel => StatusCode::NOT_FOUND,
            Self::Unnamed(Fault::TooFar(_) | Fault::Bomb) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unnamed(Fault::UnknownCoding) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BadModelHeader
            | Self::BadHost
            | Self::BadLength
            | Self::CallerGone
            | Self::Unnamed(_) => StatusCode::BAD_REQUEST,
            Self::GrpcNeedsHttp2 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NoMethod | Self::Repository | Self::NoGrpc { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::QueueFull { .. } | Self::NoRoom => StatusCode::TOO_MANY_REQUESTS,
            Self::HeldTooLong { .. } | Self::SwitchedOff { .. } | Self::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unreachable { .. }
            | Self::UpstreamReset { .. }
            | Self::UpstreamHeader { .. }
            | Self::WrongProtocol { .. } => StatusCode::BAD_GATEWAY,
            Self::UpstreamSlow(_) | Self::PastDeadline => StatusCode::GATEWAY_TIMEOUT,
            Self::CallerSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Its status in gRPC.
    #[must_use]
    pub fn code(&self) -> GrpcCode {
        match self {
            Self::UnknownModel(_) => GrpcCode::NotFound,
            Self::NoModel
            | Self::BadModelHeader
            | Self::BadHost
            | Self::BadLength
            | Self::Connect
            | Self::GrpcNeedsHttp2
            | Self::Unnamed(_) => GrpcCode::InvalidArgument,
            Self::NoMethod | Self::Repository | Self::NoGrpc { .. } => GrpcCode::Unimplemented,
            Self::QueueFull { .. } | Self::NoRoom => GrpcCode::ResourceExhausted,
            Self::HeldTooLong { .. }
            | Self::SwitchedOff { .. }
            | Self::ShuttingDown
            | Self::Unreachable { .. }
            | Self::UpstreamReset { .. } => GrpcCode::Unavailable,
            Self::WrongProtocol { .. } | Self::UpstreamHeader { .. } => GrpcCode::Internal,
            Self::UpstreamSlow(_) | Self::PastDeadline | Self::CallerSlow => {
                GrpcCode::DeadlineExceeded
            }
            Self::CallerGone => GrpcCode::Cancelled,
        }
    }

    /// How a request that arrived for a model and fails so is counted; `None`
    /// for failures before arrival.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::UnknownModel(_)
            | Self::NoModel
            | Self::BadModelHeader
            | Self::BadHost
            | Self::BadLength
            | Self::GrpcNeedsHttp2
            | Self::NoMethod
            | Self::Repository
            | Self::Connect => None,
            // Found in the rest of a body, if it has arrived.
            Self::NoGrpc { .. } | Self::Unnamed(_) => Some(Outcome::Refused),
            Self::WrongProtocol { .. } => Some(Outcome::Unreachable),
            Self::PastDeadline => Some(Outcome::PastDeadline),
            Self::QueueFull { .. } | Self::NoRoom => Some(Outcome::QueueFull),
            Self::HeldTooLong { .. } => Some(Outcome::HeldTooLong),
            Self::Unreachable { .. } | Self::SwitchedOff { .. } => Some(Outcome::Unreachable),
            Self::ShuttingDown => Some(Outcome::Drained),
            Self::UpstreamReset { .. } | Self::UpstreamHeader { .. } => {
                Some(Outcome::UpstreamReset)
            }
            Self::UpstreamSlow(_) => Some(Outcome::UpstreamSlow),
            Self::CallerSlow => Some(Outcome::CallerSlow),
            Self::CallerGone => Some(Outcome::CallerGone),
        }
    }

    /// What the caller is told.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::UnknownModel(name) => format!("model {name:?} is not served here"),
            Self::NoModel => {
                "no model is named: use /v2/models/{name}/infer, a path below /v1 with the model in \
                 its body, or the header seldon-model"
                    .into()
            }
            Self::Unnamed(fault) => fault.to_string(),
            Self::GrpcNeedsHttp2 => "gRPC needs HTTP/2".into(),
            Self::NoMethod => "the method is not offered here; methods of other services need the \
                 metadata seldon-model"
                .into(),
            Self::Repository => {
                "models are loaded and unloaded by the manifests, not by requests".into()
            }
            Self::NoGrpc { model } => {
                format!("the server of model {model:?} speaks HTTP/1.1 only, so no gRPC")
            }
            Self::WrongProtocol { model } => {
                format!("the replica of model {model:?} does not speak its server's protocol")
            }
            Self::PastDeadline => "the time that the caller gave is over".into(),
            Self::BadModelHeader => "the header seldon-model must name exactly one model".into(),
            Self::BadHost => {
                "a request must name exactly one host: in Host, or in :authority of HTTP/2".into()
            }
            Self::BadLength => "a request must have one content-length at most".into(),
            Self::Connect => "CONNECT is not supported".into(),
            Self::NoRoom => "overloaded: the requests that wait leave no room for another's body; \
                 try again later"
                .into(),
            Self::QueueFull { model, limit } => {
                format!(
                    "model {model:?} is overloaded: {limit} requests wait already; try again later"
                )
            }
            Self::HeldTooLong { model, seconds, .. } => {
                format!(
                    "no replica of model {model:?} was ready and had room within {seconds} s; try again later"
                )
            }
            Self::SwitchedOff { model } => {
                format!("model {model:?} is switched off: its manifest says replicas: 0")
            }
            Self::ShuttingDown => "this proxy is shutting down; try again".into(),
            Self::Unreachable { model } => {
                format!("no replica of model {model:?} could be reached")
            }
            Self::UpstreamReset { model } => {
                format!("the replica of model {model:?} closed the connection before it answered")
            }
            Self::UpstreamHeader { model } => {
                format!(
                    "the answer of model {model:?}'s replica has too many header fields, or too large \
                     ones; TAILBACK_HEADER_MAX_FIELDS says how many are read"
                )
            }
            Self::UpstreamSlow(limit) => {
                format!("the replica took longer than {} allows", limit.name())
            }
            Self::CallerSlow => "the request's body took too long to arrive".into(),
            Self::CallerGone => "the request's body ended early".into(),
        }
    }

    /// Seconds after which it makes sense to try again.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::HeldTooLong { retry_after, .. } => Some(*retry_after),
            Self::QueueFull { .. } | Self::NoRoom | Self::ShuttingDown => Some(1),
            Self::Unreachable { .. } => Some(1),
            _ => None,
        }
    }
}

/// A JSON response.
#[must_use]
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
