//! Tests of model names, and of the places that they are filled into.

use super::*;

/// A model named `name` with `spec`, on a server with `server`.
fn model(name: &str, server: &str, spec: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: s }}\nspec: {{ {server} }}\n---\n\
         apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: {name:?} }}\nspec: {{ {spec} }}\n"
    )
}

#[test]
fn a_model_has_the_names_that_clients_use() {
    let paths = [
        fixtures().join("names.yaml"),
        fixtures().join("static.yaml"),
    ];
    let config = load(&paths, &Env::default()).unwrap();
    let model = &config.models["Qwen/Qwen2.5-7B-Instruct"];
    assert_eq!(
        model.aliases,
        ["qwen2.5", "llama3:8b", "gpt_4", "GPT-4o", "modèle"]
    );
    assert!(config.models.contains_key("income_classifier"));
    let described = crate::describe(&config);
    assert!(
        described.contains("qwen2.5, llama3:8b, gpt_4, GPT-4o, modèle"),
        "{described}"
    );
}

#[test]
fn a_name_that_a_cluster_would_not_take_is_refused_only_where_it_would_be_sent_there() {
    let own = "kubernetes: { name: '{model}', service: { name: '{model}' } }";
    let shared = "kubernetes: { name: llama, service: { name: llama } }";
    let found = messages(&model("Qwen/Qwen2.5", own, ""));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("the Deployment would be called Qwen/Qwen2.5"),
        "{found:?}"
    );
    assert!(found[1].contains("aliases"), "{found:?}");
    assert_eq!(
        messages(&model("qwen2-5", own, "aliases: [Qwen/Qwen2.5]")),
        [""; 0]
    );
    assert_eq!(messages(&model("Qwen/Qwen2.5", shared, "")), [""; 0]);
}

#[test]
fn a_name_is_escaped_in_a_webhooks_urls_and_pointers_and_plain_in_its_body() {
    let webhook = "webhook: { scale: { url: 'http://api/{model}/scale', body: { job: '{model}', n: '{replicas}' } }, \
                   state: { url: 'http://api/{model}', ready: '/{model}/ready' }, endpoints: ['http://gw'] }";
    let config = parse(&model("Qwen/Qwen2.5 b", webhook, ""));
    let model = &config.models["Qwen/Qwen2.5 b"];
    let spec = model.server.webhook().unwrap();
    let (scale, state) = (&spec.scale, spec.state.as_ref().unwrap());
    assert_eq!(
        scale.target.url.fill(&model.name, 1),
        "http://api/Qwen%2FQwen2.5%20b/scale"
    );
    let ready = state.ready.as_ref().unwrap();
    assert_eq!(ready.fill(&model.name, 0), "/Qwen~1Qwen2.5 b/ready");
    let crate::CallBody::Json(body) = &scale.body else {
        panic!("the body is JSON")
    };
    assert_eq!(
        body.fill(&model.name, 1),
        serde_json::json!({ "job": "Qwen/Qwen2.5 b", "n": 1 })
    );
}
