//! A Kubernetes cluster to try Tailback on without one: the API server double
//! with a Deployment whose pods are sample servers on this machine.
//!
//! ```sh
//! cargo build --package tailback --bin tailback --example sample-server
//! cargo run --package tailback-tests --bin kube-double
//! ```

use std::{env, fs, path::PathBuf, thread};

use serde_json::json;
use tailback_tests::kubernetes::{Double, controllers::kubelet::Kubelet};

const HELP: &str = "kube-double [ADDRESS [FOLDER]]
  ADDRESS  where the API server listens; 127.0.0.1:8001 if not given
  FOLDER   where kubeconfig and tailback.yaml are written; target/kube-double if not given";

const MANIFESTS: &str = "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: sample }
spec:
  concurrency: 4
  maxReplicas: 4
  kubernetes:
    apiVersion: apps/v1
    kind: Deployment
    name: sample
    namespace: default
    service: { name: sample, port: http }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: simple }
spec: { server: sample, minReplicas: 0 }
";

fn main() -> std::io::Result<()> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8001".into());
    let Ok(address) = address.parse() else {
        println!("{HELP}");
        return Ok(());
    };
    let folder = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| "target/kube-double".into()),
    );

    let double = Double::listen(address);
    let service_time = [
        "--model",
        "simple",
        "--service-time-ms",
        "200",
        "--start-up-ms",
        "500",
    ];
    double.run_controllers(Kubelet::sample_servers(8080, &service_time));
    let rbac = "rbac.authorization.k8s.io/v1";
    for object in [
        // kubectl sends no token without TLS, so whoever asks may all.
        json!({
            "apiVersion": rbac, "kind": "ClusterRole", "metadata": { "name": "all" },
            "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }],
        }),
        json!({
            "apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": { "name": "all" },
            "subjects": [
                { "kind": "Group", "name": "system:unauthenticated" },
                { "kind": "Group", "name": "system:authenticated" },
            ],
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all" },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "sample", "namespace": "default" },
            "spec": {
                "replicas": 0,
                "selector": { "matchLabels": { "app": "sample" } },
                "template": {
                    "metadata": { "labels": { "app": "sample" } },
                    "spec": { "containers": [{
                        "name": "server", "image": "none",
                        "ports": [{ "name": "http", "containerPort": 8080 }],
                    }] },
                },
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "sample", "namespace": "default" },
            "spec": {
                "selector": { "app": "sample" },
                "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
            },
        }),
    ] {
        double
            .create(object)
            .map_err(|refused| std::io::Error::other(refused.message))?;
    }

    fs::create_dir_all(&folder)?;
    let kubeconfig = folder.join("kubeconfig");
    let manifests = folder.join("tailback.yaml");
    fs::write(&kubeconfig, double.tailback("default").kubeconfig())?;
    fs::write(&manifests, MANIFESTS)?;
    let (kubeconfig, manifests) = (kubeconfig.display(), manifests.display());
    println!("API server on http://{}", double.address());
    println!("  KUBECONFIG={kubeconfig} target/debug/tailback serve {manifests}");
    println!("  KUBECONFIG={kubeconfig} kubectl get deployments,pods,endpointslices");
    loop {
        thread::park();
    }
}
