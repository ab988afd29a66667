//! Permissions and tokens.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, api::PatchParams};
use serde_json::{Value, json};
use tailback_tests::kubernetes::Double;

use crate::{client, deployment, replicas, status};

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
