//! Proxies in a cluster: what they may do there, what they serve, and how they
//! find each other.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tailback_tests::process::Tailback;

use crate::{
    access,
    cluster::{Cluster, NAME},
};

/// Variables for fast decisions and scale-down without a wait.
const QUICK: &[(&str, &str)] = &[
    ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "6"),
    ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "1"),
    ("SELDON_SCALING_STATS_PERIOD_SECONDS", "1"),
    ("TAILBACK_SCALING_STABILITY_SECONDS", "1"),
];

impl Cluster {
    /// A service account `tailback` that may do what these rules say, and what
    /// proxies need to ask as it, once that is in force.
    pub fn grant(&self, rules: &Value) {
        for object in access::account("tailback", &self.namespace, rules) {
            self.apply(object);
        }
    }

    /// A proxy, as that account, with `model` in the model's spec.
    #[must_use]
    pub fn serve(&self, model: &str, variables: &[(&str, &str)]) -> Tailback {
        let token = self
            .runtime
            .block_on(access::token(&self.client, &self.namespace, "tailback"));
        let config = self
            .access
            .kubeconfig(self.relay.address, &self.namespace, &token);
        let path = self.folder.path().join("config");
        std::fs::write(&path, config).expect("a kubeconfig");
        let kubeconfig = [("KUBECONFIG", path.to_str().expect("a path"))];
        Tailback::start(
            &self.manifests(model),
            &[QUICK, &kubeconfig, variables].concat(),
        )
    }

    /// Changes the model's spec of a proxy that serves it.
    pub fn rewrite(&self, proxy: &Tailback, model: &str) {
        proxy.rewrite(&self.manifests(model));
    }

    fn manifests(&self, model: &str) -> String {
        let namespace = &self.namespace;
        format!(
            "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: {NAME} }}
spec:
  concurrency: 4
  maxReplicas: 3
  kubernetes:
    apiVersion: apps/v1
    kind: Deployment
    name: {NAME}
    namespace: {namespace}
    service: {{ name: {NAME}, port: http }}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {NAME} }}
spec: {{ server: {NAME}, {model} }}
"
        )
    }

    /// The Service `peers`, with these admin addresses behind it.
    pub fn list_peers(&self, proxies: &[SocketAddr]) {
        self.apply(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "peers" },
            "spec": { "clusterIP": "None", "ports": [{ "name": "admin", "port": 9006, "protocol": "TCP" }] },
        }));
        // One slice each: all endpoints of a slice have the same ports.
        for (index, proxy) in proxies.iter().enumerate() {
            self.apply(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("peers-{index}"),
                    "labels": { "kubernetes.io/service-name": "peers" },
                },
                "addressType": "IPv4",
                "ports": [{ "name": "admin", "port": proxy.port(), "protocol": "TCP" }],
                "endpoints": [{
                    "addresses": [proxy.ip()],
                    "conditions": { "ready": true, "serving": true, "terminating": false },
                }],
            }));
        }
    }
}
