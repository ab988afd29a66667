//! Tests of each kind of server.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::{CallBody, Kind, Readiness, Replication};

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
    assert_eq!(process.ready.value, Readiness::path("/v2/health/ready"));
    assert_eq!(
        (process.drain.value, process.start.value),
        (Some(Duration::from_secs(30)), Duration::from_secs(300))
    );
    assert_eq!(process.directory, fixtures());
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
    let text = include_str!("../../../fixtures/webhook.yaml").replace("$${TOKEN}", "${TOKEN}");
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
fn a_server_sets_the_host_header_of_its_replicas() {
    use crate::HostHeader;
    for (text, expected) in [
        ("", HostHeader::Pass),
        ("hostHeader: pass", HostHeader::Pass),
        ("hostHeader: upstream", HostHeader::Upstream),
        (
            "hostHeader: models.example.org:8080",
            HostHeader::Given("models.example.org:8080".into()),
        ),
    ] {
        let config = parse(&with_server(text, ""));
        assert_eq!(config.models["m"].server.host_header, expected, "{text}");
        assert!(
            crate::describe(&config)
                .contains(&text.replace(": ", " ").replace("hostHeader pass", ""))
        );
    }
}

#[test]
fn a_server_says_how_requests_are_spread_over_replicas() {
    use crate::LoadBalancing;
    for strategy in LoadBalancing::all() {
        let config = parse(&with_server(
            &format!("loadBalancing: {}", strategy.as_str()),
            "",
        ));
        assert_eq!(config.models["m"].server.load_balancing, strategy);
        let told = format!("loadBalancing {}", strategy.as_str());
        assert_eq!(
            crate::describe(&config).contains(&told),
            config.models["m"].server.load_balancing != LoadBalancing::default()
        );
    }
    let config = parse(&with_server("", ""));
    assert_eq!(
        config.models["m"].server.load_balancing,
        LoadBalancing::PowerOfTwo
    );
}

#[test]
fn a_strategy_may_have_settings() {
    for (settings, shown) in [
        ("roundRobin", "roundRobin"),
        (
            "prefix",
            "prefix (blockBytes 256, maxBytes 65536, tableSize 131072, loadFactor 1.25)",
        ),
        (
            "prefix, blockBytes: 512, maxBytes: 32Ki, tableSize: 4096, loadFactor: 2",
            "prefix (blockBytes 512, maxBytes 32768, tableSize 4096, loadFactor 2)",
        ),
        ("session", "session (header x-session-id, loadFactor 1.25)"),
        (
            "session, header: X-User, loadFactor: 1.5",
            "session (header x-user, loadFactor 1.5)",
        ),
        (
            "session, cookie: sid",
            "session (cookie sid, loadFactor 1.25)",
        ),
        (
            "session, bodyField: conversation",
            "session (bodyField conversation, loadFactor 1.25)",
        ),
    ] {
        let config = parse(&with_server(
            &format!("loadBalancing: {{ strategy: {settings} }}"),
            "",
        ));
        let strategy = config.models["m"].server.load_balancing.to_string();
        assert_eq!(strategy.split(" (").next(), shown.split(" (").next());
        let found = crate::describe(&config);
        assert!(found.contains(&format!("loadBalancing {shown}")), "{found}");
    }
}

#[test]
fn retry_is_off_and_a_models_own_replaces_its_servers() {
    use crate::{Retry, RetryBudget, RetryCause};
    let retry = |server: &str, model: &str| {
        let config = parse(&with_server(server, model));
        let shown = crate::describe(&config);
        (config.models["m"].retry.value.clone(), shown)
    };
    assert_eq!(retry("", "").0, None);
    let (of_server, shown) = retry("retry: { on: [reset, 503] }", "");
    let expected = Retry {
        on: vec![RetryCause::Reset, RetryCause::ServiceUnavailable],
        methods: Vec::new(),
        attempts: 1,
        budget: RetryBudget {
            percent: 20,
            min_per_second: 1,
        },
    };
    assert_eq!(of_server, Some(expected));
    assert!(
        shown.contains("on reset 503, attempts 1, budget 20 % or 1 a second"),
        "{shown}"
    );
    let own = "retry: { on: [unavailable], methods: [POST], attempts: 3, budget: { percent: 0 } }";
    let (of_model, shown) = retry("retry: { on: [reset], attempts: 9 }", own);
    let of_model = of_model.unwrap();
    assert_eq!(of_model.on, [RetryCause::Unavailable]);
    assert_eq!((of_model.attempts, of_model.budget.percent), (3, 0));
    assert!(shown.contains("on unavailable, methods POST"), "{shown}");
    assert_eq!(retry("retry: { on: [reset] }", "retry: none").0, None);
}
