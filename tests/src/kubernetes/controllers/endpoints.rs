//! EndpointSlices: the pods of a Service and how each of them is (endpointslice,
//! `utils.go`: `podToEndpoint`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{all, owner_reference};
use crate::kubernetes::{
    Shared, meta,
    registry::{Deletion, Subresource},
    selector::Selector,
    store::Key,
};

const SLICES: &str = "endpointslices.discovery.k8s.io";
const SERVICE: &str = "kubernetes.io/service-name";

/// Endpoints a slice takes, as kube-controller-manager's own default.
const SLICE_SIZE: usize = 100;

pub(super) fn reconcile(shared: &Shared) {
    for (key, service) in all(shared, "services") {
        let selector = meta::map(&service, "/spec/selector");
        if selector.is_empty() || meta::is_terminating(&service) {
            continue;
        }
        let selector = Selector::from_labels(selector);
        let pods: Vec<Arc<Value>> = shared
            .list("pods", &key.namespace)
            .into_iter()
            .filter(|pod| {
                selector.matches(pod) && has_address(pod) && has_node(shared, pod, &service)
            })
            .collect();
        reconcile_one(shared, &key, &service, &pods);
    }
}

fn reconcile_one(shared: &Shared, key: &Key, service: &Value, pods: &[Arc<Value>]) {
    let slices: Vec<Arc<Value>> = shared
        .list(SLICES, &key.namespace)
        .into_iter()
        .filter(|slice| slice["metadata"]["labels"][SERVICE] == *key.name)
        .filter(|slice| {
            slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == MANAGER
        })
        .collect();
    let ports = ports(service, pods.first().map(|pod| &**pod));
    // Without endpoints there is still a slice, with neither ports nor
    // endpoints: nulls, since Go leaves an empty list so.
    let wanted: Vec<(Value, Value)> = if pods.is_empty() {
        vec![(Value::Null, Value::Null)]
    } else {
        let publish = service["spec"]["publishNotReadyAddresses"] == true;
        let chunks = pods.chunks(SLICE_SIZE);
        chunks
            .map(|pods| {
                let endpoints = pods.iter().map(|pod| endpoint(pod, publish)).collect();
                (ports.clone(), Value::Array(endpoints))
            })
            .collect()
    };
    for (index, (ports, endpoints)) in wanted.iter().enumerate() {
        match slices.get(index) {
            Some(slice) if slice["ports"] == *ports && slice["endpoints"] == *endpoints => {}
            Some(slice) => {
                let key = Key::new(SLICES, &key.namespace, meta::name(slice));
                replace(shared, &key, ports, endpoints);
            }
            None => {
                let _ = shared.create(slice(service, ports, endpoints));
            }
        }
    }
    for slice in slices.iter().skip(wanted.len()) {
        let key = Key::new(SLICES, &key.namespace, meta::name(slice));
        let _ = shared.delete(&key, &Deletion::default());
    }
}

/// A merge patch cannot write nulls, which the real controller does.
fn replace(shared: &Shared, key: &Key, ports: &Value, endpoints: &Value) {
    let resource = shared.resource(SLICES);
    let write = shared.write(&resource, "kube-controller-manager");
    let _ = shared.store.transact(|state| {
        write.change(state, key, Subresource::Main, |old| {
            let mut slice = old.clone();
            slice["ports"] = ports.clone();
            slice["endpoints"] = endpoints.clone();
            Ok(slice)
        })
    });
}

const MANAGER: &str = "endpointslice-controller.k8s.io";

fn slice(service: &Value, ports: &Value, endpoints: &Value) -> Value {
    let name = meta::name(service);
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{name}-"),
            "namespace": meta::get(service, "namespace"),
            "labels": {
                SERVICE: name,
                "endpointslice.kubernetes.io/managed-by": MANAGER,
            },
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": endpoints,
    })
}

fn endpoint(pod: &Value, publish_not_ready: bool) -> Value {
    let is_ready = meta::has_condition(pod, "Ready");
    let is_terminating = meta::is_terminating(pod);
    json!({
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": publish_not_ready || (is_ready && !is_terminating),
            "serving": publish_not_ready || is_ready,
            "terminating": is_terminating,
        },
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod",
            "namespace": meta::get(pod, "namespace"),
            "name": meta::name(pod),
            "uid": meta::get(pod, "uid"),
        },
    })
}

fn has_address(pod: &Value) -> bool {
    let is_over = matches!(
        pod["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    );
    pod["status"]["podIP"].is_string() && !is_over
}

/// Pods of nodes that there are not are left out, unless all addresses are to be
/// published: as by the real controller.
fn has_node(shared: &Shared, pod: &Value, service: &Value) -> bool {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let is_known = shared
        .store
        .lock()
        .get(&Key::new("nodes", "", node))
        .is_some();
    is_known || service["spec"]["publishNotReadyAddresses"] == true
}

/// The Service's ports where its pods have them; named ones looked up in the
/// pod's containers.
fn ports(service: &Value, pod: Option<&Value>) -> Value {
    let containers = pod.map_or(&[][..], |pod| meta::list(pod, "/spec/containers"));
    let number = |target: &Value| match target.as_str() {
        None => Some(target.clone()),
        Some(name) => containers
            .iter()
            .flat_map(|container| meta::list(container, "/ports"))
            .find(|port| port["name"] == name)
            .map(|port| port["containerPort"].clone()),
    };
    meta::list(service, "/spec/ports")
        .iter()
        .filter_map(|port| {
            Some(json!({
                "name": port["name"].as_str().unwrap_or_default(),
                "port": number(&port["targetPort"])?,
                "protocol": port["protocol"],
            }))
        })
        .collect()
}
