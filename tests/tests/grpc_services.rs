//! The gRPC services that the proxy offers itself, with grpcio's own clients of them.

use bytes::Bytes;
use http::Method;
use nix::sys::signal::Signal;
use tailback_tests::{
    eventually,
    http2::{Client, Response, receive},
    process::Tailback,
    python::{Running, run, script},
    upstream::never_ready_manifest,
    upstream_http2::UpstreamHttp2,
};

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const API: &str = "apiVersion: tailback.dev/v1alpha1";

/// A replica that speaks gRPC, and the manifest of its model `m`.
fn served(model: &str) -> (UpstreamHttp2, String) {
    let upstream = UpstreamHttp2::start(100);
    let manifest = format!(
        "{API}\nkind: Server\nmetadata: {{ name: up }}\nspec: {{ static: {{ endpoints: ['http://{}'] }} }}\n---\n\
         {API}\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: up{model} }}\n",
        upstream.address
    );
    (upstream, manifest)
}

/// Serves `manifest`, whose model `m` is ready.
fn start(manifest: &str, variables: &[(&str, &str)]) -> Tailback {
    let proxy = Tailback::start(manifest, variables);
    eventually("its replica", || proxy.ready("m") == 1);
    proxy
}

fn client(arguments: &[&str]) -> std::process::Command {
    script("grpc_health_client.py", arguments)
}

fn status(answer: &Response) -> &str {
    answer.grpc_status().unwrap_or("none")
}

#[test]
fn health_is_told_of_the_proxy_and_of_each_model() {
    let (_upstream, manifest) = served(", aliases: [alias, 'wild-*']");
    let sleeping = never_ready_manifest("sleeps", ", minReplicas: 0, maxReplicas: 1");
    let proxy = start(&format!("{sleeping}\n---\n{manifest}"), &[]);
    let address = proxy.address.to_string();
    for arguments in [
        &["", "SERVING"][..],
        &["inference.GRPCInferenceService", "SERVING"],
        &["m", "SERVING"],
        &["alias", "SERVING"],
        &["wild-card", "SERVING"],
        &["sleeps", "NOT_SERVING"],
        &["no", "NOT_FOUND"],
        // Of the model that the metadata names.
        &["", "SERVING", "alias"],
        &["", "NOT_SERVING", "sleeps"],
        &["", "NOT_FOUND", "no"],
    ] {
        run(client(&[&[&*address, "check"], arguments].concat()));
    }
    // Asking has neither woken the one nor been counted for the other.
    assert_eq!(proxy.model("sleeps")["replicas"]["desired"], 0);
    assert_eq!(proxy.model("m")["arrived"], 0);
}

#[test]
fn watched_health_is_told_as_it_changes_until_the_shutdown() {
    let (_upstream, manifest) = served("");
    let limit = ("TAILBACK_STREAM_IDLE_TIMEOUT_SECONDS", "1");
    let mut proxy = start(&manifest, &[limit]);
    let address = proxy.address.to_string();
    let watch = |service| Running::start(client(&[&address, "watch", service]));
    let (whole, model, unknown) = (watch(""), watch("m"), watch("later"));
    assert_eq!(whole.line(), "SERVING");
    assert_eq!(model.line(), "SERVING");
    assert_eq!(unknown.line(), "SERVICE_UNKNOWN");
    proxy.rewrite(&manifest.replace("name: m ", "name: later "));
    assert_eq!(model.line(), "SERVICE_UNKNOWN");
    assert_eq!(unknown.line(), "SERVING");
    assert_eq!(proxy.model("later")["arrived"], 0);
    proxy.signal(Signal::SIGTERM);
    for watch in [&whole, &unknown] {
        assert_eq!(watch.line(), "NOT_SERVING");
        assert_eq!(watch.line(), "end");
    }
    assert_eq!(model.line(), "end");
    for watch in [whole, model, unknown] {
        watch.end();
    }
    assert!(proxy.wait().success());
}

#[test]
fn reflection_lists_services_and_describes_them() {
    let (_upstream, manifest) = served("");
    let proxy = start(&manifest, &[]);
    run(client(&[&proxy.address.to_string(), "reflect"]));
    assert_eq!(proxy.model("m")["arrived"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_of_a_model_that_the_metadata_names_is_its_replicas() {
    let (upstream, manifest) = served("");
    let proxy = start(&manifest, &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let fields = [GRPC, ("seldon-model", "m")];
    let answer = client.call(path, &fields, Bytes::new()).await.unwrap();
    assert_eq!((answer.text().as_str(), status(&answer)), ("hello", "0"));
    assert_eq!(upstream.streams(), 1);
    assert_eq!(proxy.model("m")["arrived"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_health_and_reflection_that_are_none_are_refused() {
    let (_upstream, manifest) = served("");
    let proxy = start(&manifest, &[]);
    let client = Client::connect(proxy.address).await.unwrap();
    let check = "/grpc.health.v1.Health/Check";
    let reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut large = vec![0, 0, 1, 0, 1];
    large.resize(5 + 65_537, 0);
    let cut = Bytes::from_static(&[0, 0, 0, 0, 9, 0x0a, 1]);
    let no_message = Bytes::from_static(&[0, 0, 0, 0, 2, 0x0a, 9]);
    let endless = Bytes::from_static(&[0, 255, 255, 255, 255]);
    let no_question = Bytes::from_static(&[0, 0, 0, 0, 0]);
    for (path, body, expected) in [
        (check, Bytes::new(), "13"),
        (check, cut, "13"),
        (check, no_message, "13"),
        (check, endless, "11"),
        (check, large.into(), "11"),
        (reflect, no_question, "3"),
        ("/grpc.health.v1.Health/Other", Bytes::new(), "12"),
    ] {
        let answer = client.call(path, &[GRPC], body.clone()).await.unwrap();
        assert_eq!(status(&answer), expected, "{path} {body:?}");
    }
    assert_eq!(proxy.model("m")["arrived"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_whose_message_never_comes_ends() {
    let (_upstream, manifest) = served("");
    let limit = ("TAILBACK_STREAM_IDLE_TIMEOUT_SECONDS", "1");
    let proxy = start(&manifest, &[limit]);
    let client = Client::connect(proxy.address).await.unwrap();
    let reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for (path, expected) in [("/grpc.health.v1.Health/Check", "4"), (reflect, "14")] {
        let (answer, _open) = client
            .open(Method::POST, path, &[GRPC], false)
            .await
            .unwrap();
        let answer = receive(answer).await.unwrap();
        assert_eq!(status(&answer), expected, "{path}");
    }
}
