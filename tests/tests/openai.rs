//! OpenAI's protocol: its own client, a real model, and what can go wrong.

use std::env;

use tailback_tests::{
    PATIENCE, eventually,
    http::{Client, call, request},
    process::Tailback,
    python::{Running, program, root, run, script},
    upstream::{Upstream, never_ready_manifest},
};

fn in_flight(proxy: &Tailback, model: &str) -> u64 {
    proxy.model(model)["inFlight"].as_u64().unwrap()
}

#[test]
fn language_model_is_served_streamed_and_left() {
    let folder = program("python3").parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path))).unwrap();
    let proxy = Tailback::start_path(
        root().join("examples/llm/llm.yaml"),
        &[
            ("PATH", path.to_str().unwrap()),
            ("TAILBACK_HOLD_SECONDS", "120"),
        ],
    );
    let address = proxy.address.to_string();
    run(script("openai_client.py", &[&address, "llm"]));
    eventually("the end of all", || in_flight(&proxy, "smollm2") == 0);
    eventually("their outcomes", || {
        proxy.outcome("smollm2", "success") == 3
    });
    // What llama.cpp said of its tokens: in two chats, one of them a stream, and in a completion.
    let llm = &proxy.model("smollm2")["llm"]["operations"];
    let seconds = |field: &str| llm["chat"][field]["p50"].as_f64().unwrap();
    assert!(seconds("timeToFirstTokenSeconds") > 0.0, "{llm}");
    assert!(seconds("timePerOutputTokenSeconds") > 0.0, "{llm}");
    for (operation, most) in [("chat", 40.0), ("text_completion", 5.0)] {
        let tokens = |field: &str| llm[operation][field].as_f64().unwrap();
        assert!(tokens("inputTokens") > 0.0, "{llm}");
        assert!((1.0..=most).contains(&tokens("outputTokens")), "{llm}");
    }

    let mut client = Running::start(script("openai_client.py", &[&address, "leave"]));
    assert_eq!(client.line(), "streaming");
    assert_eq!(in_flight(&proxy, "smollm2"), 1);
    client.go_on();
    assert_eq!(client.line(), "left");
    eventually("the stream's end", || in_flight(&proxy, "smollm2") == 0);
    eventually("its outcome", || {
        proxy.outcome("smollm2", "caller_gone") == 1
    });
    client.go_on();
    client.end();
}

#[test]
fn forms_long_prompts_and_refusals_of_the_openai_client() {
    let upstream = Upstream::start();
    let room = [("TAILBACK_HOLD_MAX_BYTES", "20000000")];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &room);
    let address = proxy.address.to_string();
    run(script("openai_client.py", &[&address, "calls"]));
    eventually("the end of all", || in_flight(&proxy, "m") == 0);
    assert_eq!(proxy.outcome("m", "success"), 6);
}

#[test]
fn bodies_go_on_as_they_came_and_are_counted_once() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let body = br#"{"messages":[{"content":"\u00e9"}], "model" : "m", "x":1}"#;
    // Whole, in pieces, and without a length.
    let answer = call(proxy.address, "POST", "/v1/x/echo", body).unwrap();
    assert_eq!((answer.status, answer.body), (200, body.to_vec()));
    let mut client = Client::connect(proxy.address).unwrap();
    let whole = request("POST", "/v1/x/echo", &[], body);
    for byte in whole {
        client.send([byte]).unwrap();
    }
    assert_eq!(client.receive().unwrap().body, body);
    client
        .send("POST /v1/x/echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    for piece in body.chunks(7) {
        client.send(format!("{:x}\r\n", piece.len())).unwrap();
        client.send([piece, b"\r\n"].concat()).unwrap();
    }
    client.send("0\r\n\r\n").unwrap();
    assert_eq!(client.receive().unwrap().body, body);
    eventually("the end of all", || in_flight(&proxy, "m") == 0);
    assert_eq!(proxy.model("m")["arrived"], 3);
    // A caller that disconnects before it has named a model never arrives.
    let mut gone = Client::connect(proxy.address).unwrap();
    gone.send("POST /v1/x HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{\"a\":")
        .unwrap();
    drop(gone);
    let answer = call(proxy.address, "POST", "/v1/x/echo", body).unwrap();
    assert_eq!(answer.status, 200);
    eventually("the end of all", || in_flight(&proxy, "m") == 0);
    assert_eq!(proxy.model("m")["arrived"], 4);
}

