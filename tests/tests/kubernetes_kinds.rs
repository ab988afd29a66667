//! Workloads other than Deployments, and models that are discovered in the cluster.

use std::{sync::atomic::AtomicU32, thread, time::Duration};

use serde_json::{Value, json};
use tailback_tests::{
    cluster::{BODY, Cluster, NAMESPACE, infer, manifests},
    eventually,
    kubernetes::resource::Resource,
    load::under_load,
};

// === other kinds ===

#[test]
fn a_seldon_model_is_reached_through_its_gateway_once_it_is_ready() {
    let cluster = Cluster::start(1, "50");
    let gateway = {
        let address = || {
            let pods = cluster.pods();
            let ready = pods.iter().find(|pod| {
                let conditions = pod["status"]["conditions"].to_string();
                conditions.contains(r#""type":"Ready""#) && pod["status"]["podIP"].is_string()
            });
            ready.map(|pod| pod["status"]["podIP"].as_str().unwrap().to_owned())
        };
        eventually("the gateway", || address().is_some());
        address().unwrap()
    };
    cluster.double.register(Resource::seldon_model());
    let model = json!({
        "apiVersion": "mlops.seldon.io/v1alpha1", "kind": "Model",
        "metadata": { "name": "m", "namespace": NAMESPACE },
        "spec": { "storageUri": "gs://a/b", "replicas": 1 },
    });
    cluster.double.create(model).unwrap();
    let manifests = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: seldon }}
spec:
  concurrency: 2
  maxReplicas: 2
  kubernetes:
    apiVersion: mlops.seldon.io/v1alpha1
    kind: Model
    name: '{{model}}'
    endpoints: ['http://{gateway}:8080']
---
apiVersion: mlops.seldon.io/v1alpha1
kind: Model
metadata: {{ name: m }}
spec: {{ storageUri: 'gs://a/b', minReplicas: 1 }}
"
    );
    let proxy = cluster.serve(&manifests);
    let set_ready = |ready: u32| {
        let status = json!({ "status": { "availableReplicas": ready } });
        let merged = cluster
            .double
            .merge("models.mlops.seldon.io", NAMESPACE, "m", &status);
        merged.unwrap();
    };
    thread::scope(|scope| {
        let held = scope.spawn(|| infer(proxy.address));
        eventually("a held request", || proxy.model("m")["held"] == 1);
        set_ready(1);
        assert_eq!(held.join().unwrap(), 200);
    });
    // Load until the slots are taken and the count is asked for, and the most that was in flight.
    let most = |limit: u64, asked_for: u64| {
        let mut most = 0;
        under_load(proxy.address, "m", BODY, &AtomicU32::new(12), || {
            eventually("all slots taken", || {
                let in_flight = &proxy.model("m")["replicas"]["ready"][0]["inFlight"];
                most = most.max(in_flight.as_u64().unwrap_or(0));
                most >= limit
            });
            eventually("the replicas asked for", || {
                let model = cluster
                    .double
                    .get("models.mlops.seldon.io", NAMESPACE, "m")
                    .unwrap();
                model["spec"]["replicas"] == asked_for
            });
        });
        most
    };
    assert_eq!(most(2, 2), 2);
    set_ready(2);
    assert_eq!(most(4, 2), 4);
}

#[test]
fn a_kind_without_a_scale_subresource_is_refused_by_name() {
    let cluster = Cluster::without_pods(1);
    cluster
        .double
        .register(Resource::new("example.org", "v1", "things", "Thing"));
    for (kind, expected) in [
        ("Thing", "Thing (example.org/v1) has no scale subresource"),
        ("Other", "the API example.org/v1 has no kind Other"),
    ] {
        let manifests = manifests("").replace(
            "    name: llama\n",
            &format!("    apiVersion: example.org/v1\n    kind: {kind}\n    name: llama\n"),
        );
        let proxy = cluster.serve(&manifests);
        eventually(expected, || {
            proxy.model("m")["replicas"]["failure"]
                .to_string()
                .contains(expected)
        });
    }
}

