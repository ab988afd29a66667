//! The API server double, through kube-rs: a client that was written against
//! the real one.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::{
    apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod, discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Config,
    api::{
        DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
    discovery::{ApiResource, Discovery},
    runtime::watcher,
};
use serde_json::{Value, json};
use tailback_tests::{
    eventually_async,
    kubernetes::{
        Credential, Double,
        controllers::kubelet::Kubelet,
        failure::Failure,
        faults::{Fault, Times},
        resource::Resource,
    },
    upstream::Upstream,
};

async fn client(credential: &Credential) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&credential.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Client::try_from(config.unwrap()).unwrap()
}

/// A double with a Deployment `sample`, its Service, and a client that may do
/// everything there.
async fn sample(replicas: u32) -> (Double, Client) {
    let double = Double::start();
    double.create(deployment(replicas)).unwrap();
    double.create(service()).unwrap();
    let client = client(&double.tailback("default")).await;
    (double, client)
}

fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "sample", "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "sample" } },
            "template": {
                "metadata": { "labels": { "app": "sample" } },
                "spec": { "containers": [{
                    "name": "server",
                    "image": "none",
                    "ports": [{ "name": "http", "containerPort": 8080 }],
                }] },
            },
        },
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "sample", "namespace": "default" },
        "spec": {
            "selector": { "app": "sample" },
            "ports": [{ "name": "http", "port": 80, "targetPort": "http" }],
        },
    })
}

fn status(error: kube::Error) -> (u16, String, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not an answer: {other:?}"),
    }
}

fn replicas(n: i64) -> Patch<Value> {
    Patch::Merge(json!({ "spec": { "replicas": n } }))
}

// === scale ===

