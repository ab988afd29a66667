//! Injected faults.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, api::PatchParams};
use tailback_tests::kubernetes::{
    Double,
    failure::Failure,
    faults::{Fault, Times},
};

use crate::{asked, replicas, sample, status};

#[tokio::test]
async fn faults_affect_the_requests_that_they_name_as_often_as_set() {
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
