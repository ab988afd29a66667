//! Tests of process servers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::{GrpcProbe, HttpProbe, LinePattern, Listener, Readiness, Strategy};

fn process_with(more: &str) -> crate::ProcessSpec {
    let text = format!(
        "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: s }}\n\
         spec:\n  process:\n    command: [server, '{{port}}']\n    {more}\n---\n\
         apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\n"
    );
    parse(&text).servers["s"].process().unwrap().clone()
}

#[test]
fn readiness_is_asked_for_by_one_of_its_kinds() {
    let grpc = |service: &str| {
        Readiness::Grpc(GrpcProbe {
            service: service.into(),
        })
    };
    let probe = HttpProbe {
        path: "/up?full=1".into(),
        headers: BTreeMap::from([("authorization".into(), "Bearer x".into())]),
        codes: vec![200, 204],
    };
    for (more, expected) in [
        ("", Readiness::path("/v2/health/ready")),
        ("ready: /health", Readiness::path("/health")),
        ("ready: tcp", Readiness::Tcp),
        ("ready: none", Readiness::None),
        ("ready: grpc", grpc("")),
        (
            "ready: { grpc: inference.Health }",
            grpc("inference.Health"),
        ),
        (
            "ready: { line: 'running on .*:\\d+' }",
            Readiness::Line(LinePattern::parse(r"running on .*:\d+").unwrap()),
        ),
        ("runtime: vllm", Readiness::path("/health")),
        ("runtime: ollama", Readiness::path("/")),
        ("runtime: vllm\n    ready: tcp", Readiness::Tcp),
        (
            "ready: { path: '/up?full=1', headers: { authorization: Bearer x }, codes: [200, 204] }",
            Readiness::Http(probe),
        ),
    ] {
        assert_eq!(process_with(more).ready.value, expected, "{more}");
    }
}

#[test]
fn a_runtime_presets_what_the_manifest_does_not_say() {
    let seconds = Duration::from_secs;
    for (runtime, ready, metrics, start, stop) in [
        ("oip", "/v2/health/ready", None, 300, 10),
        ("mlserver", "/v2/health/ready", None, 300, 10),
        ("triton", "/v2/health/ready", None, 600, 40),
        ("llama.cpp", "/health", Some("/metrics"), 600, 10),
        ("vllm", "/health", Some("/metrics"), 1800, 30),
        ("sglang", "/health", Some("/metrics"), 1800, 30),
        ("tgi", "/health", Some("/metrics"), 1800, 30),
        ("ollama", "/", None, 300, 10),
    ] {
        let preset = process_with(&format!("runtime: {runtime}"));
        assert_eq!(preset.ready.value, Readiness::path(ready), "{runtime}");
        assert_eq!(preset.metrics_path.as_deref(), metrics, "{runtime}");
        let limits = (preset.start.value, preset.stop.value, preset.drain.value);
        let expected = (seconds(start), seconds(stop), Some(seconds(3600)));
        assert_eq!(limits, expected, "{runtime}");
        let origin = |is_default| match is_default {
            true => Origin::Default,
            false => Origin::Runtime(runtime),
        };
        assert_eq!(preset.start.origin, origin(start == 300));
        assert_eq!(preset.metrics_path.origin, origin(metrics.is_none()));
        assert_eq!(preset.drain.origin, Origin::Default);
        let own = process_with(&format!(
            "startSeconds: 7\n    runtime: {runtime}\n    ready: tcp\n    metricsPath: none\n    stopSeconds: 8"
        ));
        assert_eq!(own.ready.value, Readiness::Tcp);
        assert_eq!(own.metrics_path.value, None);
        let limits = (own.start.value, own.stop.value);
        assert_eq!(limits, (seconds(7), seconds(8)));
        for origin in [
            &own.start.origin,
            &own.ready.origin,
            &own.metrics_path.origin,
        ] {
            assert!(matches!(origin, Origin::Server(_)), "{origin}");
        }
    }
}

#[test]
fn callers_are_held_as_long_as_a_start_by_the_runtime_may_take() {
    let text = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: s }\n\
         spec: { process: { command: [vllm, '{port}'], runtime: vllm } }\n---\n\
         apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: m }\n";
    let config = parse(text);
    let hold = &config.models["m"].hold.deadline;
    assert_eq!(hold.value, Duration::from_secs(1800));
    assert_eq!(hold.origin, Origin::Runtime("vllm"));
    let shown = crate::describe(&config);
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    for row in [
        "startSeconds 1800 s runtime vllm",
        "metricsPath /metrics runtime vllm",
        "drainSeconds 3600 s default",
        "hold.seconds 1800 s runtime vllm",
    ] {
        let row: Vec<_> = row.split(' ').collect();
        assert!(rows.contains(&row), "{row:?}: {shown}");
    }
}

#[test]
fn how_a_process_is_run_and_replaced_is_the_users_to_say() {
    let plain = process_with("");
    assert_eq!(
        (
            plain.drain.value,
            plain.strategy,
            plain.listener,
            plain.stop_signal
        ),
        (
            Some(Duration::from_secs(3600)),
            Strategy::Surge,
            Listener::Replica,
            "SIGTERM"
        )
    );
    assert_eq!(
        (plain.user, plain.nice, plain.open_files),
        (None, None, None)
    );
    let set = process_with(
        "drainSeconds: none\n    strategy: recreate\n    listener: any\n    stopSignal: INT\n    cwd: work\n    \
         user: nobody\n    inheritEnv: [AWS_*, FOO]\n    limits: { nice: -5, openFiles: 65536 }",
    );
    assert_eq!(
        (set.drain.value, set.strategy, set.listener, set.stop_signal),
        (None, Strategy::Recreate, Listener::Any, "SIGINT")
    );
    assert_eq!(set.directory, Path::new("/manifests/work"));
    assert_eq!(set.user.as_deref(), Some("nobody"));
    assert_eq!(set.inherit_env, ["AWS_*", "FOO"]);
    assert_eq!((set.nice, set.open_files), (Some(-5), Some(65536)));
}
