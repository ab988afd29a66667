//! The cluster of a scenario: the API server double, or with `TAILBACK_TEST_KUBE=1` that of the
//! current kubeconfig.
//!
//! In both, kube-rs creates a namespace, a fake node, and a Deployment on it, whose pods this
//! process runs, or pretends to run, as their kubelet. No image is pulled. Dropping the cluster
//! deletes everything.

use std::{env, net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    },
};
use serde_json::{Value, json};
use tailback_tests::{
    kubernetes::{
        Double,
        controllers::{kubelet::Kubelet, programs::Programs},
        meta,
    },
    relay::Relay,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{access::Access, addresses, pods};

/// The Deployment, its Service and the model on it.
pub const NAME: &str = "llama";

/// Where pods listen.
const PORT: u16 = 8080;

/// By which a ReplicaSet chooses the pods that go.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The label of what one run of `make test-kube` makes.
const RUN: &str = "tailback.dev/test-run";

fn run() -> String {
    env::var("TAILBACK_TEST_RUN").unwrap_or_else(|_| "by-hand".into())
}

/// What is at the other end.
#[derive(Debug)]
enum Kind {
    Double(#[expect(dead_code, reason = "it runs as long as it is kept")] Double),
    Real,
}

/// The cluster of a scenario.
pub struct Cluster {
    kind: Kind,
    pub(crate) runtime: Runtime,
    pub(crate) client: Client,
    pub(crate) access: Access,
    /// The namespace of all objects, and the node's name.
    pub namespace: String,
    /// The way of proxies to the API server.
    pub relay: Relay,
    addresses: Result<Vec<IpAddr>, String>,
    programs: Arc<Programs>,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Finds or makes it, with the Deployment at so many replicas.
    pub fn start(replicas: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let is_real = env::var("TAILBACK_TEST_KUBE").is_ok_and(|v| v == "1");
        let (kind, access) = if is_real {
            (Kind::Real, Access::current())
        } else {
            let double = Double::start();
            double.run_controllers(Kubelet::ByHand);
            let access = Access::to_double(&double.admin());
            (Kind::Double(double), access)
        };
        let client = runtime.block_on(access.client());
        let addresses = match kind {
            Kind::Double(_) => Ok(addresses::loopback()),
            Kind::Real => addresses::routable(),
        };
        let cluster = Self {
            relay: Relay::to(&access.host()),
            kind,
            runtime,
            client,
            access,
            namespace: format!("tailback-test-{}", meta::suffix(6)),
            addresses,
            programs: Arc::default(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        if is_real {
            eprintln!("on {}: {}", cluster.access.host(), cluster.namespace);
        }
        cluster.prepare(replicas);
        cluster
    }

    fn prepare(&self, replicas: u32) {
        let labels = json!({ RUN: run() });
        let metadata = json!({ "name": self.namespace, "labels": labels });
        self.apply(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }));
        // Real EndpointSlices leave out pods of nodes that there are not.
        self.apply(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": metadata,
            "spec": { "taints": [{ "key": "tailback.dev/test", "effect": "NoExecute" }] },
        }));
        self.runtime
            .spawn(pods::keep_node(self.client.clone(), self.namespace.clone()));
        self.apply(self.deployment(replicas));
        self.apply(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": NAME },
            "spec": {
                "selector": { "app": NAME },
                "ports": [{ "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP" }],
            },
        }));
    }

    fn deployment(&self, replicas: u32) -> Value {
        let selected = json!({ "app": NAME });
        let labels = json!({ "app": NAME, RUN: run() });
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAME },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": selected },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": {
                        "nodeName": self.namespace,
                        "tolerations": [{ "operator": "Exists" }],
                        "terminationGracePeriodSeconds": 20,
                        "automountServiceAccountToken": false,
                        "containers": [{
                            "name": "server",
                            "image": "tailback.invalid/none",
                            "ports": [{ "name": "http", "containerPort": PORT, "protocol": "TCP" }],
                        }],
                    },
                },
            },
        })
    }

    // === the pods ===

    /// Runs the pods as sample servers that an inference takes `milliseconds`;
    /// none where they can have no addresses, which is said.
    #[must_use]
    pub fn run_pods(&self, milliseconds: &str) -> Option<()> {
        let addresses = self.addresses()?;
        let arguments = ["--model", NAME, "--service-time-ms", milliseconds];
        self.look_after(Kubelet::sample_servers_at(addresses, PORT, &arguments));
        Some(())
    }

    /// Says of the pods that they run, at addresses that nobody has.
    pub fn pretend_pods(&self) {
        self.look_after(Kubelet::Pretend {
            start: Duration::from_millis(50),
            stop: Duration::from_millis(50),
        });
    }

    fn look_after(&self, kubelet: Kubelet) {
        let pods = self.api::<Pod>();
        let programs = self.programs.clone();
        self.runtime.spawn(async move {
            kubelet.run(pods::ClientPods::follow(pods), programs).await;
        });
    }

    /// Addresses of this machine that EndpointSlices of the cluster take, without
    /// those of [`Self::hosts`].
    fn addresses(&self) -> Option<Vec<IpAddr>> {
        match &self.addresses {
            Ok(addresses) => Some(addresses[..addresses.len() - 2].to_vec()),
            Err(why) => {
                eprintln!("SKIPPED, as pods can have no addresses here: {why}");
                None
            }
        }
    }

    /// Two more, for proxies that find each other by EndpointSlices.
    #[must_use]
    pub fn hosts(&self) -> Option<[IpAddr; 2]> {
        self.addresses()?;
        let all = self.addresses.as_ref().ok()?;
        all.last_chunk().copied()
    }

    // === the Deployment ===

    /// `spec.replicas`.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        let deployment = self.runtime.block_on(self.api::<Deployment>().get(NAME));
        let spec = deployment.expect("the Deployment").spec;
        spec.and_then(|spec| spec.replicas).unwrap_or(0)
    }

    /// Sets `spec.replicas` as the field manager `manager`.
    pub fn set_replicas(&self, replicas: i32, manager: &str) {
        let params = PatchParams {
            field_manager: Some(manager.into()),
            ..Default::default()
        };
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        let deployments = self.api::<Deployment>();
        let done = self
            .runtime
            .block_on(deployments.patch_scale(NAME, &params, &patch));
        done.expect("a count");
    }

    /// Deletes the Deployment, and waits until it is gone.
    pub fn delete_deployment(&self) {
        let deployments = self.api::<Deployment>();
        let params = DeleteParams::default();
        let deleted = self.runtime.block_on(deployments.delete(NAME, &params));
        deleted.expect("the deletion");
        crate::eventually("that the Deployment is gone", || {
            let found = self.runtime.block_on(deployments.get_opt(NAME));
            found.expect("an answer").is_none()
        });
    }

    /// Makes it anew.
    pub fn make_deployment(&self, replicas: u32) {
        self.apply(self.deployment(replicas));
    }

    /// Marks a pod with a deletion cost, as a proxy that leads does.
    pub fn mark_pod(&self, name: &str, cost: &str) {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { COST: cost } } }));
        let pods = self.api::<Pod>();
        let params = PatchParams::default();
        let marked = self.runtime.block_on(pods.patch(name, &params, &patch));
        marked.expect("a mark");
    }

    /// The pods' names, sorted, each with its deletion cost.
    #[must_use]
    pub fn costs(&self) -> Vec<(String, Option<String>)> {
        let pods = self.api::<Pod>();
        let params = ListParams::default();
        let listed = self.runtime.block_on(pods.list(&params));
        let cost = |pod: Pod| {
            let annotations = pod.metadata.annotations.unwrap_or_default();
            let name = pod.metadata.name.expect("a name");
            (name, annotations.get(COST).cloned())
        };
        let mut costs: Vec<_> = listed.expect("pods").into_iter().map(cost).collect();
        costs.sort();
        costs
    }

    /// How many pods there are.
    #[must_use]
    pub fn pods(&self) -> usize {
        let pods = self
            .runtime
            .block_on(self.api::<Pod>().list(&ListParams::default()));
        pods.expect("pods").items.len()
    }

    // === objects ===

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies an object of the namespace, or a Namespace or Node.
    pub fn apply(&self, object: Value) {
        let (group, version) = match object["apiVersion"].as_str().unwrap_or_default() {
            text if text.contains('/') => text.split_once('/').unwrap_or_default(),
            version => ("", version),
        };
        let kind = object["kind"].as_str().unwrap_or_default();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let objects: Api<DynamicObject> = match kind {
            "Namespace" | "Node" => Api::all_with(self.client.clone(), &resource),
            _ => Api::namespaced_with(self.client.clone(), &self.namespace, &resource),
        };
        let name = meta::name(&object).to_owned();
        let params = PatchParams::apply("tailback-test").force();
        let patch = Patch::Apply(&object);
        let applied = objects.patch(&name, &params, &patch);
        if let Err(error) = self.runtime.block_on(applied) {
            panic!("{kind} {name} cannot be applied: {error}");
        }
    }

    /// How long the API server stays away in the scenario of that.
    #[must_use]
    pub fn outage(&self) -> Duration {
        match self.kind {
            Kind::Double(_) => Duration::from_secs(5),
            Kind::Real => Duration::from_secs(60),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.programs.kill_all();
        if matches!(self.kind, Kind::Double(_)) {
            return;
        }
        use k8s_openapi::api::core::v1::{Namespace, Node};
        let (client, name) = (self.client.clone(), &self.namespace);
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            ..Default::default()
        };
        self.runtime.block_on(async {
            let namespaces: Api<Namespace> = Api::all(client.clone());
            let nodes: Api<Node> = Api::all(client.clone());
            // No kubelet would ever end the pods.
            let pods: Api<Pod> = Api::namespaced(client, name);
            let deployments = Api::<Deployment>::namespaced(self.client.clone(), name);
            let _ = deployments.delete(NAME, &DeleteParams::default()).await;
            let _ = pods.delete_collection(&now, &ListParams::default()).await;
            for done in [
                namespaces
                    .delete(name, &DeleteParams::default())
                    .await
                    .map(drop),
                nodes.delete(name, &DeleteParams::default()).await.map(drop),
            ] {
                if let Err(error) = done {
                    eprintln!("{name} is left behind: {error}");
                }
            }
        });
    }
}
