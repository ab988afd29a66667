//! Servers whose replicas host many models.

use super::*;
use crate::{ServerReplicas, server_as_model};

fn shared(server: &str, models: &str) -> Config {
    parse_with(
        &with_server(&format!("multiModel: {{}}, memory: 1Gi, {server}"), models),
        &Env::default(),
    )
}

#[test]
fn its_models_may_need_more_together_than_a_replica_has_and_have_counts_of_their_own() {
    let config = shared("", "memory: 600Mi");
    let text = with_server("multiModel: {}, memory: 1Gi", "memory: 600Mi");
    let two = format!(
        "{text}---\napiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: n }}\nspec: {{ memory: 600Mi, concurrency: 2 }}\n"
    );
    let both = parse(&two);
    assert_eq!(both.models.len(), 2);
    let concurrency = both.models["n"].concurrency.value;
    assert_eq!(concurrency, NonZeroU32::new(2));
    let replicas = &config.models["m"].replicas;
    assert_eq!((replicas.initial, replicas.scaled), (1, false));
    let scaled = shared("minReplicas: 2, maxReplicas: 3", "minReplicas: 0");
    let replicas = &scaled.models["m"].replicas;
    assert_eq!((replicas.min, replicas.max, replicas.scaled), (0, 3, true));
}

#[test]
fn its_own_count_is_fixed_or_bounded_and_its_workload_is_followed_where_nothing_is_set() {
    let of = |server: &str| {
        shared(server, "").servers["s"]
            .multi_model
            .clone()
            .unwrap()
            .replicas
    };
    let count = |min, max, initial, scaled| ServerReplicas {
        min,
        max,
        initial,
        scaled,
    };
    assert_eq!(of(""), count(1, 1, 1, false));
    assert_eq!(of("replicas: 3"), count(3, 3, 3, false));
    assert_eq!(of("maxReplicas: 3"), count(1, 3, 1, true));
    assert_eq!(of("minReplicas: 2"), count(2, 2, 2, true));
    assert_eq!(of("minReplicas: 2, replicas: 4"), count(2, 4, 4, true));
    let text = "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: s }\n\
                spec: { multiModel: {}, kubernetes: { name: llm, kind: StatefulSet, service: { name: llm } } }\n---\n\
                apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: m }\nspec: {}\n";
    let config = parse(text);
    let server = &config.servers["s"];
    let own = server_as_model(server);
    assert!(own.replicas.is_followed());
    assert_eq!((own.name.as_str(), own.place.name.as_str()), ("s", "s"));
}

#[test]
fn seldons_variables_set_how_models_are_loaded() {
    let text = with_server("multiModel: {}", "");
    let env = Env::from([
        ("SELDON_OVERCOMMIT_PERCENTAGE", "10"),
        ("SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES", "1.5"),
        ("ENABLE_SERVER_AUTOSCALING", "false"),
        ("SERVER_PACKING_ENABLED", "true"),
        ("SERVER_PACKING_PERCENTAGE", "0.7"),
    ]);
    let config = parse_with(&text, &env);
    let placement = &config.process.placement;
    assert_eq!((placement.overcommit, placement.load_retries), (10, 5));
    assert_eq!(placement.load_limit, Duration::from_secs(90));
    assert!(!placement.server_scaling && placement.packing);
    let own = config.servers["s"].multi_model.clone().unwrap();
    assert_eq!(own.overcommit(placement), 10);
    let set = parse_with(
        &with_server("multiModel: { overcommitPercentage: 50 }", ""),
        &env,
    );
    let own = set.servers["s"].multi_model.clone().unwrap();
    assert_eq!(own.overcommit(placement), 50);
    for (name, value) in [
        ("SELDON_OVERCOMMIT_PERCENTAGE", "-1"),
        ("SERVER_PACKING_PERCENTAGE", "1.1"),
        ("ENABLE_SERVER_AUTOSCALING", "maybe"),
        ("SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES", "0"),
    ] {
        let errors = load_text(Path::new("a.yaml"), &text, &Env::from([(name, value)]));
        let errors = errors.unwrap_err().to_string();
        assert!(errors.contains(name), "{errors}");
    }
}

#[test]
fn a_model_may_not_have_a_multi_model_servers_name() {
    let text = with_server("multiModel: {}", "").replace("name: m", "name: s");
    let errors = messages(&text);
    assert!(
        errors[0].contains("give one of the two another name"),
        "{errors:?}"
    );
}

#[test]
fn several_proxies_may_not_load_the_same_models() {
    let text = with_server("multiModel: {}", "");
    let env = Env::from([("TAILBACK_KUBE_PEERS", "tailback")]);
    let errors = load_text(Path::new("a.yaml"), &text, &env).unwrap_err();
    assert!(errors.to_string().contains("one proxy alone"), "{errors}");
}