#[tokio::test]
async fn a_scale_patch_changes_the_parent_and_says_who_did_it() {
    let (double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let params = PatchParams {
        field_manager: Some("tailback".into()),
        ..Default::default()
    };
    let scale = deployments
        .patch_scale("sample", &params, &replicas(3))
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    assert_eq!(
        scale.status.unwrap().selector.as_deref(),
        Some("app=sample")
    );
    let deployment = deployments.get("sample").await.unwrap();
    assert_eq!(deployment.spec.unwrap().replicas, Some(3));
    assert_eq!(deployment.metadata.generation, Some(2));
    let managers = deployment.metadata.managed_fields.unwrap();
    let owner = managers
        .iter()
        .find(|m| m.manager.as_deref() == Some("tailback"))
        .unwrap();
    assert_eq!(owner.subresource.as_deref(), Some("scale"));
    assert_eq!(
        owner.fields_v1.as_ref().unwrap().0,
        json!({ "f:spec": { "f:replicas": {} } })
    );
    let asked = double.asked();
    assert!(
        asked
            .iter()
            .any(|a| a.verb == "patch" && a.resource == "deployments/scale")
    );
}

#[tokio::test]
async fn zero_replicas_are_not_in_a_scale_and_fewer_are_invalid() {
    let (_double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let params = PatchParams::default();
    let scale = deployments
        .patch_scale("sample", &params, &replicas(0))
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, None);
    let error = deployments
        .patch_scale("sample", &params, &replicas(-1))
        .await
        .unwrap_err();
    assert_eq!(
        status(error),
        (
            422,
            "Invalid".into(),
            "Scale.autoscaling \"sample\" is invalid: spec.replicas: Invalid value: -1: must be \
             greater than or equal to 0"
                .into()
        )
    );
    let error = deployments
        .patch_scale("other", &params, &replicas(1))
        .await
        .unwrap_err();
    assert_eq!(status(error).2, "deployments.apps \"other\" not found");
}

#[tokio::test]
async fn a_scale_written_over_an_old_version_conflicts() {
    let (_double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let mut old = deployments.get_scale("sample").await.unwrap();
    deployments
        .patch_scale("sample", &PatchParams::default(), &replicas(2))
        .await
        .unwrap();
    old.spec.as_mut().unwrap().replicas = Some(5);
    let error = deployments
        .replace_scale("sample", &PostParams::default(), &old)
        .await
        .unwrap_err();
    let (code, reason, message) = status(error);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(
        message.contains("the object has been modified"),
        "{message}"
    );
}

#[tokio::test]
async fn custom_resources_scale_once_they_are_registered() {
    let double = Double::start();
    let client = client(&double.tailback("default")).await;
    double.register(Resource::seldon_model());
    double
        .create(json!({
            "apiVersion": "mlops.seldon.io/v1alpha1",
            "kind": "Model",
            "metadata": { "name": "iris", "namespace": "default" },
            "spec": { "storageUri": "gs://x" },
        }))
        .unwrap();
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let kinds = discovery
        .groups()
        .flat_map(|group| group.recommended_resources());
    let (resource, capabilities) = kinds.into_iter().find(|(r, _)| r.kind == "Model").unwrap();
    assert_eq!(resource.plural, "models");
    assert_eq!(capabilities.subresources.len(), 2);
    let models: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    let error = models.get_scale("iris").await.unwrap_err();
    assert!(
        status(error)
            .2
            .contains("the spec replicas field \".spec.replicas\" does not exist")
    );
    models
        .patch_scale("iris", &PatchParams::default(), &replicas(2))
        .await
        .unwrap();
    let model = models.get("iris").await.unwrap();
    assert_eq!(model.data["spec"]["replicas"], 2);
}

#[tokio::test]
async fn an_apply_of_replicas_meets_the_other_owner() {
    let (_double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let hpa = PatchParams {
        field_manager: Some("hpa".into()),
        ..Default::default()
    };
    deployments
        .patch_scale("sample", &hpa, &replicas(2))
        .await
        .unwrap();
    let apply = |n: i64| {
        Patch::Apply(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "spec": { "replicas": n },
        }))
    };
    let mine = PatchParams::apply("tailback");
    let error = deployments
        .patch("sample", &mine, &apply(5))
        .await
        .unwrap_err();
    assert_eq!(
        status(error).2,
        "Apply failed with 1 conflict: conflict with \"hpa\" with subresource \"scale\" using \
         apps/v1: .spec.replicas"
    );
    deployments
        .patch("sample", &mine.force(), &apply(5))
        .await
        .unwrap();
    assert_eq!(
        deployments
            .get("sample")
            .await
            .unwrap()
            .spec
            .unwrap()
            .replicas,
        Some(5)
    );
}

// === who may ===

#[tokio::test]
async fn a_verb_that_no_role_has_is_forbidden_in_the_real_words() {
    let double = Double::start();
    double.create(deployment(1)).unwrap();
    let account = double.service_account("default", "tailback");
    let deployments: Api<Deployment> = Api::default_namespaced(client(&account).await);
    let rules = |verbs: Value| json!([{ "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": verbs }]);
    double.grant("default", "tailback", &rules(json!(["get"])));
    deployments.get_scale("sample").await.unwrap();
    let params = PatchParams::default();
    let error = deployments
        .patch_scale("sample", &params, &replicas(2))
        .await
        .unwrap_err();
    assert_eq!(
        status(error).2,
        "deployments.apps \"sample\" is forbidden: User \
         \"system:serviceaccount:default:tailback\" cannot patch resource \"deployments/scale\" in \
         API group \"apps\" in the namespace \"default\""
    );
    double.grant("default", "tailback", &rules(json!(["get", "patch"])));
    deployments
        .patch_scale("sample", &params, &replicas(2))
        .await
        .unwrap();
    double.faults().forbid("patch", "deployments/scale");
    let error = deployments
        .patch_scale("sample", &params, &replicas(2))
        .await
        .unwrap_err();
    assert_eq!(status(error).0, 403);
    double.revoke(&account);
    assert_eq!(status(deployments.get("sample").await.unwrap_err()).0, 401);
}

// === watches ===

type Events = tokio::sync::mpsc::UnboundedReceiver<String>;

/// The names of pods as a watcher tells of them, from when its watch is open. A
/// task of its own drives the watcher: it does nothing by itself.
async fn followed(double: &Double, client: Client) -> Events {
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let pods: Api<Pod> = Api::default_namespaced(client);
        let mut stream = Box::pin(watcher(pods, watcher::Config::default()));
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                    let _ = sender.send(pod.metadata.name.unwrap());
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    eventually_async("an open watch", || asked(double, "watch") == 1).await;
    events
}

/// How many requests of this verb there have been.
fn asked(double: &Double, verb: &str) -> usize {
    double.asked().iter().filter(|a| a.verb == verb).count()
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": { "app": "sample" } },
        "spec": { "containers": [{ "name": "server", "image": "none" }] },
    })
}

