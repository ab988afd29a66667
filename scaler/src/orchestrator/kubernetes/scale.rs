//! The `scale` subresource: asked for an absolute count, and read back.

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

/// Whose fields we set, as the API server notes it.
pub(super) const FIELD_MANAGER: &str = "tailback";
/// A count is absolute: a conflict is somebody else's write between ours, and
/// the next try is as good as the first.
const TRIES: u32 = 5;

/// What the scale subresource says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// Asked for.
    pub replicas: u32,
    /// There, whether ready or not.
    pub present: u32,
    /// The workload's resource version.
    pub version: String,
}

/// As `autoscaling/v1` has it. Counts that are 0 may be left out.
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

/// Reads it.
pub(super) async fn read(cluster: &Cluster, target: &Workload) -> Result<Scale, ScaleError> {
    let path = format!("{}/scale", target.path());
    let request = Request::get(&path).body(Vec::new());
    let request = request.map_err(|e| ScaleError::Refused(format!("{path}: {e}")))?;
    let body: Body = call(cluster, request)
        .await
        .map_err(|failure| scale_error(failure, &action("get", target)))?;
    Ok(body.into())
}

/// Asks for `replicas`, and returns what is asked for now.
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
