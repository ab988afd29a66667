//! Whole manifests: the fixtures that must load, and those that must not, with every message.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{CallBody, Kind, Origin, Policy, Replication};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn parse(text: &str) -> Config {
    parse_with(text, &Env::default())
}

fn parse_with(text: &str, env: &Env) -> Config {
    load_text(Path::new("/manifests/a.yaml"), text, env).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The messages of `text`, without the count.
fn messages(text: &str) -> Vec<String> {
    match load_text(Path::new("a.yaml"), text, &Env::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// A process server, then a model with `spec`.
fn with_server(server: &str, spec: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: s }}\n\
         spec: {{ process: {{ command: [x, '{{port}}'] }}, {server} }}\n---\n\
         apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ {spec} }}\n"
    )
}

#[test]
fn every_illegal_fixture_has_exactly_the_messages_beside_it() {
    let folder = fixtures().join("illegal");
    let mut wrong = Vec::new();
    for file in files::list(&folder).unwrap() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let found = match load_text(Path::new(name), &text, &Env::default()) {
            Ok(_) => "loads\n".to_owned(),
            Err(errors) => format!("{errors}\n"),
        };
        let beside = file.with_extension("expected");
        // After a change of wording: write them anew, and read the difference.
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&beside, &found).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{name}: found\n{found}expected\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_process_example_of_the_design_loads() {
    let config = load(&[fixtures().join("process.yaml")], &Env::default()).unwrap();
    let model = &config.models["tfsimple"];
    assert_eq!(
        model.storage_uri.as_deref(),
        Some("gs://seldon-models/triton/simple")
    );
    assert_eq!(model.requirements, ["tensorflow"]);
    assert_eq!(model.memory, Some(102_400));
    assert_eq!(model.concurrency.value, NonZeroU32::new(8));
    let replicas = &model.replicas;
    assert_eq!(
        (
            replicas.min,
            replicas.max,
            replicas.initial,
            replicas.scaled
        ),
        (1, 4, 1, true)
    );
    assert!(matches!(replicas.min_origin, Origin::Model(_)));
    assert!(matches!(replicas.max_origin, Origin::Server(_)));
    let server = &model.server;
    assert_eq!(
        (server.name.as_str(), server.memory),
        ("sample", Some(1 << 30))
    );
    let process = server.process().unwrap();
    assert_eq!(
        process.command,
        ["sample-server", "--port", "{port}", "--model", "{model}"]
    );
    assert_eq!(process.ready, "/v2/health/ready");
    assert_eq!(
        (process.drain.as_secs(), process.start.as_secs()),
        (30, 300)
    );
    assert_eq!(process.directory, fixtures());
}

#[test]
fn several_proxies_need_replicas_that_all_of_them_reach() {
    let env = Env::from([("TAILBACK_KUBE_PEERS", "tailback-admin")]);
    let found = load(&[fixtures().join("process.yaml")], &env).unwrap_err();
    let expected = "(Model tfsimple), line 18: spec: its server sample is of processes on the proxy's own \
                    host, which other proxies do not reach; where TAILBACK_KUBE_PEERS is set, expected a \
                    server that all of them reach, such as kubernetes or static";
    assert!(found.to_string().contains(expected), "{found}");
    let config = load(&[fixtures().join("static.yaml")], &env).unwrap();
    let peers = config.process.peers.unwrap();
    assert_eq!(
        (&*peers.service, &*peers.lease, peers.namespace),
        ("tailback-admin", "tailback", None)
    );
}

#[test]
fn the_static_example_of_the_design_loads() {
    let config = load(&[fixtures().join("static.yaml")], &Env::default()).unwrap();
    let model = &config.models["m"];
    let endpoints = model.server.endpoints().unwrap();
    assert_eq!(endpoints[0].authority, "127.0.0.1:8080");
    assert!(!model.replicas.scaled);
    assert_eq!(
        (
            model.replicas.min,
            model.replicas.initial,
            model.replicas.max
        ),
        (1, 1, 1)
    );
    assert!(Arc::ptr_eq(&model.server, &config.servers["up"]));
}

