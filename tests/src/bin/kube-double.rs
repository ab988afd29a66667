//! A Kubernetes cluster to try Tailback on without one: the API server double
//! with a Deployment whose pods are sample servers on this machine. `make
//! kube-double` builds all that it takes, and runs it.

use std::{
    convert::Infallible,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use serde_json::json;
use tailback_tests::{
    kubernetes::{Double, controllers::kubelet::Kubelet},
    process,
};

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

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let address = words.next().unwrap_or_else(|| "127.0.0.1:8001".into());
    if matches!(&*address, "-h" | "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let folder = words.next().unwrap_or_else(|| "target/kube-double".into());
    let Err(error) = run(&address, &PathBuf::from(folder));
    eprintln!("kube-double: {error}");
    ExitCode::FAILURE
}

/// Serves until the process is ended, or says what keeps it from that.
fn run(address: &str, folder: &Path) -> Result<Infallible, String> {
    let address: SocketAddr = address.parse().map_err(|_| {
        format!("found {address:?}, expected an address and a port such as 127.0.0.1:8001\n{HELP}")
    })?;
    // Pods are of the one, and the other is what all this is for.
    process::program("sample-server")?;
    let tailback = process::program("tailback")?;

    let double = Double::listen(address).map_err(|error| {
        format!("cannot listen on {address}: {error}; give another address, as in: kube-double 127.0.0.1:8002")
    })?;
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
        double.create(object).map_err(|refused| refused.message)?;
    }

    let kubeconfig = folder.join("kubeconfig");
    let manifests = folder.join("tailback.yaml");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&kubeconfig, double.tailback("default").kubeconfig()))
        .and_then(|()| fs::write(&manifests, MANIFESTS))
        .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
    let (kubeconfig, manifests) = (kubeconfig.display(), manifests.display());
    let tailback = tailback.display();
    println!(
        "API server on http://{}. From other terminals:",
        double.address()
    );
    println!("  KUBECONFIG={kubeconfig} {tailback} serve {manifests}");
    println!("  curl http://127.0.0.1:9000/v2/models/simple/infer --data @examples/infer.json");
    println!("  KUBECONFIG={kubeconfig} kubectl get deployments,pods,endpointslices");
    loop {
        thread::park();
    }
}
