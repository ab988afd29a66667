//! One request to the API server and its answer.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{api_error::ApiError, cluster::Cluster};
use crate::orchestrator::error_chain::chain;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Most bytes of an answer: etcd keeps no object above 1.5 MiB.
const LARGEST: usize = 8 * 1024 * 1024;

/// Sends `request` and reads its answer.
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
            .map_err(|e| unreachable(format!("the answer broke off: {e}")))?
            .to_bytes();
        if head.status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|e| unreachable(format!("the answer cannot be read: {e}")));
        }
        Err(ApiError::of_answer(
            head.status.as_u16(),
            &head.headers,
            &body,
        ))
    };
    let answer = timeout(ANSWER, answer)
        .await
        .unwrap_or_else(|_| Err(unreachable(format!("no answer within {ANSWER:?}"))));
    note(cluster, answer.as_ref().err());
    if let Err(ApiError::Status { code: 401, .. }) = &answer {
        cluster.renew().await;
    }
    answer
}

/// Notes whether the API server answered, with `error` or without one.
pub(super) fn note(cluster: &Cluster, error: Option<&ApiError>) {
    let reachability = cluster.reachability();
    match error.and_then(ApiError::outage) {
        Some(why) => reachability.failed(why),
        None => reachability.answered(),
    }
}
