//! The ways in which a call of the API server fails.

use std::time::Duration;

use http::{HeaderMap, header::RETRY_AFTER};
use kube::core::Status;

/// Why a call of the API server failed.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The API server answered with an error status.
    Status {
        code: u16,
        message: String,
        /// The resource that the server names as the cause; empty if it names none.
        name: String,
        retry_after: Option<Duration>,
    },
    /// There was no response: no connection, no credentials, or a timeout.
    Unreachable(String),
}

// === impl ApiError ===

impl ApiError {
    /// If the API server is away, why: there was no response, or a load balancer in front of it
    /// answered 502, 503 or 504.
    pub(crate) fn outage(&self) -> Option<&str> {
        match self {
            Self::Unreachable(why) => Some(why),
            Self::Status {
                code: 502..=504,
                message,
                ..
            } => Some(message),
            Self::Status { .. } => None,
        }
    }

    /// Reads an error response: a `Status` object, or the plain text of a proxy or load balancer
    /// in front of the API server.
    pub(super) fn of_answer(code: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| {
            let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
            Status::failure(text.trim(), "")
        });
        let details = status.details.as_ref();
        let header = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let seconds = header.or_else(|| {
            let seconds = u64::from(details?.retry_after_seconds);
            (seconds > 0).then_some(seconds)
        });
        Self::Status {
            code,
            name: details.map_or_else(String::new, |details| details.name.clone()),
            message: status.message,
            retry_after: seconds.map(Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_when_to_ask_again_by_header_or_in_its_details() {
        let header = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        let details = br#"{"kind":"Status","status":"Failure","message":"slow down","code":429,
            "details":{"name":"llama","retryAfterSeconds":3}}"#;
        for (headers, body, expected) in [
            (&header, b"Too many requests".as_slice(), Some(7)),
            (&HeaderMap::new(), details, Some(3)),
            (&header, details, Some(7)),
            (&HeaderMap::new(), b"\xff<html>", None),
        ] {
            let ApiError::Status {
                code, retry_after, ..
            } = ApiError::of_answer(429, headers, body)
            else {
                panic!("a status");
            };
            assert_eq!(
                (code, retry_after),
                (429, expected.map(Duration::from_secs))
            );
        }
    }
}