#[test]
fn a_custom_resource_is_counted_by_its_scale_subresource() {
    let cluster = Cluster::start(1, "0");
    let thing = Resource::new("example.org", "v1", "things", "Thing");
    cluster
        .double
        .register(thing.with_status().with_scale(None));
    let object = json!({
        "apiVersion": "example.org/v1", "kind": "Thing",
        "metadata": { "name": "llama", "namespace": NAMESPACE },
        "spec": { "replicas": 1 },
    });
    cluster.double.create(object).unwrap();
    let manifests = manifests("replicas: 2").replace(
        "    name: llama\n",
        "    apiVersion: example.org/v1\n    kind: Thing\n    name: llama\n",
    );
    let proxy = cluster.serve(&manifests);
    eventually("two asked for", || {
        let thing = cluster
            .double
            .get("things.example.org", NAMESPACE, "llama")
            .unwrap();
        thing["spec"]["replicas"] == 2
    });
    eventually("the pod", || proxy.ready("m") == 1);
    eventually("the one on its way", || {
        proxy.model("m")["replicas"]["starting"] == 1
    });
}

// === models from the cluster ===

#[test]
fn models_of_the_cluster_are_known_before_the_first_request() {
    let cluster = Cluster::start(1, "0");
    let patch = json!({ "metadata": { "annotations": { "tailback.dev/model": "m" } } });
    let double = &cluster.double;
    double
        .merge("deployments.apps", NAMESPACE, "llama", &patch)
        .unwrap();
    double
        .faults()
        .delay("list", "deployments", Duration::from_millis(300));
    let manifests = "# all is in the cluster\n";
    let proxy = cluster.serve_with(manifests, &[("TAILBACK_KUBE_MODELS", NAMESPACE)]);
    assert_eq!(infer(proxy.address), 200);
}

#[test]
fn annotated_workloads_are_served_without_being_listed() {
    let cluster = Cluster::start(1, "0");
    let annotate = |annotations: Value| {
        let patch = json!({ "metadata": { "annotations": annotations } });
        let double = &cluster.double;
        double
            .merge("deployments.apps", NAMESPACE, "llama", &patch)
            .unwrap();
    };
    let other = "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: up }
spec: { static: { endpoints: ['http://127.0.0.1:9'] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: other }
";
    let proxy = cluster.serve_with(other, &[("TAILBACK_KUBE_MODELS", NAMESPACE)]);
    let models = || {
        let models = proxy.page("/models")["models"].clone();
        let names = models.as_array().unwrap().iter();
        names
            .map(|m| m["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(models(), ["other"]);
    annotate(
        json!({ "tailback.dev/model": "m", "tailback.dev/min-replicas": "1", "tailback.dev/max-replicas": "2" }),
    );
    eventually("the model", || models() == ["m", "other"]);
    assert_eq!(infer(proxy.address), 200);
    assert_eq!(proxy.model("m")["settings"]["maxReplicas"], 2);
    annotate(json!({ "tailback.dev/max-replicas": "many" }));
    eventually("the error", || {
        proxy
            .log()
            .contains("tailback.dev/max-replicas: found \"many\"")
    });
    assert_eq!(proxy.model("m")["settings"]["maxReplicas"], 2, "as it was");
    annotate(json!({ "tailback.dev/max-replicas": "3" }));
    eventually("the new bound", || {
        proxy.model("m")["settings"]["maxReplicas"] == 3
    });
    let model = json!({
        "apiVersion": "mlops.seldon.io/v1alpha1", "kind": "Model",
        "metadata": { "name": "iris", "namespace": NAMESPACE },
        "spec": { "storageUri": "gs://a/b", "replicas": 1, "minReplicas": 1, "maxReplicas": 4 },
    });
    cluster.double.register(Resource::seldon_model());
    cluster.double.create(model).unwrap();
    eventually("Seldon's model", || models() == ["iris", "m", "other"]);
    assert_eq!(proxy.model("iris")["settings"]["maxReplicas"], 4);
    annotate(json!({ "tailback.dev/model": null }));
    eventually("its end", || models() == ["iris", "other"]);
}
