//! Reads and writes the `scale` subresource of a workload.

use std::time::Duration;

use http::Request;
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    api_error::ApiError,
    call::call,
    cluster::Cluster,
    error::{Action, scale_error},
    workload::Workload,
};
use crate::orchestrator::ScaleError;

/// The field manager that the API server records for our writes.
pub(super) const FIELD_MANAGER: &str = "tailback";
/// How often a write is tried. A conflict means that somebody else wrote at the same time; as a
/// count is absolute, the write can be repeated.
const TRIES: u32 = 5;

/// The content of the scale subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// How many replicas the workload is asked for.
    pub replicas: u32,
    /// How many replicas exist, ready or not.
    pub present: u32,
    /// The workload's resource version.
    pub version: String,
}

/// `Scale` of `autoscaling/v1`. Counts of 0 may be missing.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Option<Count>,
    #[serde(default)]
    status: Option<Count>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    resource_version: String,
}

#[derive(Deserialize)]
struct Count {
    #[serde(default)]
    replicas: u32,
}

impl From<Body> for Scale {
    fn from(body: Body) -> Self {
        Self {
            replicas: body.spec.map_or(0, |spec| spec.replicas),
            present: body.status.map_or(0, |status| status.replicas),
            version: body.metadata.resource_version,
        }
    }
}

/// Reads the scale subresource of `target`.
pub(super) async fn read(cluster: &Cluster, target: &Workload) -> Result<Scale, ScaleError> {
    let path = format!("{}/scale", target.path());
    let request = Request::get(&path).body(Vec::new());
    let request = request.map_err(|e| ScaleError::Refused(format!("{path}: {e}")))?;
    let body: Body = call(cluster, request)
        .await
        .map_err(|failure| scale_error(failure, &action("get", target)))?;
    Ok(body.into())
}

/// Sets the count of `target` to `replicas`, and returns the count that is set now.
pub(super) async fn write(
    cluster: &Cluster,
    target: &Workload,
    replicas: u32,
) -> Result<Scale, ScaleError> {
    let path = format!("{}/scale?fieldManager={FIELD_MANAGER}", target.path());
    let patch = format!(r#"{{"spec":{{"replicas":{replicas}}}}}"#);
    for attempt in 1.. {
        let request = Request::patch(&path)
            .header("content-type", "application/merge-patch+json")
            .body(patch.clone().into_bytes())
            .map_err(|e| ScaleError::Refused(format!("{path}: {e}")))?;
        match call::<Body>(cluster, request).await {
            Ok(body) => return Ok(body.into()),
            Err(ApiError::Status { code: 409, .. }) if attempt < TRIES => {
                let now = read(cluster, target).await?;
                if now.replicas == replicas {
                    return Ok(now);
                }
                let pause = Duration::from_millis(20) * attempt;
                sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            }
            Err(failure) => return Err(scale_error(failure, &action("patch", target))),
        }
    }
    unreachable!("the loop ends only by returning")
}

fn action<'a>(verb: &'a str, target: &'a Workload) -> Action<'a> {
    Action::Workload {
        verb,
        target,
        subresource: Some("scale"),
    }
}