/// The next pod that is told of.
async fn next(events: &mut Events) -> String {
    let next = tokio::time::timeout(tailback_tests::PATIENCE, events.recv());
    next.await.expect("a pod in time").expect("a pod")
}

#[tokio::test]
async fn a_watcher_resumes_after_its_connection_is_cut() {
    let (double, client) = sample(0).await;
    let mut events = followed(&double, client).await;
    double.create(pod("a")).unwrap();
    assert_eq!(next(&mut events).await, "a");
    double.faults().drop_connections();
    double.create(pod("b")).unwrap();
    assert_eq!(next(&mut events).await, "b");
    assert_eq!(asked(&double, "list"), 1, "it resumed");
}

#[tokio::test]
async fn a_watcher_lists_again_when_its_version_is_gone() {
    let (double, client) = sample(0).await;
    let mut events = followed(&double, client).await;
    double.faults().go_down();
    double.create(pod("a")).unwrap();
    double.compact();
    double.faults().come_back();
    assert_eq!(next(&mut events).await, "a");
    assert_eq!(asked(&double, "list"), 2);
    eventually_async("a watch", || asked(&double, "watch") >= 3).await;
    double.faults().expire_watches();
    double.create(pod("b")).unwrap();
    let mut names = vec![next(&mut events).await, next(&mut events).await];
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn bookmarks_selectors_and_timeouts_are_the_watch_s_own() {
    let (double, client) = sample(0).await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let params = WatchParams::default().labels("app=sample").timeout(3);
    let mut events = pods.watch(&params, "0").await.unwrap().boxed();
    double.create(pod("a")).unwrap();
    let relabel = |app: &str| {
        let patch = json!({ "metadata": { "labels": { "app": app } } });
        double.merge("pods", "default", "a", &patch).unwrap();
    };
    relabel("other");
    relabel("sample");
    double.faults().send_bookmarks();
    let mut kinds = Vec::new();
    while let Some(event) = events.try_next().await.unwrap() {
        kinds.push(match event {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) => "bookmark",
            WatchEvent::Error(_) => "error",
        });
    }
    assert_eq!(kinds, ["added", "deleted", "added", "bookmark", "bookmark"]);
}

#[tokio::test]
async fn a_deaf_watch_stays_open_and_says_nothing() {
    let (double, client) = sample(0).await;
    let mut events = followed(&double, client).await;
    double.faults().silence_watches();
    double.create(pod("a")).unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(300), events.recv()).await;
    assert!(silence.is_err(), "{silence:?}");
    double.faults().drop_connections();
    assert_eq!(next(&mut events).await, "a");
}

#[tokio::test]
async fn pages_are_of_one_version_until_it_is_compacted() {
    let (double, client) = sample(0).await;
    for name in ["a", "b", "c"] {
        double.create(pod(name)).unwrap();
    }
    let pods: Api<Pod> = Api::default_namespaced(client);
    let first = pods.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(
        (first.items.len(), first.metadata.remaining_item_count),
        (2, Some(1))
    );
    double.create(pod("d")).unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = ListParams::default().limit(2).continue_token(&token);
    let second = pods.list(&rest).await.unwrap();
    assert_eq!(second.items.len(), 1);
    assert_eq!(
        second.metadata.resource_version,
        first.metadata.resource_version
    );
    double.compact();
    let (code, reason, _) = status(pods.list(&rest).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (410, "Expired"));
}