#[test]
fn a_folder_is_all_its_manifests_and_a_file_given_twice_is_one() {
    let paths = [fixtures(), fixtures().join("static.yaml")];
    let config = load(&paths, &Env::default()).unwrap();
    assert_eq!(
        config.models.keys().collect::<Vec<_>>(),
        [
            "income",
            "iris",
            "llama",
            "llama-adapter",
            "m",
            "meshed",
            "nomadic",
            "tfsimple",
            "wine"
        ]
    );
}

#[test]
fn a_seldon_model_may_have_every_field_that_seldon_knows() {
    let config = load(&[fixtures().join("seldon.yaml")], &Env::default()).unwrap();
    let model = &config.models["income"];
    assert_eq!(
        model.requirements,
        ["sklearn", "mlserver"],
        "the modelType is a requirement as well"
    );
    assert_eq!(model.memory, Some(2));
}

#[test]
fn the_strongest_who_sets_a_threshold_wins() {
    let env = Env::from([
        ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "7"),
        ("SELDON_MODEL_INACTIVE_SECONDS_THRESHOLD", "8"),
        ("TAILBACK_SCALING_POLICY", "lag-step"),
        ("TAILBACK_HOLD_QUEUE", "9"),
    ]);
    let text = with_server(
        "concurrency: 2, hold: { seconds: 0.5 }, scaling: { lagThreshold: 3, inactiveSeconds: 4 }",
        "concurrency: 1, minReplicas: 0, scaling: { lagThreshold: 2, dryRun: true }, hold: { queue: 0 }",
    );
    let model = Arc::clone(&parse_with(&text, &env).models["m"]);
    let scaling = &model.scaling;
    assert_eq!(
        [
            scaling.lag_threshold.origin.to_string(),
            scaling.inactive.origin.to_string(),
            scaling.policy.origin.to_string(),
            scaling.stability.origin.to_string(),
            scaling.dry_run.origin.to_string(),
            model.hold.queue.origin.to_string(),
            model.hold.deadline.origin.to_string(),
            model.concurrency.origin.to_string(),
        ],
        [
            "model m (/manifests/a.yaml, document 2, line 9)",
            "server s (/manifests/a.yaml, document 1, line 4)",
            "environment TAILBACK_SCALING_POLICY",
            "default",
            "model m (/manifests/a.yaml, document 2, line 9)",
            "model m (/manifests/a.yaml, document 2, line 9)",
            "server s (/manifests/a.yaml, document 1, line 4)",
            "model m (/manifests/a.yaml, document 2, line 9)",
        ]
    );
    assert_eq!(
        (scaling.lag_threshold.get(), scaling.inactive.as_secs()),
        (2, 4)
    );
    assert_eq!((*scaling.policy, *scaling.dry_run), (Policy::LagStep, true));
    assert_eq!(
        (*model.hold.queue, *model.hold.deadline),
        (0, Duration::from_millis(500))
    );
    assert_eq!(model.concurrency.value, NonZeroU32::new(1));
}

#[test]
fn a_model_may_lift_the_limits_of_its_server() {
    let text = with_server(
        "scaling: { scaleUpLimit: { replicas: 4, seconds: 60 }, scaleDownLimit: { replicas: 1, seconds: 0.5 } }",
        "minReplicas: 0, scaling: { scaleUpLimit: none, targetWaitSeconds: 0 }",
    );
    let scaling = parse(&text).models["m"].scaling.clone();
    assert_eq!(
        (*scaling.up_limit, *scaling.target_wait),
        (None, Duration::ZERO)
    );
    let limit = scaling.down_limit.unwrap();
    assert_eq!(
        (limit.replicas.get(), limit.within),
        (1, Duration::from_millis(500))
    );
}

