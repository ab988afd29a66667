//! Tests of the variables: the table, the settings that they make, and the values that are
//! refused.

use super::*;
use crate::ClusterModels;
use crate::Policy;

fn read_all(env: Env) -> (Option<Environment>, Vec<String>) {
    let mut errors = Vec::new();
    let environment = read(&env, &mut errors);
    (
        environment,
        errors.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn an_empty_environment_gives_the_defaults_of_the_table() {
    let (environment, errors) = read_all(Env::default());
    assert_eq!(errors, Vec::<String>::new());
    let Environment {
        process,
        model_defaults,
    } = environment.unwrap();
    assert_eq!(process.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(process.admin.to_string(), "127.0.0.1:9006");
    assert_eq!(process.workers, cores());
    assert_eq!(
        (process.log.as_str(), process.log_format),
        ("info", LogFormat::Text)
    );
    assert_eq!(process.scaling_period, Duration::from_secs(20));
    let Timeouts {
        header,
        keep_alive,
        body,
        body_rate,
        stream_idle,
        drain,
        tunnel_drain,
        upgrade_drain,
    } = process.timeouts;
    let seconds = [header, keep_alive, body, stream_idle, drain].map(|time| time.as_secs());
    assert_eq!(seconds, [10, 75, 60, 600, 60]);
    assert_eq!((body_rate, process.half_close), (500, HalfClose::Answer));
    assert_eq!((tunnel_drain.as_secs(), process.tls), (10, None));
    assert_eq!(upgrade_drain.as_secs(), 3600);
    let limits = Limits {
        header_bytes: 16_384,
        header_fields: 100,
        held_bytes: 256 * 1024 * 1024,
        memory: MemoryMax::ControlGroup,
        connections: None,
    };
    assert_eq!(process.limits, limits);
    assert_eq!(process.peers, None);
    assert_eq!(process.set, []);
    assert_eq!(
        model_defaults.policy,
        Setting::new(Policy::Lag, Origin::Default)
    );
    assert_eq!(model_defaults.lag_threshold.get(), 30);
    assert_eq!(model_defaults.inactive.as_secs(), 600);
    assert_eq!(model_defaults.stability.as_secs(), 60);
    assert_eq!(*model_defaults.queue, 10_000);
    assert_eq!(model_defaults.deadline.as_secs(), 300);
    let timeouts = model_defaults.timeouts;
    let seconds = [
        timeouts.connect,
        timeouts.response_header,
        timeouts.first_byte,
        timeouts.stream_idle,
    ];
    assert_eq!(seconds.map(|time| time.as_secs()), [5, 600, 600, 600]);
    assert_eq!(timeouts.total, Setting::new(None, Origin::Default));
}

#[test]
fn every_variable_of_the_table_is_read_and_refuses_nonsense() {
    for variable in VARIABLES {
        // Any text is a path (combinations for TLS are tested below), and most texts are a
        // namespace.
        if variable.default == "none" {
            continue;
        }
        // Not an address, a number, a known word, or a name in a cluster.
        let nonsense = "Non sense";
        // A variable that needs another one gets it.
        let (_, errors) = read_all(Env::from([
            ("TAILBACK_KUBE_PEERS", "of-any-cluster"),
            ("TAILBACK_KUBE_MODELS", "*"),
            ("TAILBACK_TLS_CERT", "/c.pem"),
            ("TAILBACK_TLS_KEY", "/k.pem"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
            (variable.name, nonsense),
        ]));
        assert_eq!(errors.len(), 1, "{}: {errors:?}", variable.name);
        let start = format!(
            "environment {}: found {nonsense:?}, expected ",
            variable.name
        );
        assert!(errors[0].starts_with(&start), "{}", errors[0]);
    }
}

#[test]
fn models_are_found_in_one_namespace_of_the_cluster_or_in_all() {
    let found = |namespace: &'static str| {
        let (environment, errors) = read_all(Env::from([("TAILBACK_KUBE_MODELS", namespace)]));
        (environment.unwrap().process.cluster_models, errors.len())
    };
    let models = |namespace: Option<&str>| ClusterModels {
        namespace: namespace.map(str::to_owned),
        gateway: "http://seldon-mesh.{namespace}".into(),
    };
    assert_eq!(found("*"), (Some(models(None)), 0));
    assert_eq!(found("models"), (Some(models(Some("models"))), 0));
    assert_eq!(found(""), (None, 0));
    assert_eq!(found("a, b").1, 1);

    let gateway = Env::from([("TAILBACK_KUBE_GATEWAY", "http://mesh")]);
    let (_, errors) = read_all(gateway);
    assert_eq!(
        errors,
        [
            "environment TAILBACK_KUBE_MODELS: found nothing, expected a namespace, or * for all, as TAILBACK_KUBE_GATEWAY is set"
        ]
    );
}

#[test]
fn tls_needs_certificate_and_key() {
    let tls = |pairs: &[(&'static str, &'static str)]| {
        let (environment, errors) = read_all(pairs.iter().copied().collect());
        (environment.unwrap().process.tls, errors)
    };
    let (set, errors) = tls(&[
        ("TAILBACK_TLS_CERT", "/c.pem"),
        ("TAILBACK_TLS_KEY", "/k.pem"),
        ("TAILBACK_TLS_MIN_VERSION", "1.3"),
    ]);
    let expected = ListenerTls {
        cert: "/c.pem".into(),
        key: "/k.pem".into(),
        client_ca: None,
        min_version: TlsVersion::V13,
    };
    assert_eq!((set, errors), (Some(expected), vec![]));
    for (alone, missing) in [
        ("TAILBACK_TLS_CERT", "TAILBACK_TLS_KEY"),
        ("TAILBACK_TLS_KEY", "TAILBACK_TLS_CERT"),
        ("TAILBACK_TLS_CLIENT_CA", "TAILBACK_TLS_CERT"),
        ("TAILBACK_TLS_MIN_VERSION", "TAILBACK_TLS_CERT"),
    ] {
        let value = match alone {
            "TAILBACK_TLS_MIN_VERSION" => "1.3",
            _ => "/x.pem",
        };
        let (set, errors) = tls(&[(alone, value)]);
        assert_eq!(set, None);
        assert_eq!(errors.len(), 1);
        let start =
            format!("environment {missing}: found nothing, expected a path, as {alone} is set");
        assert!(errors[0].starts_with(&start), "{errors:?}");
    }
}

#[test]
fn variables_set_what_they_are_named_for() {
    let (environment, errors) = read_all(Env::from([
        ("TAILBACK_LISTEN", "[::]:80"),
        ("TAILBACK_ADMIN", "0.0.0.0:81"),
        ("TAILBACK_WORKERS", "3"),
        ("TAILBACK_LOG", "warn,tailback=debug"),
        ("TAILBACK_LOG_FORMAT", "json"),
        ("TAILBACK_CONNECT_TIMEOUT_SECONDS", "0.5"),
        ("TAILBACK_HEADER_MAX_BYTES", "8192"),
        ("TAILBACK_HEADER_MAX_FIELDS", "7"),
        ("TAILBACK_MAX_CONNECTIONS", "12"),
        ("TAILBACK_MEMORY_MAX", "512Mi"),
        ("TAILBACK_SCALING_POLICY", "lag-step"),
        ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "5"),
        ("TAILBACK_SCALING_STABILITY_SECONDS", "0"),
        ("TAILBACK_HOLD_QUEUE", "0"),
        ("TAILBACK_HOLD_SECONDS", ""),
        ("SELDON_ANYTHING_ELSE", "x"),
    ]));
    assert_eq!(errors, Vec::<String>::new());
    let Environment {
        process,
        model_defaults,
    } = environment.unwrap();
    assert_eq!(
        (
            process.listen.port(),
            process.admin.port(),
            process.workers.get()
        ),
        (80, 81, 3)
    );
    assert_eq!(
        (process.log.as_str(), process.log_format),
        ("warn,tailback=debug", LogFormat::Json)
    );
    assert_eq!(
        model_defaults.timeouts.connect.value,
        Duration::from_millis(500)
    );
    let limits = Limits {
        header_bytes: 8192,
        header_fields: 7,
        held_bytes: 256 * 1024 * 1024,
        memory: MemoryMax::Bytes(512 << 20),
        connections: Some(12),
    };
    assert_eq!(process.limits, limits);
    assert_eq!(process.peers, None);
    assert_eq!(model_defaults.policy.value, Policy::LagStep);
    let origin = Origin::Environment("SELDON_MODEL_INFERENCE_LAG_THRESHOLD");
    assert_eq!(model_defaults.lag_threshold.origin, origin);
    assert!(model_defaults.stability.is_zero());
    assert_eq!(*model_defaults.queue, 0);
    assert_eq!(
        model_defaults.deadline.origin,
        Origin::Default,
        "set to nothing is not set"
    );
    assert!(
        process
            .set
            .contains(&Origin::Environment("TAILBACK_WORKERS"))
    );
    assert!(
        !process
            .set
            .contains(&Origin::Environment("TAILBACK_HOLD_SECONDS"))
    );
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (name, value) in [
        ("TAILBACK_LISTEN", "localhost"),
        ("TAILBACK_WORKERS", "0"),
        ("TAILBACK_HEADER_MAX_BYTES", "8191"),
        ("TAILBACK_HEADER_MAX_FIELDS", "0"),
        ("TAILBACK_MAX_CONNECTIONS", "0"),
        ("TAILBACK_BODY_TIMEOUT_SECONDS", "0"),
        ("TAILBACK_BODY_TIMEOUT_SECONDS", "-1"),
        ("SELDON_SCALING_STATS_PERIOD_SECONDS", "0.0"),
        ("SELDON_MODEL_INFERENCE_LAG_THRESHOLD", "0"),
    ] {
        assert_eq!(
            read_all(Env::from([(name, value)])).1.len(),
            1,
            "{name}={value}"
        );
    }
    let (_, errors) = read_all(Env::from([("TAILBACK_ADMIN", "127.0.0.1:9000")]));
    let expected = "environment TAILBACK_ADMIN: found \"127.0.0.1:9000\", expected another address than TAILBACK_LISTEN's";
    assert_eq!(errors, [expected]);
}

#[test]
fn an_unknown_variable_of_ours_is_an_error_with_a_guess() {
    let (_, errors) = read_all(Env::from([
        ("TAILBACK_WORKER", "2"),
        ("TAILBACK_COLOUR", "red"),
        ("PATH", "/"),
    ]));
    assert_eq!(
        errors,
        [
            "environment TAILBACK_COLOUR: there is no such setting",
            "environment TAILBACK_WORKER: there is no such setting; did you mean TAILBACK_WORKERS?",
        ]
    );
}

#[test]
fn what_kubernetes_sets_for_a_service_of_our_name_is_not_taken_for_a_setting() {
    let names = [
        "TAILBACK_SERVICE_HOST",
        "TAILBACK_SERVICE_PORT",
        "TAILBACK_SERVICE_PORT_HTTP",
        "TAILBACK_PORT",
        "TAILBACK_PORT_9000_TCP",
        "TAILBACK_ADMIN_PORT_9006_TCP_ADDR",
    ];
    let (_, errors) = read_all(
        names
            .into_iter()
            .map(|name| (name, "tcp://10.0.0.1:9000"))
            .collect(),
    );
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn a_lease_without_a_service_of_peers_is_an_error() {
    for name in ["TAILBACK_KUBE_LEASE", "TAILBACK_KUBE_NAMESPACE"] {
        let (_, errors) = read_all(Env::from([(name, "x")]));
        let expected = format!("expected the name of a Service, as {name} is set");
        assert!(
            errors.len() == 1 && errors[0].contains(&expected),
            "{errors:?}"
        );
    }
    let (environment, errors) = read_all(Env::from([("TAILBACK_KUBE_PEERS", "No_Name")]));
    assert!(errors[0].contains("TAILBACK_KUBE_PEERS"), "{errors:?}");
    assert_eq!(environment.unwrap().process.peers, None);
}

/// The rows of the documentation's table: name, default, meaning.
fn documented() -> Vec<[String; 3]> {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/reference/environment.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| {
        let name = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split('`').next());
        name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    });
    rows.map(|row| {
        let mut cells = row
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned());
        let mut next = || cells.next().unwrap();
        let (name, default, meaning) = (next(), next(), next());
        [
            name.trim_matches('`').to_owned(),
            default.trim_matches('`').to_owned(),
            meaning,
        ]
    })
    .collect()
}

