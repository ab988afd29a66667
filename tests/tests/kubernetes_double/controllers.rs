//! The controllers: pods and endpoints follow Deployments.

use std::time::Duration;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use tailback_tests::{eventually_async, kubernetes::controllers::kubelet::Kubelet};

use crate::{replicas, sample};

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
    double.run_controllers(Kubelet::sample_servers(8080, &["--model", "m"]));
    let ready = || {
        let deployment = double.get("deployments.apps", "default", "sample").unwrap();
        deployment["status"]["readyReplicas"].as_i64().unwrap_or(0)
    };
    eventually_async("two ready servers", || ready() == 2).await;
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
