//! Finds the API resource of the kind in a manifest. Asks the cluster about kinds that are not
//! well known.

use http::Request;
use serde::Deserialize;
use tailback_config::KubernetesSpec;

use super::{
    api_error::ApiError,
    call::call,
    cluster::Cluster,
    error::{Action, scale_error},
    workload::{CountAt, Workload},
};
use crate::orchestrator::ScaleError;

/// Kinds with a known resource and with their count in `spec.replicas`: group, kind, resource.
const WELL_KNOWN: &[(&str, &str, &str)] = &[
    ("apps", "Deployment", "deployments"),
    ("apps", "StatefulSet", "statefulsets"),
    ("apps", "ReplicaSet", "replicasets"),
    ("", "ReplicationController", "replicationcontrollers"),
    ("mlops.seldon.io", "Model", "models"),
];

#[derive(Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    kind: String,
    #[serde(default)]
    namespaced: bool,
}

/// The workload that `spec` names, in `namespace`. The model's name is already filled in.
///
/// # Errors [`ScaleError`]: the cluster has no such kind, the kind has no scale subresource, or the API server does not answer.
pub(super) async fn resolve(
    cluster: &Cluster,
    spec: &KubernetesSpec,
    namespace: &str,
) -> Result<Workload, ScaleError> {
    let (group, version) = match spec.api_version.split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", &*spec.api_version),
    };
    let mut workload = Workload {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: spec.kind.clone(),
        resource: String::new(),
        namespace: namespace.to_owned(),
        name: spec.name.clone(),
        count_at: CountAt::Spec,
    };
    let known = WELL_KNOWN
        .iter()
        .find(|(g, kind, _)| (*g, *kind) == (group, &*spec.kind));
    if let Some((_, _, resource)) = known {
        workload.resource = (*resource).to_owned();
        return Ok(workload);
    }
    workload.count_at = CountAt::Scale;
    workload.resource = discover(cluster, &workload).await?;
    Ok(workload)
}

/// Asks the cluster for the resource of the workload's kind.
async fn discover(cluster: &Cluster, workload: &Workload) -> Result<String, ScaleError> {
    let path = workload.group_path();
    let request = Request::get(&path).body(Vec::new());
    let request = request.map_err(|e| ScaleError::Refused(format!("{path}: {e}")))?;
    let api_version = path
        .trim_start_matches("/apis/")
        .trim_start_matches("/api/");
    let found: Resources = match call(cluster, request).await {
        Ok(found) => found,
        Err(ApiError::Status { code: 404, .. }) => {
            return Err(ScaleError::Refused(format!(
                "the cluster has no API {api_version}: install what defines the kind {}, or change apiVersion",
                workload.kind
            )));
        }
        Err(failure) => return Err(scale_error(failure, &Action::Discover(api_version))),
    };
    let kind = &workload.kind;
    let resource = found
        .resources
        .iter()
        .find(|resource| resource.kind == *kind && !resource.name.contains('/'))
        .ok_or_else(|| {
            ScaleError::Refused(format!(
                "the API {api_version} has no kind {kind}: check kind and apiVersion"
            ))
        })?;
    if !resource.namespaced {
        return Err(ScaleError::Refused(format!(
            "{kind} ({api_version}) is cluster-wide; expected a kind whose objects are in a namespace"
        )));
    }
    let scale = format!("{}/scale", resource.name);
    if !found.resources.iter().any(|other| other.name == scale) {
        return Err(ScaleError::Refused(format!(
            "{kind} ({api_version}) has no scale subresource, so its replicas cannot be scaled; choose a kind that has one"
        )));
    }
    Ok(resource.name.clone())
}
