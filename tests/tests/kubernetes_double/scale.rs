//! The scale subresource, and ownership of replicas.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    discovery::Discovery,
};
use serde_json::json;
use tailback_tests::kubernetes::{Double, resource::Resource};

use crate::{client, replicas, sample, status};

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