#[test]
fn replicas_follow_the_load_only_where_a_bound_is_set() {
    const NONE: u32 = u32::MAX;
    for (server, spec, expected) in [
        ("", "", (1, 1, 1, false)),
        ("", "replicas: 3", (3, 3, 3, false)),
        ("", "replicas: 0", (0, 0, 0, false)),
        ("maxReplicas: 4", "", (1, 1, 1, false)),
        ("maxReplicas: 4", "replicas: 4", (4, 4, 4, false)),
        ("", "minReplicas: 2", (2, NONE, 2, true)),
        ("", "minReplicas: 0", (0, NONE, 0, true)),
        ("", "minReplicas: 0, replicas: 2", (0, NONE, 2, true)),
        ("", "maxReplicas: 5", (1, 5, 1, true)),
        ("maxReplicas: 4", "minReplicas: 2", (2, 4, 2, true)),
        (
            "maxReplicas: 4",
            "minReplicas: 2, maxReplicas: 3, replicas: 3",
            (2, 3, 3, true),
        ),
        ("", "minReplicas: 0, maxReplicas: 0", (0, 0, 0, true)),
    ] {
        let config = parse(&with_server(server, spec));
        let replicas = &config.models["m"].replicas;
        let found = (
            replicas.min,
            replicas.max,
            replicas.initial,
            replicas.scaled,
        );
        assert_eq!(found, expected, "server {{ {server} }}, model {{ {spec} }}");
    }
}

#[test]
fn a_static_server_has_as_many_replicas_as_endpoints() {
    let text = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: up }\n\
        spec: { static: { endpoints: ['http://a', 'http://b:81'] } }\n---\n\
        apiVersion: mlops.seldon.io/v1alpha1\nkind: Model\nmetadata: { name: m }\nspec: { replicas: 7 }\n";
    let replicas = parse(text).models["m"].replicas.clone();
    assert_eq!(
        (
            replicas.min,
            replicas.initial,
            replicas.max,
            replicas.scaled
        ),
        (2, 2, 2, false)
    );
}

#[test]
fn a_command_is_resolved_beside_its_manifest_and_numbers_in_it_are_words() {
    let text = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: s }\n\
        spec:\n  process:\n    command: [./run.sh, -n, 4, --type, text/plain]\n    env: { PORT: '{port}', N: 1 }\n---\n\
        apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: m }\n";
    let server = Arc::clone(&parse(text).servers["s"]);
    let Kind::Process(process) = &server.kind else {
        panic!("a process server")
    };
    assert_eq!(
        process.command,
        ["/manifests/run.sh", "-n", "4", "--type", "text/plain"]
    );
    assert_eq!(
        process.env,
        BTreeMap::from([("PORT".into(), "{port}".into()), ("N".into(), "1".into())])
    );
    assert_eq!(process.directory, Path::new("/manifests"));
}

#[test]
fn models_that_just_fit_the_memory_of_their_server_load() {
    let text = with_server("memory: 1Ki", "memory: 1024");
    assert_eq!(messages(&text), Vec::<String>::new());
}

#[test]
fn errors_of_files_documents_and_variables_come_together_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("big.yaml"), "#".repeat((1 << 20) + 1)).unwrap();
    fs::write(at("bytes.yaml"), b"a: \xff").unwrap();
    fs::write(at("kind.yaml"), "kind: Pod").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let paths = [
        folder.path().to_owned(),
        at("empty"),
        at("missing.yaml"),
        PathBuf::from("/dev/null"),
    ];
    let errors = load(&paths, &Env::from([("TAILBACK_WORKERS", "many")])).unwrap_err();
    let folder = folder.path().display().to_string();
    assert_eq!(
        errors.to_string().replace(&folder, "F"),
        "F/big.yaml: found more than 1048576 bytes, expected a manifest of at most 1 MiB\n\
         F/bytes.yaml: found a byte that is not UTF-8 at offset 3, expected UTF-8 text\n\
         F/empty: found a folder without manifests, expected at least one *.yaml or *.yml file in it\n\
         F/missing.yaml: cannot be read: No such file or directory (os error 2)\n\
         /dev/null: found neither a file nor a folder, expected a manifest file or a folder of them\n\
         F/kind.yaml: document 1, line 1: kind: found \"Pod\", expected a kind that is read here: Server or Model\n\
         environment TAILBACK_WORKERS: found \"many\", expected a whole number from 1 to 1024\n\
         7 errors"
    );
}

