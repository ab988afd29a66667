//! Answers that the proxy gives in a replica's place: what went wrong is a [`ProxyError`], and
//! `details` says all that there is to say of each. Each API writes it in its own form, see
//! [`ApiProtocol::error`](super::ApiProtocol::error).

mod details;

use std::borrow::Cow;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER},
};

pub use self::details::ErrorDetails;
use crate::{limits::Limit, protocol::peek::Fault, status::GrpcCode};

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
    /// It is not the callers' to ask for: why.
    Refused(&'static str),
    /// It does not say which model or replica is meant: why.
    NotRouted(&'static str),
    /// The path is there, for other methods.
    WrongMethod {
        /** `GET, HEAD` */
        allowed: String,
    },
    /// Servers differ on what the path means.
    BadPath,
    /// The query names no single model.
    BadModelQuery,
    /// The header and the path name different models.
    TwoModels {
        /** by the header, or before the rest of the path */
        header: String,
        /** by the path */
        path: String,
    },
    /// A probe of a model that has no replica.
    Asleep {
        /** the model */
        model: String,
    },
    /// A probe of a model whose replicas have no room.
    Busy {
        /** the model */
        model: String,
    },
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
        /** until those that wait are through, in seconds */
        retry_after: u32,
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
        self.details().status
    }

    /// Its status in gRPC.
    #[must_use]
    pub fn code(&self) -> GrpcCode {
        self.details().code
    }

    /// What the caller is told.
    #[must_use]
    pub fn message(&self) -> Cow<'static, str> {
        self.details().message
    }

    fn retry_after(&self) -> Option<u32> {
        self.details().retry_after
    }

    /// A response that says so by `body`, with the header fields that go with it.
    #[must_use]
    pub fn json(&self, body: &serde_json::Value) -> Response<Bytes> {
        let mut response = json(self.status(), body);
        let fields = response.headers_mut();
        if let Some(seconds) = self.retry_after() {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Self::Unnamed(Fault::UnknownCoding) => {
                // RFC 9110, 15.5.16: what would be taken.
                let known = HeaderValue::from_static("gzip, deflate, br, zstd");
                fields.insert(ACCEPT_ENCODING, known);
            }
            Self::Connect => {
                let allowed = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
                fields.insert(ALLOW, HeaderValue::from_static(allowed));
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
