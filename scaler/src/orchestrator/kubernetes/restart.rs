//! Restarts a replica: deletes its pod, which its workload replaces. The pod gets its
//! `terminationGracePeriodSeconds` to finish its requests, and gets no new ones meanwhile.

use http::Request;
use serde_json::{Value, json};

use super::{
    call::call,
    cluster::Cluster,
    endpoints::Pod,
    error::{Action, scale_error},
};
use crate::orchestrator::ScaleError;

/// Deletes `pod`, and no other one of its name.
pub(super) async fn delete_pod(
    cluster: &Cluster,
    namespace: &str,
    pod: &Pod,
) -> Result<(), ScaleError> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", pod.name);
    let options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": { "uid": pod.uid },
    });
    let request = Request::delete(&path)
        .header("content-type", "application/json")
        .body(options.to_string().into_bytes())
        .map_err(|e| ScaleError::Refused(format!("{path}: {e}")))?;
    let action = Action::Resource {
        verbs: &["delete"],
        group: "",
        resource: "pods",
        namespace,
    };
    match call::<Value>(cluster, request).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(scale_error(failure, &action)),
    }
}
