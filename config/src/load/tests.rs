//! Tests with whole manifests: fixtures that must load, and fixtures that must be refused with
//! exact messages.

mod health;
mod multi_model;
mod names;
mod processes;
mod seldon_servers;
mod servers;

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Origin, Policy};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn parse(text: &str) -> Config {
    parse_with(text, &Env::default())
}

fn parse_with(text: &str, env: &Env) -> Config {
    load_text(Path::new("/manifests/a.yaml"), text, env).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The error messages for `text`, without their count.
fn messages(text: &str) -> Vec<String> {
    match load_text(Path::new("a.yaml"), text, &Env::default()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// A process server, and a model with `spec`.
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
        // After a change of wording, this writes the expectations again; review the difference.
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
fn a_folder_is_all_its_manifests_and_a_file_given_twice_is_one() {
    let paths = [fixtures(), fixtures().join("static.yaml")];
    let config = load(&paths, &Env::default()).unwrap();
    assert_eq!(
        config.models.keys().collect::<Vec<_>>(),
        [
            "Qwen/Qwen2.5-7B-Instruct",
            "income",
            "income_classifier",
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
fn the_strongest_origin_of_a_threshold_wins() {
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
        ("", "minReplicas: 0, maxReplicas: 1", (0, 1, 0, true)),
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
         F/kind.yaml: document 1, line 1: kind: found \"Pod\", expected a kind that is read here: Server, ServerConfig, Model or Host\n\
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
fn each_time_limit_comes_from_its_strongest_origin() {
    let env = Env::from([
        ("TAILBACK_FIRST_BYTE_TIMEOUT_SECONDS", "7"),
        ("TAILBACK_STREAM_IDLE_TIMEOUT_SECONDS", "8"),
        ("TAILBACK_TOTAL_TIMEOUT_SECONDS", "9"),
    ]);
    let text = with_server(
        "timeouts: { connectSeconds: 0.5, firstByteSeconds: 3 }",
        "timeouts: { firstByteSeconds: 2, totalSeconds: none }",
    );
    let config = parse_with(&text, &env);
    let timeouts = &config.models["m"].timeouts;
    assert_eq!(timeouts.connect.as_secs_f64(), 0.5);
    assert!(matches!(timeouts.connect.origin, Origin::Server(_)));
    assert_eq!(timeouts.first_byte.as_secs(), 2);
    assert!(matches!(timeouts.first_byte.origin, Origin::Model(_)));
    assert_eq!(timeouts.stream_idle.as_secs(), 8);
    assert!(matches!(
        timeouts.stream_idle.origin,
        Origin::Environment(_)
    ));
    assert_eq!(timeouts.response_header.as_secs(), 600);
    assert_eq!(timeouts.response_header.origin, Origin::Default);
    assert_eq!(timeouts.total.value, None);
    assert!(matches!(timeouts.total.origin, Origin::Model(_)));
}

#[test]
fn a_request_is_held_as_long_as_a_start_may_take_unless_somebody_says_otherwise() {
    let manifest =
        |hold: &str| with_server("", hold).replace("process: {", "process: { startSeconds: 900,");
    let held = |text: &str, env: &Env| parse_with(text, env).models["m"].hold.deadline.clone();
    let by_default = held(&manifest(""), &Env::default());
    assert_eq!(by_default.as_secs(), 900);
    assert!(matches!(by_default.origin, Origin::Server(_)));
    assert_eq!(held(&with_server("", ""), &Env::default()).as_secs(), 300);
    let env = Env::from([("TAILBACK_HOLD_SECONDS", "20")]);
    assert_eq!(held(&manifest(""), &env).as_secs(), 20);
    assert_eq!(held(&manifest("hold: { seconds: 5 }"), &env).as_secs(), 5);
}
