//! KEDA's external scaler on the admin port, called as KEDA calls it.

mod client;
mod size;

use std::time::Instant;

use tailback_tests::{
    eventually_async,
    http::{Client, call, hang, request},
    process::Tailback,
    upstream::{Upstream, static_manifest},
};
use tonic::Code;

use self::client::{Keda, Specs, next, object};

#[tokio::test(flavor = "multi_thread")]
async fn the_metric_is_the_lag_of_the_moment_and_its_target_the_threshold() {
    let upstream = Upstream::start();
    let threshold = [("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "12")];
    let proxy = Tailback::start(&upstream.manifest(&["m", "n"]), &threshold);
    let mut keda = Keda::connect(proxy.admin).await;
    let of = object(&[("model", "m"), ("scalerAddress", "tailback:9006")]);
    let specs: Specs = keda.ask("GetMetricSpec", of.clone()).await.unwrap();
    let spec = &specs.metric_specs[0];
    assert_eq!(
        (&*spec.name, spec.whole, spec.value),
        ("tailback-lag", 12, 12.0)
    );
    assert!(!keda.is_active(&of).await.unwrap());
    let callers: Vec<_> = (0..5).map(|_| hang(proxy.address)).collect();
    eventually_async("five inside", || proxy.model("m")["inFlight"] == 5).await;
    let value = keda.value(&of, "tailback-lag").await.unwrap();
    assert_eq!(
        (&*value.name, value.whole, value.value),
        ("tailback-lag", 5, 5.0)
    );
    assert!(keda.is_active(&of).await.unwrap());
    assert!(!keda.is_active(&object(&[("model", "n")])).await.unwrap());
    drop(callers);
    eventually_async("none inside", || proxy.model("m")["inFlight"] == 0).await;
    assert_eq!(keda.value(&of, "").await.unwrap().whole, 0);
    // The model was in use a moment ago: the HPA must not get a metric of 0.
    assert!(keda.is_active(&of).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_is_pushed_at_once_and_its_end_after_the_inactive_time() {
    let upstream = Upstream::start();
    let inactive = [("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "0.3")];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &inactive);
    let mut keda = Keda::connect(proxy.admin).await;
    let mut stream = keda.stream(&object(&[("model", "m")])).await;
    assert_eq!(next(&mut stream).await.unwrap(), Some(false));
    let start = Instant::now();
    let caller = hang(proxy.address);
    assert_eq!(next(&mut stream).await.unwrap(), Some(true));
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    drop(caller);
    assert_eq!(next(&mut stream).await.unwrap(), Some(false));
    // Shorter than any look.
    assert_eq!(
        call(proxy.address, "GET", "/v2/models/m/ok", b"")
            .unwrap()
            .status,
        200
    );
    assert_eq!(next(&mut stream).await.unwrap(), Some(true));

    // A model that is gone ends its stream and says why.
    let other = static_manifest("up", upstream.address, &["other"]);
    proxy.rewrite(&other);
    let gone = loop {
        match next(&mut stream).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(gone.code(), Code::NotFound);
    assert!(gone.message().contains("there are: other"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policys_count_is_a_metric_that_dry_run_leaves_to_others() {
    let manifests = "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: sample }
spec:
  concurrency: 2
  process: { command: [sample-server, --port, '{port}', --model, '{model}', --service-time-ms, '300000'] }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: m }
spec: { server: sample, minReplicas: 1, maxReplicas: 9, scaling: { dryRun: true, lagThreshold: 2 } }
";
    let proxy = Tailback::start(manifests, &[]);
    let mut keda = Keda::connect(proxy.admin).await;
    let of = object(&[("model", "m"), ("metric", "replicas")]);
    let specs: Specs = keda.ask("GetMetricSpec", of.clone()).await.unwrap();
    assert_eq!(
        (&*specs.metric_specs[0].name, specs.metric_specs[0].whole),
        ("tailback-replicas", 1)
    );
    assert_eq!(keda.value(&of, "tailback-replicas").await.unwrap().whole, 1);
    let body = include_bytes!("../../../examples/infer.json");
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let mut caller = Client::connect(proxy.address).unwrap();
            let infer = request("POST", "/v2/models/m/infer", &[], body);
            caller.send(infer).unwrap();
            caller
        })
        .collect();
    eventually_async("a wish for more", || {
        proxy.model("m")["replicas"]["wanted"].as_u64() >= Some(3)
    })
    .await;
    assert!(keda.value(&of, "tailback-replicas").await.unwrap().whole >= 3);
    assert_eq!(proxy.model("m")["replicas"]["desired"], 1);
    drop(callers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_trigger_is_reported_with_what_to_set() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m", "n"]), &[]);
    let mut keda = Keda::connect(proxy.admin).await;
    for (metadata, code, part) in [
        (
            &[][..],
            Code::InvalidArgument,
            "metadata.model is not set; expected the name of a model (there are: m, n)",
        ),
        (
            &[("model", "")],
            Code::InvalidArgument,
            "metadata.model is not set",
        ),
        (
            &[("model", "x")],
            Code::NotFound,
            "no model \"x\" (there are: m, n)",
        ),
        (
            &[("model", "m"), ("metric", "rps")],
            Code::InvalidArgument,
            "found \"rps\", expected lag or replicas",
        ),
        (
            &[("model", "m"), ("metric", "replicas")],
            Code::InvalidArgument,
            "set minReplicas or maxReplicas",
        ),
    ] {
        let of = object(metadata);
        let specs = keda.ask::<_, Specs>("GetMetricSpec", of.clone()).await;
        for status in [
            specs.unwrap_err(),
            keda.is_active(&of).await.unwrap_err(),
            keda.value(&of, "").await.unwrap_err(),
            keda.stream(&of).await.message().await.unwrap_err(),
        ] {
            assert_eq!(status.code(), code, "{status}");
            assert!(status.message().contains(part), "{status}");
        }
    }
    let of = object(&[("model", "m")]);
    let status = keda.value(&of, "s0-tailback-lag").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(
        status.message().contains("there is tailback-lag"),
        "{status}"
    );
    let status = keda
        .ask::<_, Specs>("StreamMetricSpec", of)
        .await
        .unwrap_err();
    assert_eq!(
        status.code(),
        Code::Unimplemented,
        "KEDA then asks for specs itself"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_scaler_share_the_port_and_neither_is_on_the_data_port() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let mut keda = Keda::connect(proxy.admin).await;
    let of = object(&[("model", "m")]);
    assert!(!keda.is_active(&of).await.unwrap());
    assert_eq!(
        call(proxy.admin, "GET", "/healthz", b"").unwrap().status,
        200
    );
    // By HTTP/1.1 it is a page that is not there: gRPC needs trailers.
    let post = call(
        proxy.admin,
        "POST",
        "/externalscaler.ExternalScaler/IsActive",
        b"",
    )
    .unwrap();
    assert_eq!(post.status, 404);
    let mut keda = Keda::connect(proxy.address).await;
    let status = keda.is_active(&of).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}

#[test]
fn a_connection_that_says_nothing_more_holds_up_no_other() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let silent: Vec<_> = [
        &b""[..],
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
    ]
    .iter()
    .map(|first| {
        let mut client = Client::connect(proxy.admin).unwrap();
        client.send(first).unwrap();
        client
    })
    .collect();
    assert_eq!(
        call(proxy.admin, "GET", "/healthz", b"").unwrap().status,
        200
    );
    drop(silent);
}
