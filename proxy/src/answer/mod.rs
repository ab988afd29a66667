//! Answers that the proxy gives itself, in the form of the Open Inference
//! Protocol: `{"error": "…"}`.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};

use crate::outcome::Outcome;

/// Why the proxy answers in a replica's place.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No model of this name is configured.
    UnknownModel(String),
    /// No model is named.
    NoModel,
    /// The `seldon-model` header is no single name.
    BadModelHeader,
    /// Not exactly one Host.
    BadHost,
    /// CONNECT: this is not a forward proxy.
    Connect,
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
    },
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
    /// The replica took too long to answer.
    UpstreamSlow {
        /** the model */
        model: String,
    },
    /// The caller took too long to send its body.
    CallerSlow,
    /// The caller left within its body.
    CallerGone,
}

impl Failure {
    /// Its status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownModel(_) | Self::NoModel => StatusCode::NOT_FOUND,
            Self::BadModelHeader | Self::BadHost | Self::CallerGone => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::QueueFull { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::HeldTooLong { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreachable { .. } | Self::UpstreamReset { .. } => StatusCode::BAD_GATEWAY,
            Self::UpstreamSlow { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::CallerSlow => StatusCode::REQUEST_TIMEOUT,
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
            | Self::Connect => None,
            Self::QueueFull { .. } => Some(Outcome::QueueFull),
            Self::HeldTooLong { .. } => Some(Outcome::HeldTooLong),
            Self::Unreachable { .. } => Some(Outcome::Unreachable),
            Self::UpstreamReset { .. } => Some(Outcome::UpstreamReset),
            Self::UpstreamSlow { .. } => Some(Outcome::UpstreamSlow),
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
                "no model is named: use /v2/models/{name}/infer or the header seldon-model".into()
            }
            Self::BadModelHeader => "the header seldon-model must name exactly one model".into(),
            Self::BadHost => "an HTTP/1.1 request must have exactly one Host header".into(),
            Self::Connect => "CONNECT is not supported".into(),
            Self::QueueFull { model, limit } => {
                format!(
                    "model {model:?} is overloaded: {limit} requests wait already; try again later"
                )
            }
            Self::HeldTooLong { model, seconds } => {
                format!(
                    "no replica of model {model:?} had room within {seconds} s; try again later"
                )
            }
            Self::Unreachable { model } => {
                format!("no replica of model {model:?} could be reached")
            }
            Self::UpstreamReset { model } => {
                format!("the replica of model {model:?} closed the connection before it answered")
            }
            Self::UpstreamSlow { model } => {
                format!("the replica of model {model:?} took too long to answer")
            }
            Self::CallerSlow => "the request's body took too long to arrive".into(),
            Self::CallerGone => "the request's body ended early".into(),
        }
    }

    /// Seconds after which it makes sense to try again.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::QueueFull { .. } | Self::HeldTooLong { .. } => Some(1),
            Self::Unreachable { .. } => Some(1),
            _ => None,
        }
    }

    /// The response.
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        let mut response = json(
            self.status(),
            &serde_json::json!({ "error": self.message() }),
        );
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if *self == Self::Connect {
            response.headers_mut().insert(
                ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
            );
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
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_the_protocols_json_form() {
        let response = Failure::UnknownModel("a\"b".into()).response();
        assert_eq!(response.status(), 404);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"error": "model \"a\\\"b\" is not served here"})
        );
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let full = Failure::QueueFull {
            model: "m".into(),
            limit: 3,
        }
        .response();
        assert_eq!(
            (
                full.status().as_u16(),
                full.headers()[RETRY_AFTER].to_str().unwrap()
            ),
            (429, "1")
        );
        let late = Failure::HeldTooLong {
            model: "m".into(),
            seconds: 0.5,
        }
        .response();
        assert_eq!(
            (
                late.status().as_u16(),
                late.headers()[RETRY_AFTER].to_str().unwrap()
            ),
            (503, "1")
        );
    }
}