// === faults ===

#[tokio::test]
async fn faults_happen_as_often_as_told_and_to_what_they_name() {
    let (double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let params = PatchParams::default();
    let scale = async || {
        let result = deployments
            .patch_scale("sample", &params, &replicas(2))
            .await;
        result.map_err(|error| status(error).0)
    };
    let broken = Failure::internal("etcd is away");
    double
        .faults()
        .answer(1, "patch", "deployments/scale", broken);
    deployments.get("sample").await.unwrap();
    assert_eq!(scale().await.map(drop), Err(500));
    scale().await.unwrap();
    // kube-rs asks again by itself after a 503: the two are one call to it.
    let before = asked(&double, "patch");
    double
        .faults()
        .answer(1, "patch", "deployments/scale", Failure::unavailable());
    scale().await.unwrap();
    assert_eq!(asked(&double, "patch"), before + 2);
    double
        .faults()
        .add(Times::Next(1), "patch", "*", Fault::Disconnect);
    let error = deployments
        .patch_scale("sample", &params, &replicas(7))
        .await;
    assert!(
        matches!(
            error,
            Err(kube::Error::HyperError(_) | kube::Error::Service(_))
        ),
        "{error:?}"
    );
    let deployment = deployments.get("sample").await.unwrap();
    assert_eq!(
        deployment.spec.unwrap().replicas,
        Some(7),
        "it was done all the same"
    );
}

#[test]
fn too_many_requests_come_as_text_with_a_time_to_wait() {
    let double = Double::start();
    let credential = double.tailback("default");
    double
        .faults()
        .answer(1, "list", "pods", Failure::too_many_requests(7));
    let mut client = tailback_tests::http::Client::connect(double.address()).unwrap();
    let bearer = format!("Bearer {}", credential.token);
    let path = "/api/v1/namespaces/default/pods";
    let answer = client
        .call("GET", path, &[("authorization", &bearer)], b"")
        .unwrap();
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("7"))
    );
    let answer = client
        .call("GET", path, &[("authorization", &bearer)], b"")
        .unwrap();
    assert_eq!(answer.status, 200);
    let answer = client.call("GET", path, &[], b"").unwrap();
    assert!(
        answer.text().contains("system:anonymous"),
        "{}",
        answer.text()
    );
}

// === controllers ===

#[tokio::test]
async fn a_deployment_gets_pods_and_its_service_their_addresses() {
    let (double, client) = sample(2).await;
    double.run_controllers(Kubelet::Pretend {
        start: Duration::from_millis(50),
        stop: Duration::from_millis(300),
    });
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let slices: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    let conditions = || {
        let slices = double.list("endpointslices.discovery.k8s.io", "default");
        let endpoints = slices
            .first()
            .map(|slice| slice["endpoints"].clone())
            .unwrap_or_default();
        let all = endpoints.as_array().cloned().unwrap_or_default();
        let count = |condition: &str| {
            all.iter()
                .filter(|e| e["conditions"][condition] == true)
                .count()
        };
        (count("ready"), count("serving"), count("terminating"))
    };
    eventually_async("two ready endpoints", || conditions() == (2, 2, 0)).await;
    let slice = slices
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(slice.ports.unwrap()[0].port, Some(8080));
    deployments
        .patch_scale("sample", &PatchParams::default(), &replicas(1))
        .await
        .unwrap();
    eventually_async("one that serves while it goes", || {
        conditions() == (1, 2, 1)
    })
    .await;
    eventually_async("one alone", || conditions() == (1, 1, 0)).await;
    deployments
        .patch_scale("sample", &PatchParams::default(), &replicas(0))
        .await
        .unwrap();
    eventually_async("none", || conditions() == (0, 0, 0)).await;
    let slice = slices
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    assert!(slice.endpoints.is_empty());
    deployments
        .delete("sample", &DeleteParams::default())
        .await
        .unwrap();
    eventually_async("no ReplicaSet", || {
        double.list("replicasets.apps", "default").is_empty()
    })
    .await;
}

