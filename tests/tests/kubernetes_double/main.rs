//! The API server double, through kube-rs: a client that was written against
//! the real one.

mod access;
mod controllers;
mod faults;
mod objects;
mod scale;
mod watches;

use kube::{
    Client, Config,
    api::Patch,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tailback_tests::kubernetes::{Credential, Double};

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
