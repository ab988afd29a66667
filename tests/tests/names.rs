//! What models are called: names that clients use, aliases, and where names show.

use std::fs;

use tailback_tests::{
    eventually,
    http::{Client, call, field, request},
    process::Tailback,
    python::{Running, run, script},
    upstream::Upstream,
};

const API: &str = "apiVersion: tailback.dev/v1alpha1";
const QWEN: &str = "Qwen/Qwen2.5-7B-Instruct";
/// Everything that is special in a path, a label, JSON or YAML.
const ODD: &str = r#"a"b\c {x} é%2F;d=#1"#;

/// A manifest of models on `upstream`, each a name and what its spec adds.
fn manifest(upstream: &Upstream, models: &[(&str, &str)]) -> String {
    let mut text = format!(
        "{API}\nkind: Server\nmetadata: {{ name: up }}\nspec: {{ static: {{ endpoints: [\"http://{}\"] }} }}\n",
        upstream.address
    );
    for (name, spec) in models {
        let name = name.replace('\\', r"\\").replace('"', "\\\"");
        text += &format!(
            "---\n{API}\nkind: Model\nmetadata: {{ name: \"{name}\" }}\nspec: {{ server: up{spec} }}\n"
        );
    }
    text
}

fn in_flight(proxy: &Tailback, model: &str) -> u64 {
    proxy.model(model)["inFlight"].as_u64().unwrap()
}

#[test]
fn models_are_found_by_the_names_that_clients_use() {
    let upstream = Upstream::start();
    let names = [
        QWEN,
        "meta-llama/Llama-3.1-8B",
        "llama3:8b",
        "gpt_4",
        "GPT",
        "Qwen",
        ODD,
    ];
    let models: Vec<_> = names.iter().map(|name| (*name, "")).collect();
    let proxy = Tailback::start(&manifest(&upstream, &models), &[]);
    for (name, path) in [
        (QWEN, "Qwen/Qwen2.5-7B-Instruct"),
        (QWEN, "Qwen%2FQwen2.5%2D7B%2dInstruct"),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B"),
        ("llama3:8b", "llama3:8b"),
        ("llama3:8b", "llama3%3A8b"),
        ("gpt_4", "gpt_4"),
        ("GPT", "GPT"),
        // A prefix of another's name.
        ("Qwen", "Qwen"),
        (ODD, "a%22b%5Cc%20%7Bx%7D%20%C3%A9%252F%3Bd%3D%231"),
    ] {
        let before = proxy.model(name)["arrived"].as_u64().unwrap();
        for below in ["infer/echo", "versions/1/infer/echo"] {
            let path = format!("/v2/models/{path}/{below}");
            let answer = call(proxy.address, "POST", &path, b"x").unwrap();
            assert_eq!((answer.status, answer.text()), (200, "x".into()), "{path}");
            let head = upstream.heads().pop().unwrap();
            // It goes on as it came, but for what need not be escaped.
            let path = path.replace("%2D", "-").replace("%2d", "-");
            assert!(head.starts_with(&format!("POST {path} ")), "{head}");
        }
        let body = serde_json::json!({ "model": name, "prompt": "x" }).to_string();
        let answer = call(proxy.address, "POST", "/v1/echo", body.as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text()), (200, body), "{name}");
        let header = [("seldon-model", name)];
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client.call("GET", "/any", &header, b"").unwrap();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        // Counted by its one name, while it is inside and after.
        eventually("the end of those before", || in_flight(&proxy, name) == 0);
        let mut inside = Client::connect(proxy.address).unwrap();
        let path = format!("/v2/models/{path}/hang");
        inside.send(request("GET", &path, &[], b"")).unwrap();
        eventually("it to be inside", || in_flight(&proxy, name) == 1);
        drop(inside);
        eventually("the end of all", || in_flight(&proxy, name) == 0);
        assert_eq!(proxy.model(name)["arrived"], before + 5, "{name}");
    }
}