#[tokio::test]
async fn the_pod_that_costs_least_is_the_one_that_goes() {
    let (double, client) = sample(3).await;
    let quick = Duration::from_millis(20);
    double.run_controllers(Kubelet::Pretend {
        start: quick,
        stop: quick,
    });
    let ready = || {
        let deployment = double.get("deployments.apps", "default", "sample").unwrap();
        deployment["status"]["readyReplicas"].as_i64().unwrap_or(0)
    };
    eventually_async("three ready pods", || ready() == 3).await;
    let names: Vec<String> = double
        .list("pods", "default")
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    for (name, cost) in names.iter().zip(["10", "-5", "20"]) {
        let patch = json!({ "metadata": { "annotations": {
            "controller.kubernetes.io/pod-deletion-cost": cost,
        } } });
        pods.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    deployments
        .patch_scale("sample", &PatchParams::default(), &replicas(2))
        .await
        .unwrap();
    eventually_async("two pods", || double.list("pods", "default").len() == 2).await;
    assert!(
        double.get("pods", "default", &names[1]).is_none(),
        "{names:?}"
    );
}

#[tokio::test]
async fn pods_of_real_servers_answer_at_their_addresses() {
    let (double, _client) = sample(2).await;
    let port = Upstream::start().address.port();
    double.run_controllers(Kubelet::sample_servers(8080, &["--model", "m"]));
    let ready = || {
        let deployment = double.get("deployments.apps", "default", "sample").unwrap();
        deployment["status"]["readyReplicas"].as_i64().unwrap_or(0)
    };
    eventually_async("two ready servers", || ready() == 2).await;
    assert_ne!(port, 8080);
    let pods = double.list("pods", "default");
    for pod in &pods {
        let address = format!("{}:8080", pod["status"]["podIP"].as_str().unwrap());
        let path = "/v2/models/m";
        let answer = tailback_tests::http::call(address.parse().unwrap(), "GET", path, b"");
        assert_eq!(answer.unwrap().status, 200);
    }
    let patch = json!({ "spec": { "replicas": 0 } });
    double
        .merge("deployments.apps", "default", "sample", &patch)
        .unwrap();
    eventually_async("no pods", || double.list("pods", "default").is_empty()).await;
}

// === leases ===

#[tokio::test]
async fn of_two_that_take_a_lease_one_conflicts() {
    let (_double, client) = sample(0).await;
    let leases: Api<Lease> = Api::default_namespaced(client);
    let lease = |holder: &str| -> Lease {
        serde_json::from_value(json!({
            "metadata": { "name": "tailback" },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15 },
        }))
        .unwrap()
    };
    let params = PostParams::default();
    leases.create(&params, &lease("a")).await.unwrap();
    let error = leases.create(&params, &lease("b")).await.unwrap_err();
    assert_eq!(status(error).1, "AlreadyExists");
    let seen = leases.get("tailback").await.unwrap();
    let mut by_b = lease("b");
    by_b.metadata
        .resource_version
        .clone_from(&seen.metadata.resource_version);
    leases.replace("tailback", &params, &by_b).await.unwrap();
    let mut by_c = lease("c");
    by_c.metadata.resource_version = seen.metadata.resource_version;
    let error = leases
        .replace("tailback", &params, &by_c)
        .await
        .unwrap_err();
    assert_eq!(status(error).0, 409);
    let unconditional = leases
        .replace("tailback", &params, &lease("d"))
        .await
        .unwrap_err();
    assert_eq!(status(unconditional).0, 422);
}

#[tokio::test]
async fn what_is_not_there_is_told_as_the_real_one_tells_it() {
    let (_double, client) = sample(0).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "nowhere");
    let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("a.b", "v1", "C"));
    let unknown: Api<DynamicObject> = Api::default_namespaced_with(client, &resource);
    assert_eq!(status(unknown.get("x").await.unwrap_err()).0, 404);
    let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "a" } })).unwrap();
    assert_eq!(
        status(pods.create(&PostParams::default(), &pod).await.unwrap_err()).0,
        403
    );
}