#[test]
fn no_path_at_all_is_an_error() {
    let errors = load(&[], &Env::default()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "no manifest given: expected files (*.yaml, *.yml) or folders of them\n1 error"
    );
}

proptest::proptest! {
    #[test]
    fn no_spec_makes_loading_panic(
        server in "(memory|maxReplicas|concurrency|scaling|hold|capabilities): [0-9a-z{}\\[\\]:, -]{0,12}",
        spec in "((replicas|minReplicas|maxReplicas|memory|server|hold|scaling): [0-9a-z{}\\[\\]: -]{0,8},){0,4}",
    ) {
        let _ = messages(&with_server(&server, &spec));
    }
}

#[test]
fn kubernetes_servers_load_with_workloads_shared_or_one_for_each_model() {
    let config = load(&[fixtures().join("kubernetes.yaml")], &Env::default()).unwrap();
    let shown = |model: &str| {
        let model = &config.models[model];
        let spec = model.server.kubernetes().unwrap();
        let replication = model.server.replication();
        (spec.of(&model.name).to_string(), replication)
    };
    let llama = "Deployment (apps/v1) models/llama, Service llama port http (gRPC 8081)";
    assert_eq!(shown("llama"), (llama.to_owned(), Replication::Shared));
    assert_eq!(shown("llama-adapter").0, llama);
    assert_eq!(
        shown("iris"),
        (
            "Model (mlops.seldon.io/v1alpha1) iris, through seldon-mesh:80".to_owned(),
            Replication::PerModel
        )
    );
    let followed = &config.models["llama-adapter"].replicas;
    assert!(
        followed.is_followed(),
        "whatever the workload has: {followed:?}"
    );
    assert!(!config.models["wine"].replicas.is_followed());
    assert!(!config.models["llama"].replicas.is_followed());
}

#[test]
fn a_webhook_server_loads_with_templates_to_fill() {
    let config = load(&[fixtures().join("webhook.yaml")], &Env::default()).unwrap();
    let model = &config.models["nomadic"];
    assert_eq!((model.replicas.min, model.replicas.max), (0, 10));
    let spec = model.server.webhook().unwrap();
    assert_eq!(
        spec.to_string(),
        "POST http://nomad:4646/v1/job/{model}/scale, state http://nomad:4646/v1/job/{model}/scale, \
         through gateway:8080"
    );
    let CallBody::Json(body) = &spec.scale.body else {
        panic!("JSON: {spec:?}");
    };
    assert_eq!(
        body.fill("nomadic", 3).to_string(),
        r#"{"Count":3,"Message":"to 3","Meta":[true,1.5,null,"a"],"Target":{"Group":"nomadic"}}"#
    );
    let state = spec.state.as_ref().unwrap();
    let pointer = state.desired.as_ref().unwrap();
    assert_eq!(pointer.fill("a.b", 0), "/TaskGroups/a.b/Desired");
    assert_eq!(state.period, Duration::from_millis(2500));
}

#[test]
fn the_secrets_of_a_webhook_are_shown_nowhere() {
    let text = include_str!("../../fixtures/webhook.yaml").replace("$${TOKEN}", "${TOKEN}");
    let env = Env::from([("TOKEN", "s3cret")]);
    let config = load_text(Path::new("a.yaml"), &text, &env).unwrap();
    let spec = config.models["nomadic"].server.webhook().unwrap();
    assert_eq!(spec.scale.target.headers[0].1.fill("m", 0), "s3cret");
    assert!(!crate::describe(&config).contains("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
    assert_eq!(spec.redact("no: s3cret".into()), "no: ${TOKEN}");
}

#[test]
fn a_seldon_server_loads_with_the_ports_of_the_scheduler() {
    let config = load(&[fixtures().join("seldon-scheduler.yaml")], &Env::default()).unwrap();
    let model = &config.models["meshed"];
    let spec = model.server.seldon().unwrap();
    assert_eq!(
        spec.to_string(),
        "status seldon-scheduler.seldon-mesh:9004, triggers seldon-scheduler.seldon-mesh:9005, \
         through seldon-mesh.seldon-mesh:80"
    );
    assert_eq!(model.server.replication(), Replication::PerModel);
}
