//! Stored responses of OpenAI's Responses API: what is about one goes to the replica that keeps it.

use tailback_tests::{
    eventually,
    process::Tailback,
    python::{Running, run, script},
};

/// A replica that stores responses, and its URL.
fn replica() -> (Running, String) {
    let server = Running::start(script("responses.py", &["serve"]));
    let port = server.line().replace("port ", "");
    (server, format!("\"http://127.0.0.1:{port}\""))
}

fn manifest(model: &str, replicas: &[&(Running, String)], spec: &str) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let urls: Vec<_> = replicas.iter().map(|(_, url)| &**url).collect();
    let urls = urls.join(", ");
    format!(
        "{api}\nkind: Server\nmetadata: {{ name: of-{model} }}\nspec: {{ {spec}static: {{ endpoints: [{urls}] }} }}\n---\n\
         {api}\nkind: Model\nmetadata: {{ name: {model} }}\nspec: {{ server: of-{model} }}\n---\n"
    )
}

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

#[test]
fn conversations_of_the_openai_client_stay_at_the_replica_that_stores_them() {
    let all = [replica(), replica(), replica(), replica()];
    let [a, b, c, d] = &all;
    let manifest =
        manifest("m", &[a, b], "") + &manifest("other", &[c, d], "loadBalancing: roundRobin, ");
    let proxy = Tailback::start(&manifest, &[("TAILBACK_WORKERS", "2")]);
    eventually("the replicas", || {
        proxy.ready("m") == 2 && proxy.ready("other") == 2
    });
    let address = proxy.address.to_string();
    run(script("responses.py", &["follow", &address]));
    eventually("the end of all", || in_flight(&proxy) == 0);
    // Unknown ids that name no model are for no model.
    assert_eq!(proxy.metric("tailback_unrouted_requests_total"), 1.0);
}

#[test]
fn a_full_replica_is_waited_for_by_what_follows_and_not_by_what_cancels() {
    let (one, two) = (replica(), replica());
    let manifest = manifest("m", &[&one, &two], "concurrency: 1, ");
    let proxy = Tailback::start(&manifest, &[]);
    eventually("the replicas", || proxy.ready("m") == 2);
    let address = proxy.address.to_string();
    let mut client = Running::start(script("responses.py", &["full", &address]));
    assert_eq!(client.line(), "full");
    eventually("both to be held", || proxy.model("m")["held"] == 2);
    client.go_on();
    client.end();
    eventually("the end of all", || in_flight(&proxy) == 0);
}

#[test]
fn odd_ids_and_answers_pass_as_they_are_and_break_nothing() {
    let (one, two) = (replica(), replica());
    let proxy = Tailback::start(&manifest("m", &[&one, &two], ""), &[]);
    eventually("the replicas", || proxy.ready("m") == 2);
    let address = proxy.address.to_string();
    run(script("responses.py", &["odd", &address]));
    eventually("the end of all", || in_flight(&proxy) == 0);
}

#[test]
fn what_a_replica_kept_goes_with_it() {
    let (one, two) = (replica(), replica());
    let text = manifest("m", &[&one, &two], "");
    let proxy = Tailback::start(&text, &[]);
    eventually("the replicas", || proxy.ready("m") == 2);
    let address = proxy.address.to_string();
    let mut client = Running::start(script("responses.py", &["gone", &address]));
    let port = client.line();
    let (kept, gone) = match one.1.contains(&port) {
        true => (&two, &one),
        false => (&one, &two),
    };
    proxy.rewrite(&manifest("m", &[kept], ""));
    eventually("the reload", || proxy.ready("m") == 1);
    assert!(gone.1.contains(&port));
    client.go_on();
    client.end();
    eventually("the end of all", || in_flight(&proxy) == 0);
}