#[test]
fn the_documentation_lists_exactly_the_variables_of_the_table() {
    let table = VARIABLES
        .iter()
        .map(|variable| [variable.name, variable.default, variable.meaning].map(str::to_owned));
    let mut table: Vec<_> = table.collect();
    let mut documented = documented();
    table.sort();
    documented.sort();
    assert_eq!(documented, table);
}

#[test]
fn options_of_the_command_line_win_over_variables() {
    let env = Env::from([("TAILBACK_WORKERS", "2"), ("TAILBACK_LISTEN", "9001")]);
    let options = [
        ("TAILBACK_WORKERS", "3".to_owned()),
        ("TAILBACK_HOLD_QUEUE", "4".to_owned()),
    ];
    let (environment, errors) = read_all(env.clone().with_options(options));
    assert_eq!(errors, Vec::<String>::new());
    let environment = environment.unwrap();
    assert_eq!(environment.process.workers.get(), 3);
    assert_eq!(environment.process.listen.to_string(), "127.0.0.1:9001");
    assert_eq!(
        environment.process.set,
        [
            Origin::Flag("TAILBACK_HOLD_QUEUE"),
            Origin::Environment("TAILBACK_LISTEN"),
            Origin::Flag("TAILBACK_WORKERS"),
        ]
    );
    let (_, errors) = read_all(env.with_options([("TAILBACK_WORKERS", "0".to_owned())]));
    assert_eq!(
        errors,
        ["option --workers: found \"0\", expected a whole number from 1 to 1024"]
    );
}
