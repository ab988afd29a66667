//! Seldon's `Server` documents, and documents of kinds that are not read.

use super::*;
use crate::{WorkloadSource, server_as_model};

const CONFIGS: &str = r#"
apiVersion: tailback.dev/v1alpha1
kind: ServerConfig
metadata: { name: mlserver }
spec:
  capabilities: [mlserver, sklearn]
  memory: 1G
  concurrency: 4
  kubernetes: { kind: StatefulSet, name: "{server}", service: { name: "{server}", port: 9000 } }
---
apiVersion: tailback.dev/v1alpha1
kind: ServerConfig
metadata: { name: local }
spec:
  capabilities: [python]
  memory: 1G
  multiModel: { overcommitPercentage: 20, repository: "./models/{server}" }
  process:
    command: [mlserver, start, "./models/{server}", "{other}"]
    env: { PORT: "{port}", NAME: "{server}" }
---
apiVersion: tailback.dev/v1alpha1
kind: ServerConfig
metadata: { name: fixed }
spec: { static: { endpoints: ["http://127.0.0.1:8080", "http://127.0.0.1:8081"] } }
---
"#;

/// A server of Seldon's with `spec`, one more document behind [`CONFIGS`].
fn seldon(spec: &str) -> Arc<crate::Server> {
    let text = format!(
        "{CONFIGS}{{ apiVersion: mlops.seldon.io/v1alpha1, kind: Server, metadata: {{ name: s, namespace: n }}, \
         spec: {{ {spec} }} }}\n---\n\
         {{ apiVersion: mlops.seldon.io/v1alpha1, kind: Model, metadata: {{ name: m }}, spec: {{ server: s }} }}\n"
    );
    Arc::clone(&parse(&text).models["m"].server)
}

#[test]
fn a_server_of_seldons_is_what_its_config_says_with_its_own_capabilities_and_counts() {
    let server = seldon(
        "serverConfig: mlserver, extraCapabilities: [xgb, sklearn], replicas: 2, minReplicas: 1, maxReplicas: 4",
    );
    assert_eq!(server.capabilities, ["mlserver", "sklearn", "xgb"]);
    assert_eq!(server.memory, Some(1_000_000_000));
    assert_eq!(server.concurrency, NonZeroU32::new(4));
    assert_eq!(server.max_replicas, Some(4));
    assert_eq!(
        (server.name.as_str(), server.place.name.as_str()),
        ("s", "s")
    );
    let own = server.multi_model.clone().unwrap().replicas;
    assert_eq!((own.min, own.initial, own.max, own.scaled), (1, 2, 4, true));
    let workload = server.kubernetes().unwrap();
    assert_eq!(workload.name, "s");
    assert!(matches!(&workload.source, WorkloadSource::Service(service) if service.name == "s"));

    let replaced =
        seldon("serverConfig: mlserver, capabilities: [only], extraCapabilities: [more]");
    assert_eq!(replaced.capabilities, ["only", "more"]);
    assert!(
        server_as_model(&replaced).replicas.is_followed(),
        "nothing says how many pods there are to be"
    );
}

#[test]
fn a_bound_of_zero_is_none_and_a_static_server_has_its_endpoints() {
    let counts = |spec: &str| {
        let own = seldon(spec).multi_model.clone().unwrap().replicas;
        (own.min, own.initial, own.max, own.scaled)
    };
    assert_eq!(
        counts("serverConfig: local, replicas: 2, minReplicas: 0, maxReplicas: 0"),
        (2, 2, 2, false)
    );
    assert_eq!(counts("serverConfig: fixed, replicas: 7"), (2, 2, 2, false));
}

#[test]
fn the_memory_of_a_pods_model_server_is_read_where_there_are_pods() {
    let pod = |containers: &str| {
        format!("podSpec: {{ containers: [{containers}], anything: {{ else: 1 }} }}")
    };
    let memory = |config: &str, containers: &str| {
        seldon(&format!("serverConfig: {config}, {}", pod(containers))).memory
    };
    let requests = |name: &str, memory: &str| {
        format!(
            "{{ name: {name}, image: a, resources: {{ requests: {{ memory: {memory}, cpu: 1 }} }} }}"
        )
    };
    let limits = "{ name: triton, resources: { limits: { memory: 3Gi } } }";
    let gib = |n: u64| Some(n << 30);
    assert_eq!(memory("mlserver", &requests("mlserver", "2Gi")), gib(2));
    assert_eq!(memory("mlserver", limits), gib(3));
    let all = [
        requests("agent", "1Gi"),
        requests("x", "4Gi"),
        requests("mlserver", "2Gi"),
    ];
    assert_eq!(memory("mlserver", &all.join(", ")), gib(2));
    assert_eq!(memory("mlserver", &all[..2].join(", ")), gib(4));
    assert_eq!(memory("mlserver", &all[0]), Some(1_000_000_000));
    assert_eq!(
        memory("local", &requests("local", "2Gi")),
        Some(1_000_000_000)
    );
}

#[test]
fn the_name_of_the_server_is_put_where_its_config_says_so() {
    let server = seldon("serverConfig: local");
    let process = server.process().unwrap();
    assert_eq!(
        process.command,
        ["mlserver", "start", "/manifests/models/s", "{other}"]
    );
    assert_eq!(process.env["NAME"], "s");
    let repository = server.multi_model.clone().unwrap().repository.unwrap();
    assert_eq!(repository.path, Path::new("/manifests/./models/s"));
}

#[test]
fn documents_of_other_kinds_are_skipped_where_a_variable_says_so() {
    let others = "
{ apiVersion: mlops.seldon.io/v1alpha1, kind: Pipeline, metadata: { name: p }, spec: { steps: [] } }
---
{ apiVersion: mlops.seldon.io/v1alpha1, kind: Experiment, metadata: { name: e } }
---
{ apiVersion: mlops.seldon.io/v1alpha1, kind: ServerConfig, metadata: { name: mlserver } }
---
{ apiVersion: v1, kind: ConfigMap, metadata: { name: c }, data: { any: thing } }
---
{ apiVersion: mlops.seldon.io/v1alpha1, kind: Pipeline, metadata: { name: \"bad\\nname\" } }
---
";
    let text = format!("{others}{}", with_server("", ""));
    let skip = Env::from([("TAILBACK_SKIP_OTHER_KINDS", "true")]);
    let config = parse_with(&text, &skip);
    assert_eq!(config.models.len(), 1);
    assert_eq!(
        config.skipped.to_string(),
        "skipped documents of other kinds: 1 ConfigMap, 1 Experiment, 2 Pipeline, 1 ServerConfig"
    );
    let places: Vec<_> = config.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(
        places[0],
        "/manifests/a.yaml: document 1 (Pipeline p), line 2"
    );
    assert_eq!(
        places[4],
        "/manifests/a.yaml: document 5 (Pipeline), line 10"
    );
    assert_eq!(messages(&text).len(), 5, "without it they are errors");

    for wrong in [
        "apiVersion: tailback.dev/v1alpha1\nkind: Pipeline\nmetadata: { name: p }\n",
        "apiVersion: tailback.dev/v1\nkind: Model\nmetadata: { name: p }\n",
        "kind: Pipeline\nmetadata: { name: p }\n",
        "apiVersion: v1\nmetadata: { name: p }\n",
        "apiVersion: v1\nkind: {}\n",
        "[a list]\n",
    ] {
        let text = format!("{wrong}---\n{}", with_server("", ""));
        let found = load_text(Path::new("a.yaml"), &text, &skip);
        assert!(found.is_err(), "{wrong} may be a slip");
    }
}