#[test]
fn a_slow_body_gets_an_error_before_its_model_is_known() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_BODY_TIMEOUT_SECONDS", "0.3")],
    );
    let mut slow = Client::connect(proxy.address).unwrap();
    slow.send("POST /v1/x HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{\"a\":")
        .unwrap();
    let answer = slow.receive().unwrap();
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(answer.text().contains("\"message\""), "{}", answer.text());
    assert_eq!(proxy.model("m")["arrived"], 0);
}

#[test]
fn name_sent_upstream_is_put_into_body_and_path() {
    let upstream = Upstream::start();
    let manifest = upstream.manifest(&["m"]).replace(
        "server: up }",
        "server: up, upstreamName: 'org/Other \"M\"' }",
    );
    let proxy = Tailback::start(&manifest, &[]);
    let body = br#"{"model": "m", "x": 1}"#;
    let answer = call(proxy.address, "POST", "/v1/x/echo", body).unwrap();
    assert_eq!(answer.text(), r#"{"model": "org/Other \"M\"", "x": 1}"#);
    // Also where the header has named it.
    let mut client = Client::connect(proxy.address).unwrap();
    let header = [("seldon-model", "m")];
    let answer = client.call("POST", "/v1/x/echo", &header, br#"{"model":"any"}"#);
    assert_eq!(answer.unwrap().text(), r#"{"model":"org/Other \"M\""}"#);
    let answer = client
        .call("POST", "/v1/x/echo", &header, b"no JSON")
        .unwrap();
    assert_eq!(answer.text(), "no JSON");
    client
        .call("POST", "/v2/models/m/infer?a=b", &[], b"x")
        .unwrap();
    let head = upstream.heads().pop().unwrap();
    let target = "POST /v2/models/org%2FOther%20%22M%22/infer?a=b HTTP/1.1\r\n";
    assert!(head.starts_with(target), "{head}");
    eventually("the end of all", || in_flight(&proxy, "m") == 0);
}

#[test]
fn what_names_no_model_is_answered_or_refused_but_never_forwarded() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let check = |method: &str, path: &str, status: u16, says: &str| {
        let answer = call(proxy.address, method, path, b"").unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(
            answer.text().contains(says),
            "{method} {path}: {}",
            answer.text()
        );
    };
    for (method, path, status, says) in [
        ("GET", "/v2", 200, "tailback"),
        ("GET", "/v2/health/live", 200, "live"),
        ("GET", "/v2/health/ready", 200, "ready"),
        ("POST", "/v2/health/ready", 405, "GET, HEAD"),
        ("POST", "/v2/repository/index", 200, "\"name\":\"m\""),
        ("POST", "/v2/repository/models/m/load", 501, "manifests"),
        ("GET", "/v1/models/no", 404, "model_not_found"),
        ("GET", "/v1/unknown", 404, "invalid_request_error"),
        ("POST", "/v1/chat/completions", 400, "JSON"),
        ("GET", "/", 200, "tailback"),
        ("GET", "/nowhere", 404, "no model"),
        ("GET", "http://elsewhere/v2/x", 404, "no model"),
        ("CONNECT", "elsewhere:443", 405, "CONNECT"),
        ("OPTIONS", "*", 404, "no model"),
    ] {
        check(method, path, status, says);
    }
    assert_eq!(upstream.connections(), 0);
    // Replicas are asked what they say of the models that are listed.
    check("GET", "/v1/models", 200, "\"id\":\"m\"");
    check("GET", "/v1/models/m", 200, "\"object\":\"model\"");
}

#[test]
fn bodies_of_held_requests_have_so_much_room_and_no_more() {
    let manifests = never_ready_manifest("m", "");
    let proxy = Tailback::start(&manifests, &[("TAILBACK_HOLD_MAX_BYTES", "150000")]);
    // The model's name comes last: all of the body has to be read for it.
    let body = format!(
        "{{\"prompt\": \"{}\", \"model\": \"m\"}}",
        "x".repeat(100_000)
    );
    let post = request("POST", "/v1/completions", &[], body.as_bytes());
    let mut first = Client::connect(proxy.address).unwrap();
    first.send(&post).unwrap();
    eventually("the first to be held", || proxy.model("m")["held"] == 1);
    let mut second = Client::connect(proxy.address).unwrap();
    second.send(&post).unwrap();
    let refused = second.receive().unwrap();
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    let error: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(error["error"]["code"], "rate_limit_exceeded");
    // A request without a body in memory is held too.
    let mut small = Client::connect(proxy.address).unwrap();
    small
        .send(request("GET", "/any", &[("seldon-model", "m")], b""))
        .unwrap();
    eventually("two held", || proxy.model("m")["held"] == 2);
    drop(first);
    eventually("room again", || proxy.model("m")["held"] == 1);
    second.send(&post).unwrap();
    eventually("the next in its place", || proxy.model("m")["held"] == 2);
}

#[test]
fn bodies_that_are_looked_into_have_room_before_their_model_is_known() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[("TAILBACK_HOLD_MAX_BYTES", "150000")],
    );
    // The model's name is yet to come, and so is the end.
    let body = format!("{{\"prompt\": \"{}\", ", "x".repeat(100_000));
    let head = "POST /v1/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 100100\r\n\r\n";
    let mut callers = Vec::new();
    let mut refused = None;
    eventually("one to be refused", || {
        let mut caller = Client::connect(proxy.address).unwrap();
        caller.send(head).unwrap();
        caller.send(&body).unwrap();
        let patience = std::time::Duration::from_millis(100);
        caller.stream().set_read_timeout(Some(patience)).unwrap();
        callers.push(caller);
        refused = callers.iter_mut().position(|caller| {
            let answer = caller.receive();
            answer.is_ok_and(|a| (a.status, a.header("retry-after")) == (429, Some("1")))
        });
        refused.is_some()
    });
    assert!(callers.len() <= 3, "{} had room", callers.len());
    // A request that had room is not cut off.
    let mut other = callers.swap_remove(usize::from(refused == Some(0)));
    other.stream().set_read_timeout(Some(PATIENCE)).unwrap();
    let rest = format!("{:<1$}", "\"model\": \"m\"}", 100_100 - body.len());
    other.send(rest).unwrap();
    let answer = other.receive().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn tiny_chunks_do_not_keep_a_buffer_each() {
    let manifests = never_ready_manifest("m", "");
    let proxy = Tailback::start(&manifests, &[]);
    // What a first held request brings about, such as the start of a replica, is not meant.
    let mut first = Client::connect(proxy.address).unwrap();
    first
        .send(request(
            "POST",
            "/v1/completions",
            &[],
            b"{\"model\": \"m\"}",
        ))
        .unwrap();
    eventually("the first to be held", || proxy.model("m")["held"] == 1);
    let mut caller = Client::connect(proxy.address).unwrap();
    let before = proxy.resident();
    caller
        .send("POST /v1/completions HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let body = format!(
        "{{\"prompt\": \"{}\", \"model\": \"m\"}}",
        "x".repeat(10_000)
    );
    for &byte in body.as_bytes() {
        caller
            .send([b'1', b'\r', b'\n', byte, b'\r', b'\n'])
            .unwrap();
        // Slow enough that each is received by itself, in a buffer of its own.
        std::thread::sleep(std::time::Duration::from_micros(20));
    }
    caller.send("0\r\n\r\n").unwrap();
    eventually("it to be held", || proxy.model("m")["held"] == 2);
    let grown = proxy.resident().saturating_sub(before);
    // A buffer each would be 80 MB; what else has just been started takes some of it.
    assert!(grown < 16 << 20, "{grown} bytes for 10,000");
}

#[test]
fn body_with_two_models_is_served_as_neither() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    // In a body that comes at once, in one that is read whole, and in one that is
    // under way to the replica already.
    for length in [10, 30_000, 3_000_000] {
        let body = format!(
            "{{\"model\": \"m\", \"prompt\": \"{}\", \"Model\": \"other\"}}",
            "x".repeat(length)
        );
        let answer = call(proxy.address, "POST", "/v1/echo", body.as_bytes()).unwrap();
        assert_eq!(answer.status, 400, "{length}: {}", answer.text());
        let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(error["error"]["param"], "model");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("\"model\" is there twice"), "{message}");
        eventually("its end", || in_flight(&proxy, "m") == 0);
    }
    let part = |name: &str, text: &str| {
        format!("--b\r\ncontent-disposition: form-data; name={name}\r\n\r\n{text}\r\n")
    };
    for length in [10, 300_000] {
        let file = part("file", &"x".repeat(length));
        let form = part("model", "m") + &file + &part("model", "n") + "--b--\r\n";
        let of_form = [("content-type", "multipart/form-data; boundary=b")];
        let answer = Client::connect(proxy.address)
            .unwrap()
            .call("POST", "/v1/echo", &of_form, form.as_bytes())
            .unwrap();
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("there twice"), "{}", answer.text());
    }
    eventually("their end", || in_flight(&proxy, "m") == 0);
    assert_eq!(proxy.outcome("m", "success"), 0);
    let once = br#"{"model": "m", "a": [{"model": "other"}]}"#;
    let answer = call(proxy.address, "POST", "/v1/echo", once).unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &once[..]));
}
