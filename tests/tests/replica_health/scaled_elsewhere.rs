//! Replicas that others run, in Kubernetes or by a webhook: Tailback keeps requests away from those
//! whose health checks fail, and leaves it to others to replace them.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use tailback_tests::{
    api::Api,
    cluster::{Cluster, NAMESPACE, manifests},
    eventually,
    kubernetes::controllers::{kubelet::Kubelet, pod::Readiness},
    process::Tailback,
    upstream::Upstream,
};

use super::{call_until, logged, replica};

const HEALTH_CHECK: &str = "healthCheck: { probe: /up, periodSeconds: 0.1, unhealthyThreshold: 2, \
                            replaceAfterSeconds: 0.2 }";

/// Lets `sick` fail its health checks, and looks at what becomes of it and of `good`.
fn falls_sick(proxy: &Tailback, good: &Upstream, sick: &Upstream) {
    let of_sick = |field: &str| replica(proxy, sick.address)[field].clone();
    eventually("the first check", || of_sick("lastProbe") == "ok");
    let said = || logged(proxy, &["its health checks fail", "1 of 2"]);
    let said_before = said();
    sick.set_manner(Some("sick"));
    eventually("the checks to fail", || of_sick("health") == "unhealthy");
    let last = of_sick("lastProbe").to_string();
    assert!(last.contains("GET /up answered 503"), "{last}");
    assert_eq!(said(), said_before + 1);
    let (before, at_good) = (
        of_sick("requests"),
        replica(proxy, good.address)["requests"].clone(),
    );
    let samples = call_until(proxy, |samples| samples.len() < 100);
    assert!(samples.iter().all(|sample| sample.status() == 200));
    assert_eq!(of_sick("requests"), before);
    assert!(replica(proxy, good.address)["requests"].as_u64() >= at_good.as_u64().map(|n| n + 100));
    // Longer than a process would be kept.
    let checks = sick.heads().len();
    eventually("more checks", || sick.heads().len() > checks + 10);
    assert_eq!(proxy.ready("m"), 2, "it is there still");
}

fn gets_well(proxy: &Tailback, sick: &Upstream) {
    sick.set_manner(None);
    let of_sick = |field: &str| replica(proxy, sick.address)[field].clone();
    eventually("the checks to be good", || of_sick("health") == "healthy");
    let before = of_sick("requests").as_u64();
    call_until(proxy, |_| of_sick("requests").as_u64() <= before);
    assert!(of_sick("requests").as_u64() > before, "it gets requests");
}

#[test]
fn a_pod_whose_health_checks_fail_gets_no_requests_and_is_left_to_its_cluster() {
    let cluster = Cluster::without_pods(2);
    cluster.double.run_controllers(Kubelet::ByHand);
    eventually("two pods", || cluster.pods().len() == 2);
    let names = || -> Vec<String> {
        let name = |pod: Value| pod["metadata"]["name"].as_str().unwrap().to_owned();
        cluster.pods().into_iter().map(name).collect()
    };
    // A network of the loopback interface that no other test has.
    let (a, b) = (fastrand::u8(16..=254), fastrand::u8(..));
    let first = names();
    let mut pods = first.iter().zip(1..).map(|(name, host)| {
        let upstream = Upstream::at((Ipv4Addr::new(127, a, b, host), 8080).into());
        let at: SocketAddr = upstream.address;
        let ran = cluster
            .double
            .run_pod(NAMESPACE, name, at.ip(), Readiness::Ready);
        ran.expect("a running pod");
        upstream
    });
    let [good, sick] = [(); 2].map(|()| pods.next().expect("two pods"));
    let manifests = |replicas: u32| {
        let manifests = manifests(&format!("replicas: {replicas}"));
        manifests.replace(
            "  concurrency: 4\n",
            &format!("  concurrency: 4\n  {HEALTH_CHECK}\n"),
        )
    };
    let proxy = cluster.serve(&manifests(2));
    eventually("both pods", || proxy.ready("m") == 2);
    falls_sick(&proxy, &good, &sick);
    assert_eq!(names(), first, "the same pods");
    assert!(cluster.scale_answers().is_empty());
    let deletions = cluster.double.asked();
    assert!(deletions.iter().all(|asked| asked.verb != "delete"));
    gets_well(&proxy, &sick);

    // Of too many, it is the one to go.
    falls_sick(&proxy, &good, &sick);
    proxy.rewrite(&manifests(1));
    let leaving = || {
        let is_leaving = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_string();
        cluster.pods().into_iter().find(is_leaving)
    };
    eventually("a pod to go", || leaving().is_some());
    assert_eq!(
        leaving().unwrap()["status"]["podIP"],
        sick.address.ip().to_string()
    );
}

#[test]
fn a_webhooks_replica_whose_health_checks_fail_gets_no_requests_and_the_api_is_not_asked() {
    let (good, sick) = (Upstream::start(), Upstream::start());
    let state = format!(
        r#"{{"want": 2, "at": ["{}", "{}"]}}"#,
        good.address, sick.address
    );
    let api = Api::start(&state);
    let manifests = format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: api }}
spec:
  {HEALTH_CHECK}
  webhook:
    scale: {{ method: PUT, url: 'http://{0}/jobs/{{model}}', body: {{ Count: '{{replicas}}' }} }}
    state: {{ url: 'http://{0}/state/{{model}}', desired: /want, endpoints: /at, periodSeconds: 0.1 }}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m }}
spec: {{ server: api, replicas: 2 }}
",
        api.address
    );
    let proxy = Tailback::start(&manifests, &[]);
    eventually("both replicas", || proxy.ready("m") == 2);
    falls_sick(&proxy, &good, &sick);
    assert!(api.requests("PUT").is_empty(), "nothing is asked for");
    gets_well(&proxy, &sick);
}
