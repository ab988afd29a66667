//! One request to the API server, and what can come of it.

use std::time::Duration;

use http::{HeaderMap, Request, header::RETRY_AFTER};
use http_body_util::{BodyExt, Limited};
use kube::core::Status;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::cluster::Cluster;
use crate::orchestrator::error_chain::chain;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Most bytes of an answer: etcd keeps no object above 1.5 MiB.
const LARGEST: usize = 8 * 1024 * 1024;

/// Why there is no answer to go on with.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The API server says no.
    Status {
        code: u16,
        message: String,
        /// What it says is at fault, if it does: a resource's name.
        name: String,
        retry_after: Option<Duration>,
    },
    /// It says nothing.
    Unreachable(String),
}

/// Sends `request` and reads its answer.
pub(crate) async fn call<T: DeserializeOwned>(
    cluster: &Cluster,
    request: Request<Vec<u8>>,
) -> Result<T, ApiError> {
    let unreachable = |why: String| ApiError::Unreachable(why);
    let client = cluster
        .client()
        .await
        .map_err(|e| unreachable(e.to_string()))?;
    let answer = async {
        let response = client
            .send(request.map(kube::client::Body::from))
            .await
            .map_err(|e| unreachable(chain(&e)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST)
            .collect()
            .await
            .map_err(|e| unreachable(format!("the answer broke off: {e}")))?
            .to_bytes();
        if head.status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|e| unreachable(format!("the answer cannot be read: {e}")));
        }
        Err(refusal(head.status.as_u16(), &head.headers, &body))
    };
    let answer = timeout(ANSWER, answer)
        .await
        .unwrap_or_else(|_| Err(unreachable(format!("no answer within {ANSWER:?}"))));
    if let Err(ApiError::Status { code: 401, .. }) = &answer {
        cluster.renew().await;
    }
    answer
}

/// What an answer that is no success says: a `Status`, or plain text of what
/// stands before the API server.
fn refusal(code: u16, headers: &HeaderMap, body: &[u8]) -> ApiError {
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
    ApiError::Status {
        code,
        name: details.map_or_else(String::new, |details| details.name.clone()),
        message: status.message,
        retry_after: seconds.map(Duration::from_secs),
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
            } = refusal(429, headers, body)
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
