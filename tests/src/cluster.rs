//! A cluster for tests of the proxy: the API server double with a workload `llama`, most often a
//! Deployment, its Service, and pods that are sample servers.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    http::Client,
    kubernetes::{Credential, Double, controllers::kubelet::Kubelet},
    process::Tailback,
};

/// The namespace of all objects.
pub const NAMESPACE: &str = "models";

/// The cluster, and the kubeconfig for proxies.
pub struct Cluster {
    /// The API server.
    pub double: Double,
    folder: TempDir,
    /// The workload's resource.
    resource: &'static str,
}

/// Variables for fast decisions and scale-down without a wait.
pub const QUICK: &[(&str, &str)] = &[
    ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "6"),
    ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "1"),
    ("SELDON_SCALING_STATS_PERIOD_SECONDS", "1"),
    ("TAILBACK_SCALING_STABILITY_SECONDS", "1"),
];

impl Cluster {
    /// A cluster with a Deployment of `replicas` pods, which are sample servers of the model `m`.
    /// An inference takes `milliseconds`.
    ///
    /// # Panics
    /// If there is no folder for the kubeconfig.
    #[must_use]
    pub fn start(replicas: u32, milliseconds: &str) -> Self {
        let arguments = ["--model", "m", "--service-time-ms", milliseconds];
        Self::start_with("Deployment", replicas, &arguments)
    }

    /// A cluster with a workload of `replicas` pods, which are sample servers with these
    /// arguments. `kind` is `Deployment` or `StatefulSet`.
    ///
    /// # Panics
    /// If there is no folder for the kubeconfig.
    #[must_use]
    pub fn start_with(kind: &str, replicas: u32, arguments: &[&str]) -> Self {
        let cluster = Self::of(kind, replicas);
        cluster
            .double
            .run_controllers(Kubelet::sample_servers(8080, arguments));
        cluster
    }

    /// As [`start`](Self::start), without controllers that create pods.
    ///
    /// # Panics
    /// If there is no folder for the kubeconfig.
    #[must_use]
    pub fn without_pods(replicas: u32) -> Self {
        Self::of("Deployment", replicas)
    }

    fn of(kind: &str, replicas: u32) -> Self {
        let double = Double::start();
        double.create_namespace(NAMESPACE);
        let workload = workload(kind, replicas);
        double.create(workload).expect("a workload");
        double.create(service()).expect("a Service");
        let folder = tempfile::tempdir().expect("a folder");
        let resource = match kind {
            "StatefulSet" => "statefulsets.apps",
            _ => "deployments.apps",
        };
        let cluster = Self {
            double,
            folder,
            resource,
        };
        cluster.log_in(&cluster.double.tailback(NAMESPACE).kubeconfig());
        cluster
    }

    /// Sets the kubeconfig of proxies that start from now on.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn log_in(&self, kubeconfig: &str) {
        fs::write(self.folder.path().join("config"), kubeconfig).expect("a kubeconfig");
    }

    /// Gives proxies that start from now on the token in a file, as in a pod. Returns the file's
    /// path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn log_in_by_file(&self, credential: &Credential) -> std::path::PathBuf {
        let file = self.folder.path().join("token");
        fs::write(&file, &credential.token).expect("a token");
        self.log_in(&credential.kubeconfig_with_token_file(&file));
        file
    }

    /// Starts a proxy that serves these manifests in the cluster.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn serve(&self, manifests: &str) -> Tailback {
        self.serve_with(manifests, &[])
    }

    /// As [`serve`](Self::serve), with further environment variables.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn serve_with(&self, manifests: &str, variables: &[(&str, &str)]) -> Tailback {
        let config = self.folder.path().join("config");
        let config = [("KUBECONFIG", config.to_str().expect("a path"))];
        Tailback::start(manifests, &[QUICK, &config, variables].concat())
    }

    /// `spec.replicas` of the workload.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn replicas(&self) -> u64 {
        let workload = self.double.get(self.resource, NAMESPACE, "llama");
        let workload = workload.expect("the workload");
        workload["spec"]["replicas"].as_u64().unwrap_or(0)
    }

    /// Sets `spec.replicas` as somebody other than the proxy.
    ///
    /// # Panics
    /// If that is refused.
    pub fn set_replicas(&self, replicas: u32) {
        let patch = json!({ "spec": { "replicas": replicas } });
        self.double
            .merge(self.resource, NAMESPACE, "llama", &patch)
            .expect("a count");
    }

    /// The pods' names, addresses and annotations.
    #[must_use]
    pub fn pods(&self) -> Vec<Value> {
        let pods = self.double.list("pods", NAMESPACE);
        pods.iter().map(|pod| (**pod).clone()).collect()
    }

    /// The status codes of responses to scale requests.
    #[must_use]
    pub fn scale_answers(&self) -> Vec<u16> {
        let asked = self.double.asked().into_iter();
        asked
            .filter(|asked| asked.verb == "patch" && asked.resource.ends_with("/scale"))
            .map(|asked| asked.code)
            .collect()
    }
}

/// Manifests of the Deployment as a server, and of the model `m` with the fields in `model`.
#[must_use]
pub fn manifests(model: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: llama }}
spec:
  concurrency: 4
  maxReplicas: 3
  kubernetes:
    name: llama
    service: {{ name: llama, port: http }}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m }}
spec:
  server: llama
  {model}
"
    )
}

/// Sends one inference and returns the response's status.
///
/// # Panics If there is no response.
#[must_use]
pub fn infer(proxy: SocketAddr) -> u16 {
    let mut client = Client::connect(proxy).expect("a connection");
    let answer = client.call("POST", "/v2/models/m/infer", &[], BODY);
    answer.expect("an answer").status
}

/// The desired count of `m`, as the proxy shows it.
#[must_use]
pub fn desired(proxy: &Tailback) -> Value {
    proxy.model("m")["replicas"]["desired"].clone()
}

/// The newest decision.
#[must_use]
pub fn last_decision(proxy: &Tailback) -> Value {
    proxy.page("/decisions")["decisions"][0].clone()
}

/// The body of an inference.
pub const BODY: &[u8] = include_bytes!("../../examples/infer.json");

fn workload(kind: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": "llama", "namespace": NAMESPACE },
        "spec": {
            "replicas": replicas,
            "serviceName": "llama",
            "selector": { "matchLabels": { "app": "llama" } },
            "template": {
                "metadata": { "labels": { "app": "llama" } },
                "spec": {
                    "terminationGracePeriodSeconds": 600,
                    "containers": [{
                        "name": "server",
                        "image": "none",
                        "ports": [{ "name": "http", "containerPort": 8080 }],
                    }],
                },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "llama", "namespace": NAMESPACE },
        "spec": {
            "selector": { "app": "llama" },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
        },
    })
}
