//! Discovery of the API: `/version`, `/api`, `/apis` and below.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{
    failure::Failure,
    resource::{Resource, Scope, StatusPart},
};

/// The response for these segments of a path.
///
/// # Errors 404 for an unknown group or version.
pub fn answer(path: &[String], resources: &[Arc<Resource>]) -> Result<Value, Failure> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["version"] => Ok(json!({
            "major": "1",
            "minor": "33",
            "gitVersion": "v1.33.0-tailback-double",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "2025-04-23T00:00:00Z",
            "goVersion": "",
            "compiler": "",
            "platform": "linux/amd64",
        })),
        ["api"] => Ok(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["apis"] => {
            let names: BTreeSet<&str> = resources.iter().map(|r| r.group.as_str()).collect();
            let groups: Result<Vec<Value>, Failure> = names
                .into_iter()
                .filter(|name| !name.is_empty())
                .map(|name| group(name, resources))
                .collect();
            Ok(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups? }))
        }
        ["apis", name] => {
            let mut group = group(name, resources)?;
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            Ok(group)
        }
        ["api", version] => list("", version, resources),
        ["apis", group, version] => list(group, version, resources),
        _ => Err(Failure::no_such_path()),
    }
}

fn group(name: &str, resources: &[Arc<Resource>]) -> Result<Value, Failure> {
    let mut versions: Vec<Value> = Vec::new();
    for resource in resources.iter().filter(|r| r.group == name) {
        let version = json!({
            "groupVersion": resource.api_version(),
            "version": resource.version,
        });
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let preferred = versions
        .first()
        .cloned()
        .ok_or_else(Failure::no_such_path)?;
    Ok(json!({ "name": name, "versions": versions, "preferredVersion": preferred }))
}

fn list(group: &str, version: &str, resources: &[Arc<Resource>]) -> Result<Value, Failure> {
    let found: Vec<&Arc<Resource>> = resources
        .iter()
        .filter(|r| r.group == group && r.version == version)
        .collect();
    let first = found.first().ok_or_else(Failure::no_such_path)?;
    let list: Vec<Value> = found.iter().flat_map(|r| entries(r)).collect();
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": first.api_version(),
        "resources": list,
    }))
}

fn entries(resource: &Resource) -> Vec<Value> {
    let namespaced = resource.scope == Scope::Namespace;
    let mut entries = vec![json!({
        "name": resource.plural,
        "singularName": resource.kind.to_lowercase(),
        "namespaced": namespaced,
        "kind": resource.kind,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": resource.short,
    })];
    let mut sub = |name: &str, group: &str, version: &str, kind: &str| {
        let mut entry = json!({
            "name": format!("{}/{name}", resource.plural),
            "singularName": "",
            "namespaced": namespaced,
            "kind": kind,
            "verbs": ["get", "patch", "update"],
        });
        if !group.is_empty() {
            entry["group"] = group.into();
            entry["version"] = version.into();
        }
        entries.push(entry);
    };
    if resource.status == StatusPart::Subresource {
        sub("status", "", "", &resource.kind);
    }
    if resource.scale.is_some() {
        sub("scale", "autoscaling", "v1", "Scale");
    }
    entries
}