#[test]
fn names_that_nobody_has_are_refused_in_the_callers_form_and_not_counted() {
    let upstream = Upstream::start();
    let spec = ", aliases: [qwen]";
    let proxy = Tailback::start(&manifest(&upstream, &[(QWEN, spec), ("m", "")]), &[]);
    for path in [
        "/v2/models/Qwen/infer",
        "/v2/models/Qwen%2F/infer",
        "/v2/models/qwen/qwen/infer%00",
        "/v2/models/M/infer",
        "/v2/models/%FF/infer",
        "/v2/models/%/infer",
        "/v2/models/%2e%2e/infer",
        "/v2/models/m%0D%0Ax/infer",
        "/v2/models/Qwen/Qwen2.5-7B-Instruct%2Finfer",
    ] {
        let answer = call(proxy.address, "POST", path, b"{}").unwrap();
        // A name that is one, and what follows it is the replica's business.
        let expected = match path {
            _ if path.contains("/qwen/qwen/") => 200,
            // A dot segment is no name.
            _ if path.contains("%2e%2e") => 400,
            _ => 404,
        };
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
        let json: Result<serde_json::Value, _> = serde_json::from_slice(&answer.body);
        assert!(expected == 200 || json.is_ok(), "{path}: {}", answer.text());
    }
    for (name, status) in [("Qwen", 404), ("qwen ", 404), ("\u{7}", 404), ("", 404)] {
        let body = serde_json::json!({ "model": name }).to_string();
        let answer = call(proxy.address, "POST", "/v1/completions", body.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{name:?}: {}", answer.text());
        let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(error["error"]["code"], "model_not_found", "{error}");
    }
    for value in ["no", "Qwen", "\u{e9}"] {
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client.call("POST", "/x", &[("seldon-model", value)], b"");
        assert_eq!(answer.unwrap().status, 404, "{value}");
    }
    // Bytes that are no UTF-8 are no name.
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send(b"GET /x HTTP/1.1\r\nhost: t\r\nseldon-model: \xff\r\n\r\n")
        .unwrap();
    assert_eq!(client.receive().unwrap().status, 400);
    assert_eq!(proxy.model("m")["arrived"], 0);
    assert_eq!(proxy.model(QWEN)["arrived"], 1);
}

#[test]
fn an_alias_is_the_same_model_and_replicas_get_the_models_own_name() {
    let upstream = Upstream::start();
    let models = [
        (QWEN, ", aliases: [qwen2.5, gpt-4o, team/q]"),
        ("other", ", aliases: [o], upstreamName: real/one"),
    ];
    let proxy = Tailback::start(&manifest(&upstream, &models), &[]);
    for (asked, model, told, told_in_path) in [
        ("qwen2.5", QWEN, QWEN, "Qwen%2FQwen2.5-7B-Instruct"),
        ("gpt-4o", QWEN, QWEN, "Qwen%2FQwen2.5-7B-Instruct"),
        ("team/q", QWEN, QWEN, "Qwen%2FQwen2.5-7B-Instruct"),
        ("o", "other", "real/one", "real%2Fone"),
        ("other", "other", "real/one", "real%2Fone"),
    ] {
        let before = proxy.model(model)["arrived"].as_u64().unwrap();
        let body = |name: &str| format!("{{\"model\":\"{name}\",\"x\":1}}");
        let answer = call(proxy.address, "POST", "/v1/echo", body(asked).as_bytes()).unwrap();
        assert_eq!(answer.text(), body(told), "{asked}");
        let path = format!("/v2/models/{asked}/infer?a=b");
        let answer = call(proxy.address, "POST", &path, b"x").unwrap();
        assert_eq!(answer.status, 200);
        let head = upstream.heads().pop().unwrap();
        let target = format!("POST /v2/models/{told_in_path}/infer?a=b ");
        assert!(head.starts_with(&target), "{head}");
        let mut client = Client::connect(proxy.address).unwrap();
        let header = [("seldon-model", asked)];
        client.call("GET", "/any", &header, b"").unwrap();
        let head = upstream.heads().pop().unwrap();
        assert_eq!(field(&head, "seldon-model"), Some(told), "{head}");
        eventually("the end of all", || in_flight(&proxy, model) == 0);
        assert_eq!(proxy.model(model)["arrived"], before + 3);
    }
    // A reload takes an alias away, and gives it to another.
    let models = [(QWEN, ""), ("other", ", aliases: [qwen2.5]")];
    proxy.rewrite(&manifest(&upstream, &models));
    let body = br#"{"model":"qwen2.5"}"#;
    eventually("the new owner", || {
        let answer = call(proxy.address, "POST", "/v1/echo", body).unwrap();
        answer.text() == r#"{"model":"other"}"#
    });
    let answer = call(proxy.address, "POST", "/v1/echo", br#"{"model":"gpt-4o"}"#).unwrap();
    assert_eq!(answer.status, 404);
}

#[test]
fn the_openai_client_lists_and_asks_by_names_and_aliases() {
    let upstream = Upstream::start();
    let models = [
        (QWEN, ", aliases: [gpt-4o, 'llama3:8b']"),
        ("meta-llama/Llama-3.1-8B", ""),
    ];
    let proxy = Tailback::start(&manifest(&upstream, &models), &[]);
    let address = proxy.address.to_string();
    let names = [QWEN, "gpt-4o", "llama3:8b", "meta-llama/Llama-3.1-8B"];
    let arguments = [&[&*address, "openai"], &names[..]].concat();
    run(script("names_client.py", &arguments));
    eventually("the end of all", || in_flight(&proxy, QWEN) == 0);
    assert_eq!(proxy.outcome(QWEN, "success"), 3);
}

#[test]
fn tritons_clients_ask_by_names_and_aliases_over_rest_and_grpc() {
    let server = Running::start(script("grpc_server.py", &[]));
    let port = server.line().replace("port ", "");
    let names = ["Triton/simple model:1", "TF_simple", "modèle"];
    let grpc = ["gRPC/Simple", "grpc_simple", "modèle-2"];
    let manifest = format!(
        "{API}\nkind: Server\nmetadata: {{ name: sample }}\n\
         spec: {{ process: {{ command: [sample-server, --port, '{{port}}', --model, simple] }} }}\n---\n\
         {API}\nkind: Model\nmetadata: {{ name: '{}' }}\n\
         spec: {{ server: sample, upstreamName: simple, aliases: [{}, {}] }}\n---\n\
         {API}\nkind: Server\nmetadata: {{ name: grpc }}\n\
         spec: {{ static: {{ endpoints: ['http://127.0.0.1:{port}'] }} }}\n---\n\
         {API}\nkind: Model\nmetadata: {{ name: '{}' }}\n\
         spec: {{ server: grpc, aliases: [{}, {}] }}\n",
        names[0], names[1], names[2], grpc[0], grpc[1], grpc[2],
    );
    let proxy = Tailback::start(&manifest, &[]);
    let address = proxy.address.to_string();
    for (kind, names) in [("http", names), ("grpc", grpc)] {
        run(script(
            "names_client.py",
            &[&[&*address, kind], &names[..]].concat(),
        ));
        eventually("the end of all", || in_flight(&proxy, names[0]) == 0);
        // Whether it is ready is a question, and not counted.
        assert_eq!(proxy.model(names[0])["arrived"], 3);
    }
}

#[test]
fn any_name_is_safe_in_metrics_logs_and_admin_paths() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &manifest(&upstream, &[(ODD, ""), (r"a\\", ""), (r"a\", "")]),
        &[
            ("TAILBACK_ACCESS_LOG", log.to_str().unwrap()),
            ("TAILBACK_ADMIN_TOKEN", "0123456789abcdef"),
        ],
    );
    for name in [ODD, r"a\\", r"a\"] {
        let body = serde_json::json!({ "model": name }).to_string();
        let answer = call(proxy.address, "POST", "/v1/echo", body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        eventually("its end", || in_flight(&proxy, name) == 0);
        // The text format's own escapes, in what is recorded and in what is read.
        let label = name.replace('\\', r"\\").replace('"', "\\\"");
        assert_eq!(proxy.outcome(&label, "success"), 1, "{}", proxy.metrics());
        let completed = format!("tailback_model_completed_total{{model=\"{label}\"}}");
        assert_eq!(proxy.metric(&completed), 1.0, "{}", proxy.metrics());
        eventually("its line", || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines = text.lines().map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["model"].as_str().map(str::to_owned)
            });
            lines.flatten().any(|logged| logged == name)
        });
    }
    let token = [("authorization", "Bearer 0123456789abcdef")];
    let mut client = Client::connect(proxy.admin).unwrap();
    let path = "/models/a%22b%5Cc%20%7Bx%7D%20%C3%A9%252F%3Bd%3D%231/pause";
    let answer = client.call("POST", path, &token, b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(proxy.model(ODD)["replicas"]["paused"], true);
    let answer = client.call("POST", "/models/no%2Fsuch/pause", &token, b"");
    let answer = answer.unwrap();
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("no/such"), "{}", answer.text());
}

#[test]
fn no_other_model_of_a_shared_server_is_asked_than_the_one_that_is_counted() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let upstream = Upstream::start();
    let models = [("s1", ""), ("s2", ", upstreamName: real2")];
    let proxy = Tailback::start(&manifest(&upstream, &models), &[]);
    let ask = |path: &str, body: &str| {
        let mut client = Client::connect(proxy.address).unwrap();
        let method = if body.is_empty() { "GET" } else { "POST" };
        let headers = [("seldon-model", "s1"), JSON];
        client
            .call(method, path, &headers, body.as_bytes())
            .unwrap()
    };
    for (path, body) in [
        ("/v1/echo", r#"{"model":"s2"}"#),
        ("/v1/echo", r#"{"model":"real2"}"#),
        ("/v1/realtime?model=s2", ""),
        ("/v1/realtime?a=b&model=real2", ""),
        ("/upstream/s1/v1/realtime?model=real2", ""),
        ("/v1/realtime?model=s1&model=s2", ""),
        ("/v2/models/s2/infer", "x"),
        ("/v2/models/real2", ""),
    ] {
        let answer = ask(path, body);
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text());
    }
    assert!(upstream.heads().is_empty());
    // Names that no model has, such as adapters', and bodies that cannot be read go on as they are.
    for body in [r#"{"model":"adapter"}"#, r#"{"model":"s1"}"#, "\u{fffd}"] {
        let answer = ask("/v1/echo", body);
        assert_eq!((answer.status, answer.text()), (200, body.into()));
    }
    for path in [
        "/v1/realtime?model=adapter",
        "/v1/realtime",
        "/v1/realtime?model=s1",
    ] {
        let answer = ask(path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let head = upstream.heads().pop().unwrap();
        assert!(head.starts_with(&format!("GET {path} ")), "{path}: {head}");
    }
    assert_eq!(proxy.model("s2")["arrived"], 0);
}

#[test]
fn a_header_may_name_another_model_than_a_body_for_a_server_of_one_model() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&manifest(&upstream, &[("base", "")]), &[]);
    let mut client = Client::connect(proxy.address).unwrap();
    let body = r#"{"model":"adapter"}"#;
    let answer = client.call(
        "POST",
        "/v1/echo",
        &[("seldon-model", "base")],
        body.as_bytes(),
    );
    assert_eq!(answer.unwrap().text(), body);
}

