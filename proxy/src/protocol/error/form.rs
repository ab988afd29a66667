//! A failure in the form that the caller's protocol gives it:
//!
//! | | |
//! |---|---|
//! | Open Inference Protocol | `{"error": "…"}` |
//! | OpenAI | `{"error": {"message", "type", "param", "code"}}` |
//! | gRPC | a status in the fields of an answer without a body |

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::{Value, json};

use super::ProxyError;
use crate::{
    protocol::{ApiProtocol, peek::Fault},
    status::write_status,
};

impl ProxyError {
    /// The response to a caller of this protocol.
    #[must_use]
    pub fn response(&self, api: ApiProtocol) -> Response<Bytes> {
        let message = self.message();
        let mut response = match api {
            ApiProtocol::Inference => super::json(self.status(), &json!({ "error": message })),
            ApiProtocol::OpenAi => super::json(self.status(), &self.openai(&message)),
            ApiProtocol::Grpc if *self == Self::GrpcNeedsHttp2 => {
                super::json(self.status(), &json!({ "error": message }))
            }
            ApiProtocol::Grpc => {
                let mut response = Response::new(Bytes::new());
                let fields = response.headers_mut();
                fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                write_status(fields, self.code(), &message);
                return response;
            }
        };
        if let Some(seconds) = self.retry_after() {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if *self == Self::Unnamed(Fault::UnknownCoding) {
            // RFC 9110, 15.5.16: what would be taken.
            let known = HeaderValue::from_static("gzip, deflate, br, zstd");
            response.headers_mut().insert(ACCEPT_ENCODING, known);
        }
        if *self == Self::Connect {
            response.headers_mut().insert(
                ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
            );
        }
        response
    }

    /// As OpenAI's API reference has it; its clients read `code` and `type`.
    fn openai(&self, message: &str) -> Value {
        let status = self.status();
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            _ if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        };
        let (param, code) = match self {
            Self::UnknownModel(_) => (Value::from("model"), Value::from("model_not_found")),
            Self::Unnamed(_) => (Value::from("model"), Value::Null),
            Self::QueueFull { .. } | Self::NoRoom => {
                (Value::Null, Value::from("rate_limit_exceeded"))
            }
            _ => (Value::Null, Value::Null),
        };
        json!({ "error": { "message": message, "type": kind, "param": param, "code": code } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: &ProxyError, api: ApiProtocol) -> (u16, Value) {
        let response = error.response(api);
        let body = serde_json::from_slice(response.body()).unwrap();
        (response.status().as_u16(), body)
    }

    #[test]
    fn errors_are_in_the_callers_own_form() {
        let unknown = ProxyError::UnknownModel("a\"b".into());
        let message = "model \"a\\\"b\" is not served here";
        assert_eq!(
            body(&unknown, ApiProtocol::Inference),
            (404, json!({ "error": message }))
        );
        assert_eq!(
            body(&unknown, ApiProtocol::OpenAi),
            (
                404,
                json!({ "error": {
                    "message": message, "type": "invalid_request_error",
                    "param": "model", "code": "model_not_found",
                } })
            )
        );
        let response = unknown.response(ApiProtocol::Grpc);
        assert_eq!(
            (response.status().as_u16(), response.body().len()),
            (200, 0)
        );
        assert_eq!(response.headers()["grpc-status"], "5");
        assert_eq!(response.headers()["grpc-message"], message);
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let full = ProxyError::QueueFull {
            model: "m".into(),
            limit: 3,
            retry_after: 1,
        };
        let late = ProxyError::HeldTooLong {
            model: "m".into(),
            seconds: 0.5,
            retry_after: 90,
        };
        for (error, status, code, after) in [(full, 429, "8", "1"), (late, 503, "14", "90")] {
            for api in [ApiProtocol::Inference, ApiProtocol::OpenAi] {
                let response = error.response(api);
                assert_eq!(response.status().as_u16(), status);
                assert_eq!(response.headers()[RETRY_AFTER], after);
            }
            let response = error.response(ApiProtocol::Grpc);
            assert_eq!(response.headers()["grpc-status"], code);
        }
    }
}
