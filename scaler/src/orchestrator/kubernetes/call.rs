//! One call of the API server.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{api_error::ApiError, cluster::Cluster};
use crate::orchestrator::error_chain::chain;

/// Time limit of one call, without the wait for its turn.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest response body, in bytes. etcd stores no object above 1.5 MiB.
const LARGEST: usize = 8 * 1024 * 1024;

/// Sends `request` and decodes the JSON of the response.
///
/// # Errors
/// [`ApiError`]: an error status, or no usable response within 10 s.
pub(crate) async fn call<T: DeserializeOwned>(
    cluster: &Cluster,
    request: Request<Vec<u8>>,
) -> Result<T, ApiError> {
    let unreachable = |why: String| ApiError::Unreachable(why);
    let _turn = cluster.turn().await;
    let client = cluster.client().await.map_err(|e| {
        let error = unreachable(e.to_string());
        note(cluster, Some(&error));
        error
    })?;
    let answer = async {
        let response = client
            .send(request.map(kube::client::Body::from))
            .await
            .map_err(|e| unreachable(chain(&e)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST)
            .collect()
            .await
            .map_err(|e| unreachable(format!("the response is incomplete: {e}")))?
            .to_bytes();
        if head.status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|e| unreachable(format!("the response cannot be decoded: {e}")));
        }
        Err(ApiError::of_answer(
            head.status.as_u16(),
            &head.headers,
            &body,
        ))
    };
    let answer = timeout(ANSWER, answer)
        .await
        .unwrap_or_else(|_| Err(unreachable(format!("no response within {ANSWER:?}"))));
    note(cluster, answer.as_ref().err());
    if let Err(ApiError::Status { code: 401, .. }) = &answer {
        cluster.renew().await;
    }
    answer
}

/// Tells [`Reachability`](super::reachability::Reachability) how a call ended.
pub(super) fn note(cluster: &Cluster, error: Option<&ApiError>) {
    let reachability = cluster.reachability();
    match error.and_then(ApiError::outage) {
        Some(why) => reachability.failed(why),
        None => reachability.answered(),
    }
}