#[test]
fn callers_manage_no_replica_unless_the_model_allows_it() {
    let upstream = Upstream::start();
    let models = [
        ("m", ""),
        (
            "lora",
            ", allow: [/v1/load_lora_adapter, /v2/repository/models/m]",
        ),
    ];
    let proxy = Tailback::start(&manifest(&upstream, &models), &[]);
    let ask = |model: &str, path: &str| {
        let mut client = Client::connect(proxy.address).unwrap();
        let answer = client.call("POST", path, &[("seldon-model", model)], b"{}");
        answer.unwrap()
    };
    for path in [
        "/v1/load_lora_adapter",
        "/openai/v1/load_lora_adapter",
        "/load_lora_adapter",
        "/update_weights_from_disk",
        "/models/unload",
        "/slots/0?action=erase",
        "/v2/models/m/trace/setting",
        "/v2/models/m/versions/1/trace/setting",
        "/v2/repository/models/m/load",
        "/v2/repository/models/other/load",
        "/sl%65ep",
        "/sleep/",
        "/v2/trace/setting/",
    ] {
        let answer = ask("m", path);
        assert_eq!(answer.status, 501, "{path}: {}", answer.text());
        let is_allowed = matches!(
            path,
            "/v1/load_lora_adapter" | "/v2/repository/models/m/load"
        );
        let expected = if is_allowed { 200 } else { 501 };
        let answer = ask("lora", path);
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
    }
    assert_eq!(upstream.heads().len(), 2);
}
