//! Status, outcome and message of each [`ProxyError`], in one place. A test compares them with
//! `docs/reference/errors.md`.

use std::borrow::Cow;

use http::StatusCode;

use super::ProxyError;
use crate::{
    protocol::peek::Fault,
    status::{GrpcCode, Outcome},
};

/// How an error is sent to the caller and counted.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorDetails {
    /// The HTTP status.
    pub status: StatusCode,
    /// The gRPC status.
    pub code: GrpcCode,
    /// The outcome under which the request is counted; `None` for errors before its model is
    /// known.
    pub outcome: Option<Outcome>,
    /// The message for the caller.
    pub message: Cow<'static, str>,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
}

impl ErrorDetails {
    fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

/// Details without `Retry-After`.
fn says(
    status: StatusCode,
    code: GrpcCode,
    outcome: Option<Outcome>,
    message: impl Into<Cow<'static, str>>,
) -> ErrorDetails {
    ErrorDetails {
        status,
        code,
        outcome,
        message: message.into(),
        retry_after: None,
    }
}

impl ProxyError {
    /// The details of this error.
    #[must_use]
    pub fn details(&self) -> ErrorDetails {
        use {GrpcCode as Code, Outcome::*, StatusCode as Status};
        match self {
            Self::UnknownModel(name) => says(
                Status::NOT_FOUND,
                Code::NotFound,
                None,
                format!("model {name:?} is not served here"),
            ),
            Self::NoApiKey => says(
                Status::UNAUTHORIZED,
                Code::Unauthenticated,
                None,
                "an API key is needed: send authorization: Bearer KEY, or x-api-key: KEY",
            ),
            Self::WrongApiKey => says(
                Status::UNAUTHORIZED,
                Code::Unauthenticated,
                None,
                "the API key is not valid here",
            ),
            Self::ExpiredApiKey => says(
                Status::UNAUTHORIZED,
                Code::Unauthenticated,
                None,
                "the API key has expired",
            ),
            Self::ModelForbidden { model } => says(
                Status::FORBIDDEN,
                Code::PermissionDenied,
                None,
                format!("this API key may not be used for model {model:?}"),
            ),
            Self::RateLimited { limit, retry_after } => says(
                Status::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                None,
                format!("this API key is limited to {limit} requests a minute; try again later"),
            )
            .retry_after(*retry_after),
            Self::ConcurrencyLimited { limit } => says(
                Status::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                None,
                format!("this API key is limited to {limit} requests at once; try again later"),
            )
            .retry_after(1),
            Self::NoModel => says(
                Status::NOT_FOUND,
                Code::InvalidArgument,
                None,
                "no model is named: use /v2/models/{name}/infer, a path below /v1 with the model in \
                 its body, or the header seldon-model",
            ),
            Self::BadModelHeader => says(
                Status::BAD_REQUEST,
                Code::InvalidArgument,
                None,
                "the header seldon-model must name exactly one model",
            ),
            Self::BadHost => says(
                Status::BAD_REQUEST,
                Code::InvalidArgument,
                None,
                "a request must name exactly one host, by a name or an address and a port alone: in \
                 Host, or in :authority of HTTP/2",
            ),
            Self::BadTarget => says(
                Status::BAD_REQUEST,
                Code::InvalidArgument,
                None,
                "the request target * is for OPTIONS alone",
            ),
            Self::TransferCoding => says(
                Status::NOT_IMPLEMENTED,
                Code::Unimplemented,
                None,
                "the only transfer coding here is chunked, once",
            ),
            Self::BadLength => says(
                Status::BAD_REQUEST,
                Code::InvalidArgument,
                None,
                "a request must have one content-length at most",
            ),
            // The outcome applies only if the fault is in the rest of a body whose model is known
            // already.
            Self::Unnamed(fault) => says(
                match fault {
                    Fault::TooFar(_) | Fault::Bomb => Status::PAYLOAD_TOO_LARGE,
                    Fault::UnknownCoding | Fault::NotUtf8 => Status::UNSUPPORTED_MEDIA_TYPE,
                    _ => Status::BAD_REQUEST,
                },
                Code::InvalidArgument,
                Some(Refused),
                fault.to_string(),
            ),
            Self::GrpcNeedsHttp2 => says(
                Status::HTTP_VERSION_NOT_SUPPORTED,
                Code::InvalidArgument,
                None,
                "gRPC needs HTTP/2",
            ),
            Self::NoMethod => says(
                Status::NOT_IMPLEMENTED,
                Code::Unimplemented,
                None,
                "the method is not offered here; methods of other services need the metadata \
                 seldon-model",
            ),
            Self::Refused(why) => says(Status::NOT_IMPLEMENTED, Code::Unimplemented, None, *why),
            Self::NotRouted(why) => says(Status::NOT_FOUND, Code::InvalidArgument, None, *why),
            Self::WrongMethod { allowed } => says(
                Status::METHOD_NOT_ALLOWED,
                Code::InvalidArgument,
                None,
                format!("this path takes {allowed}"),
            ),
            Self::BadPath => says(
                Status::BAD_REQUEST,
                Code::InvalidArgument,
                None,
                "the path must not contain the segments . or .., in any encoding",
            ),
            Self::BadModelQuery => says(
                Status::BAD_REQUEST,
                Code::InvalidArgument,
                None,
                "the query must name exactly one model: model=NAME",
            ),
            Self::TwoModels { first, second } => says(
                Status::BAD_REQUEST,
                Code::InvalidArgument,
                None,
                format!(
                    "the request names two models, {first:?} and {second:?}: name one, in one place"
                ),
            ),
            Self::Asleep { model } => says(
                Status::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                None,
                format!(
                    "model {model:?} has no replica now; a probe does not start one, an inference request does"
                ),
            ),
            Self::Busy { model } => says(
                Status::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                None,
                format!(
                    "no replica of model {model:?} has room for a probe now; try again later"
                ),
            )
            .retry_after(1),
            Self::NoGrpc { model } => says(
                Status::NOT_IMPLEMENTED,
                Code::Unimplemented,
                Some(Refused),
                format!("the server of model {model:?} speaks HTTP/1.1 only, and gRPC needs HTTP/2"),
            ),
            Self::WrongProtocol { model } => says(
                Status::BAD_GATEWAY,
                Code::Internal,
                Some(Unreachable),
                format!("the replica of model {model:?} does not speak its server's protocol"),
            ),
            Self::Connect => says(
                Status::METHOD_NOT_ALLOWED,
                Code::InvalidArgument,
                None,
                "CONNECT is not supported",
            ),
            Self::NoRoom => says(
                Status::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                Some(QueueFull),
                "overloaded: the memory for the bodies of waiting requests is used up; try again later",
            )
            .retry_after(1),
            Self::MemoryShort => says(
                Status::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Some(QueueFull),
                "overloaded: the memory of this proxy is short, and the request would have to wait in it; \
                 try again later",
            )
            .retry_after(5),
            Self::QueueFull {
                model,
                limit,
                retry_after,
            } => says(
                Status::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
                Some(QueueFull),
                format!(
                    "model {model:?} is overloaded: {limit} requests wait already; try again later"
                ),
            )
            .retry_after(*retry_after),
            Self::HeldTooLong {
                model,
                seconds,
                retry_after,
            } => says(
                Status::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Some(HeldTooLong),
                format!(
                    "no replica of model {model:?} was ready and had room within {seconds} s; try \
                     again later"
                ),
            )
            .retry_after(*retry_after),
            Self::NotLoaded {
                model,
                why,
                retry_after,
            } => says(
                Status::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Some(Unreachable),
                format!("model {model:?} could not be loaded: {why}"),
            )
            .retry_after(*retry_after),
            Self::SwitchedOff { model } => says(
                Status::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Some(Unreachable),
                format!("model {model:?} is switched off: its manifest says replicas: 0"),
            ),
            Self::ShuttingDown => says(
                Status::SERVICE_UNAVAILABLE,
                Code::Unavailable,
                Some(Drained),
                "this proxy is shutting down; try again",
            )
            .retry_after(1),
            Self::Unreachable { model } => says(
                Status::BAD_GATEWAY,
                Code::Unavailable,
                Some(Unreachable),
                format!("no replica of model {model:?} could be reached"),
            )
            .retry_after(1),
            Self::UpstreamReset { model } => says(
                Status::BAD_GATEWAY,
                Code::Unavailable,
                Some(UpstreamReset),
                format!("the replica of model {model:?} closed the connection before it answered"),
            ),
            Self::UpstreamHeader { model } => says(
                Status::BAD_GATEWAY,
                Code::Internal,
                Some(UpstreamReset),
                format!(
                    "the answer of model {model:?}'s replica has too many header fields, or too \
                     large ones; TAILBACK_HEADER_MAX_FIELDS says how many are read"
                ),
            ),
            Self::UpstreamSlow(limit) => says(
                Status::GATEWAY_TIMEOUT,
                Code::DeadlineExceeded,
                Some(UpstreamSlow),
                format!("the replica took longer than {} allows", limit.name()),
            ),
            Self::PastDeadline => says(
                Status::GATEWAY_TIMEOUT,
                Code::DeadlineExceeded,
                Some(PastDeadline),
                "the deadline set by grpc-timeout has passed",
            ),
            // A status after which clients do not retry on their own.
            Self::Cancelled => says(
                Status::FORBIDDEN,
                Code::Cancelled,
                Some(Cancelled),
                "an operator has cancelled this request",
            ),
            Self::CallerSlow => says(
                Status::REQUEST_TIMEOUT,
                Code::DeadlineExceeded,
                Some(CallerSlow),
                "the request's body took too long to arrive",
            ),
            Self::CallerGone => says(
                Status::BAD_REQUEST,
                Code::Cancelled,
                Some(CallerGone),
                "the request's body ended early",
            ),
        }
    }
}
