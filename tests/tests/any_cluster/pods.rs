//! What a kubelet does on a node of its own, through a client.

use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde_json::{Value, json};
use tailback_tests::kubernetes::{controllers::kubelet::Pods, meta};

/// The pods of a namespace, as a watch has them.
pub struct ClientPods {
    pods: Api<Pod>,
    store: reflector::Store<Pod>,
}

impl ClientPods {
    /// Follows them, on the runtime that calls this.
    pub fn follow(pods: Api<Pod>) -> Self {
        let (store, writer) = reflector::store();
        let events = watcher(pods.clone(), watcher::Config::default()).default_backoff();
        let mut events = reflector(writer, events).boxed();
        tokio::spawn(async move { while events.next().await.is_some() {} });
        Self { pods, store }
    }
}

impl Pods for ClientPods {
    async fn list(&self) -> Vec<Value> {
        let pods = self.store.state();
        let values = pods.iter().map(|pod| serde_json::to_value(&**pod));
        values.filter_map(Result::ok).collect()
    }

    async fn bind(&self, _: &Value) {
        // The Deployment's template names the node.
    }

    async fn report(&self, pod: &Value, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        let params = PatchParams::default();
        let done = self
            .pods
            .patch_status(meta::name(pod), &params, &patch)
            .await;
        if let Err(error) = done {
            eprintln!("status of pod {}: {error}", meta::name(pod));
        }
    }

    async fn remove(&self, pod: &Value) {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            ..Default::default()
        };
        let _ = self.pods.delete(meta::name(pod), &now).await;
    }
}

/// Says again and again that a node is well, so that the node controller does
/// not call its pods lost.
pub async fn keep_node(client: Client, name: String) {
    let nodes: Api<Node> = Api::all(client);
    loop {
        let now = meta::now();
        let status = json!({ "status": { "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }] } });
        let patch = Patch::Merge(status);
        let _ = nodes
            .patch_status(&name, &PatchParams::default(), &patch)
            .await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}
