//! What becomes of objects that are written, deleted or not there.

use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{deployment, pod, replicas, sample, status};

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
async fn missing_objects_get_the_real_servers_errors() {
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

#[tokio::test]
async fn a_status_is_written_apart_from_the_rest() {
    let (_double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let params = PatchParams::default();
    let both = Patch::Merge(json!({ "spec": { "replicas": 9 }, "status": { "replicas": 4 } }));
    let seen = deployments
        .patch_status("sample", &params, &both)
        .await
        .unwrap();
    assert_eq!(seen.spec.unwrap().replicas, Some(1));
    assert_eq!(seen.metadata.generation, Some(1));
    let seen = deployments.patch("sample", &params, &both).await.unwrap();
    assert_eq!(seen.spec.unwrap().replicas, Some(9));
    assert_eq!(seen.status.unwrap().replicas, Some(4));
}

#[tokio::test]
async fn json_patches_test_before_they_write() {
    let (_double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let params = PatchParams::default();
    let patch = |expected: i64| {
        let operations = json!([
            { "op": "test", "path": "/spec/replicas", "value": expected },
            { "op": "replace", "path": "/spec/replicas", "value": 4 },
        ]);
        Patch::<Value>::Json(serde_json::from_value(operations).unwrap())
    };
    let error = deployments
        .patch("sample", &params, &patch(2))
        .await
        .unwrap_err();
    assert_eq!(status(error).0, 422);
    let seen = deployments
        .patch("sample", &params, &patch(1))
        .await
        .unwrap();
    assert_eq!(seen.spec.unwrap().replicas, Some(4));
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_no_new_version_and_a_dry_run_none_at_all() {
    let (_double, client) = sample(1).await;
    let deployments: Api<Deployment> = Api::default_namespaced(client);
    let version = |d: Deployment| d.metadata.resource_version.unwrap();
    let before = version(deployments.get("sample").await.unwrap());
    let params = PatchParams::default();
    deployments
        .patch_scale("sample", &params, &replicas(1))
        .await
        .unwrap();
    let dry = PatchParams {
        dry_run: true,
        ..params
    };
    let shown = deployments
        .patch_scale("sample", &dry, &replicas(5))
        .await
        .unwrap();
    assert_eq!(shown.spec.unwrap().replicas, Some(5));
    assert_eq!(version(deployments.get("sample").await.unwrap()), before);
}

#[tokio::test]
async fn finalizers_and_grace_keep_what_is_deleted() {
    let (double, client) = sample(0).await;
    let mut held = pod("held");
    held["metadata"]["finalizers"] = json!(["tailback.dev/test"]);
    held["spec"]["nodeName"] = "n".into();
    double.create(held).unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.delete("held", &DeleteParams::default()).await.unwrap();
    let seen = pods.get("held").await.unwrap();
    assert_eq!(seen.metadata.deletion_grace_period_seconds, Some(30));
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..Default::default()
    };
    pods.delete("held", &now).await.unwrap();
    assert_eq!(
        pods.get("held")
            .await
            .unwrap()
            .metadata
            .deletion_grace_period_seconds,
        Some(0)
    );
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    pods.patch("held", &PatchParams::default(), &free)
        .await
        .unwrap();
    assert_eq!(status(pods.get("held").await.unwrap_err()).0, 404);
}

#[tokio::test]
async fn a_namespace_takes_what_is_in_it_along() {
    let (double, _client) = sample(1).await;
    double.create_namespace("other");
    let mut object = deployment(1);
    object["metadata"]["namespace"] = "other".into();
    double.create(object).unwrap();
    double.delete("namespaces", "", "other").unwrap();
    assert!(double.list("deployments.apps", "other").is_empty());
    assert_eq!(double.list("deployments.apps", "default").len(), 1);
}
