//! `/v1/models` with what replicas say about their models.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use tailback_tests::{
    eventually,
    http::{Client, request},
    process::Tailback,
    upstream::never_ready_manifest,
};

/// vLLM's answer to `GET /v1/models`, with one adapter.
const LIST: &str = r#"{"object":"list","data":[
    {"id":"real","object":"model","created":1,"owned_by":"vllm","root":"/secret","parent":null,"max_model_len":4096},
    {"id":"adapter","object":"model","created":1,"owned_by":"me","root":"/secret","parent":"real"}]}"#;

/// A replica that answers `answer` to whatever it is asked, or nothing, and keeps the heads.
fn replica(answer: Option<&'static str>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let all = heads.clone();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head = lines.by_ref().map_while(Result::ok);
            let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
            let head = head.join("\n").to_lowercase();
            // A replica that says nothing is probed as well.
            if !head.starts_with("get /health") {
                all.lock().unwrap().push(head);
            }
            open.push(stream);
            if let (Some(answer), Some(mut stream)) = (answer, open.pop_if(|_| answer.is_some())) {
                let length = answer.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all((head + answer).as_bytes());
            }
        }
    });
    (address, heads)
}

fn manifest(model: &str, address: SocketAddr, spec: &str) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    format!(
        "{api}\nkind: Server\nmetadata: {{ name: of-{model} }}\nspec: {{ static: {{ endpoints: ['http://{address}'] }} }}\n---\n\
         {api}\nkind: Model\nmetadata: {{ name: {model} }}\nspec: {{ server: of-{model}{spec} }}\n---\n"
    )
}

/// The entries of the answer, without the time.
fn models(proxy: &Tailback, path: &str) -> Vec<Value> {
    let mut client = Client::connect(proxy.address).unwrap();
    let fields = [("authorization", "Bearer key")];
    client.send(request("GET", path, &fields, b"")).unwrap();
    let answer: Value = serde_json::from_str(&client.receive().unwrap().text()).unwrap();
    let entries = match answer["data"].as_array() {
        Some(entries) => entries.clone(),
        None => vec![answer],
    };
    let without_time = |mut entry: Value| {
        assert!(
            entry["created"].as_u64().unwrap() > 1_700_000_000,
            "{entry}"
        );
        entry.as_object_mut().unwrap().remove("created");
        entry
    };
    entries.into_iter().map(without_time).collect()
}

fn entry(id: &str, owned_by: &str) -> Value {
    json!({ "id": id, "object": "model", "owned_by": owned_by })
}

#[test]
fn what_a_replica_says_of_its_model_is_passed_on_and_remembered() {
    let (address, heads) = replica(Some(LIST));
    let manifest = manifest("m", address, ", upstreamName: real, aliases: [also]")
        + &manifest("lora", address, ", upstreamName: adapter")
        + &never_ready_manifest("sleeps", ", minReplicas: 0, maxReplicas: 1");
    let proxy = Tailback::start(&manifest, &[]);
    for name in ["m", "lora"] {
        eventually("its replica", || proxy.ready(name) == 1);
    }
    let long = |id| {
        let mut entry = entry(id, "vllm");
        entry["max_model_len"] = 4096.into();
        entry
    };
    let expected = [
        long("also"),
        entry("lora", "me"),
        long("m"),
        entry("sleeps", "tailback"),
    ];
    for _ in 0..3 {
        assert_eq!(models(&proxy, "/v1/models"), expected);
    }
    assert_eq!(models(&proxy, "/openai/v1/models/also"), [long("also")]);
    // Each was asked once, without the caller's credentials, and neither woken nor counted.
    let heads = heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 2, "{heads:?}");
    for head in heads {
        assert!(head.starts_with("get /v1/models http/1.1"), "{head}");
        assert!(!head.contains("authorization"), "{head}");
    }
    assert_eq!(proxy.model("sleeps")["replicas"]["desired"], 0);
    for name in ["m", "lora", "sleeps"] {
        assert_eq!(proxy.model(name)["arrived"], 0);
    }
    // After a reload that leaves the server as it is, too.
    proxy.rewrite(&manifest.replace("[also]", "[other]"));
    eventually("the reload", || {
        models(&proxy, "/v1/models")[2] == long("other")
    });
}

#[test]
fn a_replica_that_says_nothing_or_nonsense_holds_the_list_up_only_once() {
    let (silent, asked) = replica(None);
    let (rude, _) = replica(Some("hello"));
    let proxy = Tailback::start(&(manifest("m", silent, "") + &manifest("n", rude, "")), &[]);
    for name in ["m", "n"] {
        eventually("its replica", || proxy.ready(name) == 1);
    }
    for _ in 0..3 {
        let expected = [entry("m", "tailback"), entry("n", "tailback")];
        assert_eq!(models(&proxy, "/v1/models"), expected);
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    // By its name, a model's replica is asked with them: it may want a key.
    assert_eq!(models(&proxy, "/v1/models/m"), [entry("m", "tailback")]);
    let heads = asked.lock().unwrap().clone();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads[1].contains("authorization: bearer key"), "{heads:?}");
}
