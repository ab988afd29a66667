//! Error responses of the proxy: a [`ProxyError`] says what went wrong, and `details` has its
//! status and message. Each API writes it in its own form, see
//! [`ApiProtocol::error`](super::ApiProtocol::error).

mod details;

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

pub use self::details::ErrorDetails;
use crate::{
    message::Response,
    {limits::Limit, protocol::peek::Fault, status::GrpcCode},
};

/// Why the proxy answers with an error.
#[derive(Clone, Debug, PartialEq)]
pub enum ProxyError {
    /// No model of this name is configured.
    UnknownModel(String),
    /// There are API keys, and the request has none.
    NoApiKey,
    /// The request's API key is unknown.
    WrongApiKey,
    /// The request's API key has expired.
    ExpiredApiKey,
    /// The request's API key may not be used for the model.
    ModelForbidden {
        /** the model */
        model: String,
    },
    /// The request's API key has used up its requests per minute.
    RateLimited {
        /** a minute */
        limit: u32,
        /** until the next one is allowed, in seconds */
        retry_after: u32,
    },
    /// The request's API key has too many requests at once.
    ConcurrencyLimited {
        /** at once */
        limit: u32,
    },
    /// The request names no model.
    NoModel,
    /// The header `seldon-model` does not contain exactly one name.
    BadModelHeader,
    /// The request does not have exactly one Host, or it is not a valid host.
    BadHost,
    /// The request has several `content-length` fields.
    BadLength,
    /// The request target is `*`, but the method is not OPTIONS.
    BadTarget,
    /// The request's body has a transfer coding other than `chunked`.
    TransferCoding,
    /// The body names no model, or breaks a rule.
    Unnamed(Fault),
    /// gRPC over HTTP/1.1.
    GrpcNeedsHttp2,
    /// A gRPC method that is not served.
    NoMethod,
    /// Callers may not ask for this, for the given reason.
    Refused(&'static str),
    /// The request does not determine a model or replica, for the given reason.
    NotRouted(&'static str),
    /// The path exists, but only for other methods.
    WrongMethod {
        /** `GET, HEAD` */
        allowed: String,
    },
    /// Servers interpret the path differently.
    BadPath,
    /// The query does not name exactly one model.
    BadModelQuery,
    /// Two places of the request name different models.
    TwoModels {
        /** by the header, or before the rest of the path */
        first: String,
        /** by the path, query or body */
        second: String,
    },
    /// A probe of a model without replicas.
    Asleep {
        /** the model */
        model: String,
    },
    /// A probe of a model whose replicas have no room.
    Busy {
        /** the model */
        model: String,
    },
    /// A gRPC request for a server that speaks HTTP/1.1 only.
    NoGrpc {
        /** the model */
        model: String,
    },
    /// The replica does not speak the HTTP version of its server's `protocol`.
    WrongProtocol {
        /** the model */
        model: String,
    },
    /// CONNECT: the proxy is not a forward proxy.
    Connect,
    /// The budget for buffered bodies is used up.
    NoRoom,
    /// The memory of the process is short, so nothing more may wait in memory, and the request
    /// would have to.
    MemoryShort,
    /// The queue of held requests is full.
    QueueFull {
        /** the model */
        model: String,
        /** held */
        limit: u32,
        /** until those that wait are through, in seconds */
        retry_after: u32,
    },
    /// The request was held until its deadline.
    HeldTooLong {
        /** the model */
        model: String,
        /** waited */
        seconds: f64,
        /** until a replica may be ready */
        retry_after: u32,
    },
    /// The server could not load the model for this request.
    NotLoaded {
        /** the model */
        model: String,
        /** why, in the server's words */
        why: String,
        /** until it is tried again */
        retry_after: u32,
    },
    /// The manifest says that the model has no replicas.
    SwitchedOff {
        /** the model */
        model: String,
    },
    /// The request was still held when the drain time was over.
    ShuttingDown,
    /// No replica could be reached.
    Unreachable {
        /** the model */
        model: String,
    },
    /// The replica's connection broke before a response.
    UpstreamReset {
        /** the model */
        model: String,
    },
    /// The response's header has too many fields, or too large ones.
    UpstreamHeader {
        /** the model */
        model: String,
    },
    /// The replica took longer than this limit.
    UpstreamSlow(Limit),
    /// The deadline that the caller set has passed.
    PastDeadline,
    /// The request was cancelled through the admin address.
    Cancelled,
    /// The caller was too slow to send its body.
    CallerSlow,
    /// The caller left before the end of its body.
    CallerGone,
}

impl ProxyError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.details().status
    }

    /// The gRPC status.
    #[must_use]
    pub fn code(&self) -> GrpcCode {
        self.details().code
    }

    /// The message for the caller.
    #[must_use]
    pub fn message(&self) -> Cow<'static, str> {
        self.details().message
    }

    /// Whether the request was refused because of its API key, or because it has none.
    #[must_use]
    pub fn is_of_api_key(&self) -> bool {
        matches!(
            self,
            Self::NoApiKey
                | Self::WrongApiKey
                | Self::ExpiredApiKey
                | Self::ModelForbidden { .. }
                | Self::RateLimited { .. }
                | Self::ConcurrencyLimited { .. }
        )
    }

    fn retry_after(&self) -> Option<u32> {
        self.details().retry_after
    }

    /// An error response with the JSON `body`, and the header fields that belong to this error.
    #[must_use]
    pub fn json(&self, body: &serde_json::Value) -> Response<Bytes> {
        let mut response = json(self.status(), body);
        let fields = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Self::Unnamed(Fault::UnknownCoding) => {
                // RFC 9110, 15.5.16: lists the supported codings.
                let known = HeaderValue::from_static("gzip, deflate, br, zstd");
                fields.insert(ACCEPT_ENCODING, known);
            }
            Self::Connect => {
                let allowed = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
                fields.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::NoApiKey | Self::WrongApiKey | Self::ExpiredApiKey => {
                // RFC 9110, 15.5.2: says how to authenticate.
                fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::WrongMethod { allowed } => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    fields.insert(ALLOW, allowed);
                }
            }
            _ => {}
        }
        response
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
