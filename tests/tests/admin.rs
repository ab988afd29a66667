//! The admin address of a running proxy, and output of the command line.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tailback_tests::{
    eventually,
    http::{Client, call, request},
    process::{Tailback, tailback},
    upstream::Upstream,
};

#[test]
fn metrics_are_as_prometheus_wants_them() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m", "n"]), &[]);
    for path in ["m/ok", "m/refuse", "m/fail", "n/chunks", "n/reset", "other"] {
        let path = format!("/v2/models/{path}");
        call(proxy.address, "POST", &path, b"x").unwrap();
    }
    eventually("the last one's end", || {
        proxy.outcome("n", "upstream_reset") == 1
    });
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: scripts/setup tests");
    let text = proxy.metrics();
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");

    let value = |series: &str| proxy.metric(series);
    assert_eq!(value("tailback_model_arrived_total{model=\"m\"}"), 3.0);
    assert_eq!(value("tailback_model_completed_total{model=\"n\"}"), 2.0);
    assert_eq!(value("tailback_unrouted_requests_total"), 1.0);
    let of_code = |code: u16| {
        value(&format!(
            "seldon_model_infer_total{{model=\"m\",server=\"up\",method_type=\"rest\",code=\"{code}\"}}"
        ))
    };
    assert_eq!((of_code(200), of_code(400), of_code(500)), (1.0, 1.0, 1.0));
    assert!(!text.contains("other"), "callers make no series");
}

#[test]
fn no_counter_goes_back_by_a_reload_or_by_a_model_that_goes() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m", "n"]), &[]);
    let send = |path: &str| call(proxy.address, "POST", &format!("/v2/models/{path}"), b"x");
    for path in ["m/ok", "n/ok"] {
        assert_eq!(send(path).unwrap().status, 200);
    }
    // By names and labels; a histogram's buckets and sums count up as well.
    let counters = || {
        let text = proxy.metrics();
        let (mut counts, mut all) = (false, BTreeMap::new());
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                counts = kind.ends_with(" counter") || kind.ends_with(" histogram");
            }
            let sample = line.rsplit_once(' ').filter(|_| !line.starts_with('#'));
            if let (true, Some((series, value))) = (counts, sample) {
                all.insert(series.to_owned(), value.parse::<f64>().unwrap());
            }
        }
        all
    };
    // The end of a request is counted once its answer is out.
    eventually("both ends", || {
        proxy.outcome("m", "success") == 1 && proxy.outcome("n", "success") == 1
    });
    let before = counters();
    let spent = "seldon_model_aggregate_infer_seconds_total{server=\"up\",method_type=\"rest\"}";
    assert!(before[spent] > 0.0);

    proxy.rewrite(&upstream.manifest(&["m"]));
    eventually("the other one gone", || {
        send("n/ok").is_ok_and(|answer| answer.status == 404)
    });
    assert_eq!(send("m/ok").unwrap().status, 200);
    eventually("its end", || counters()[spent] > before[spent]);
    let after = counters();
    for (series, value) in &before {
        // What is read from the ledger of a model goes with it.
        if let Some(now) = after.get(series) {
            assert!(now >= value, "{series}: {value}, then {now}");
        }
    }
}

#[test]
fn a_model_that_is_removed_is_listed_as_draining_until_its_last_request_is_out() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m", "n"]), &[]);
    let mut caller = Client::connect(proxy.address).unwrap();
    caller
        .send(request("GET", "/v2/models/m/hang", &[], b""))
        .unwrap();
    eventually("the request", || proxy.model("m")["inFlight"] == 1);
    assert_eq!(proxy.page("/models")["draining"], json!([]));
    let listed = json!([{
        "name": "m", "server": "up", "arrived": 1, "completed": 0, "inFlight": 1, "held": 0, "receiving": 0,
    }]);
    // Also through a further reload.
    for models in [&["n"] as &[&str], &["n", "o"]] {
        proxy.rewrite(&upstream.manifest(models));
        eventually("the reload", || {
            let page = proxy.page("/models");
            let names = page["models"].as_array().unwrap().iter();
            names.map(|m| &m["name"]).eq(models) && page["draining"] == listed
        });
    }
    drop(caller);
    eventually("its end", || proxy.page("/models")["draining"] == json!([]));
}

#[test]
fn nothing_of_the_admin_pages_is_on_the_data_port_and_none_changes_anything() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    for path in [
        "/",
        "/metrics",
        "/models",
        "/models/m",
        "/targets",
        "/decisions",
        "/healthz",
        "/readyz",
        "/server_info",
    ] {
        let (data, admin) = (proxy.address, proxy.admin);
        let [data, admin] = [data, admin].map(|at| call(at, "GET", path, b"").unwrap());
        assert_eq!(admin.status, 200);
        // Protocols have these, too: the data port answers for itself.
        match path {
            "/" | "/healthz" => assert_ne!(data.text(), admin.text()),
            _ => assert_eq!(data.status, 404, "{path}"),
        }
        let post = call(proxy.admin, "POST", path, b"x").unwrap();
        assert_eq!(
            (post.status, post.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
    let post = call(proxy.admin, "POST", "/ledgers", b"").unwrap();
    assert_eq!((post.status, post.header("allow")), (405, Some("GET")));
}

#[test]
fn unknown_paths_and_actions_get_an_error_that_lists_the_known_ones() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    for (method, path) in [
        ("GET", "/frob"),
        ("POST", "/frob"),
        ("GET", "/models/m/frob"),
        ("POST", "/models/m/frob"),
        ("DELETE", "/models/m/frob"),
    ] {
        let none = call(proxy.admin, method, path, b"").unwrap();
        assert_eq!(none.status, 404, "{method} {path}");
        for there in [
            "/decisions",
            "/models/{name}/pause",
            "/models/{name}/resume",
        ] {
            assert!(none.text().contains(there), "{}", none.text());
        }
    }
    let none = call(proxy.admin, "GET", "/models/org%2Fn", b"").unwrap();
    assert_eq!(none.status, 404);
    let expected = json!({ "error": "there is no model \"org/n\"; /models lists them" });
    assert_eq!(
        serde_json::from_slice::<Value>(&none.body).unwrap(),
        expected
    );
}

#[test]
fn readiness_ends_when_draining_begins() {
    let upstream = Upstream::start();
    let mut proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let mut caller = Client::connect(proxy.address).unwrap();
    caller
        .send(request("GET", "/v2/models/m/hang", &[], b""))
        .unwrap();
    eventually("the request", || proxy.model("m")["inFlight"] == 1);
    let ready = || call(proxy.admin, "GET", "/readyz", b"").map(|a| a.status);
    assert_eq!(ready().unwrap(), 200);
    proxy.signal(Signal::SIGTERM);
    eventually("not ready", || ready().is_ok_and(|status| status == 503));
    // At a second signal, it does not wait for requests in flight.
    proxy.signal(Signal::SIGTERM);
    assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.log());
}

#[test]
fn health_asks_the_running_proxy() {
    let upstream = Upstream::start();
    let mut proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let admin = proxy.admin.to_string();
    let health = || {
        tailback()
            .arg("health")
            .env("TAILBACK_ADMIN", &admin)
            .output()
            .unwrap()
    };
    assert!(health().status.success());
    proxy.signal(Signal::SIGTERM);
    proxy.wait();
    let output = health();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&admin));
}

#[test]
fn config_prints_settings_with_their_origin_or_all_errors_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, Upstream::start().manifest(&["m"])).unwrap();
    let config = |variables: &[(&str, &str)]| {
        let output = tailback()
            .arg("config")
            .arg(&file)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (code, text) = config(&[("TAILBACK_HOLD_QUEUE", "7")]);
    assert_eq!(code, Some(0), "{text}");
    let line = |name: &str| text.lines().find(|l| l.contains(name)).unwrap_or_default();
    assert!(
        line("hold.queue").contains('7')
            && line("hold.queue").contains("environment TAILBACK_HOLD_QUEUE"),
        "{text}"
    );

    // The files of another machine's variables need not be here; its log filter is read.
    let elsewhere = [
        ("TAILBACK_TLS_CERT", "/nowhere/c.pem"),
        ("TAILBACK_TLS_KEY", "/nowhere/k.pem"),
        ("TAILBACK_LOG", "info,replica=off"),
    ];
    let (code, text) = config(&elsewhere);
    assert_eq!(code, Some(0), "{text}");
    std::fs::write(
        &file,
        "apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: { name: m }\nspec: { minReplicas: two, sever: up }\n",
    )
    .unwrap();
    let (code, text) = config(&[
        ("TAILBACK_WORKERS", "none"),
        ("TAILBACK_LISTNE", "x"),
        ("TAILBACK_LOG", "loud"),
    ]);
    assert_eq!(code, Some(1));
    for part in [
        "m.yaml",
        "document 1",
        "spec.minReplicas",
        "\"two\"",
        "sever",
        "TAILBACK_WORKERS",
        "TAILBACK_LISTNE",
        "TAILBACK_LOG: found \"loud\", expected a level",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn where_the_log_is_json_so_is_what_is_printed_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    std::fs::write(&file, Upstream::start().manifest(&["m"])).unwrap();
    let start = |listen: &str| {
        tailback()
            .arg("serve")
            .arg(&file)
            .env("TAILBACK_LOG_FORMAT", "json")
            .env("TAILBACK_LISTEN", listen)
            .env("TAILBACK_ADMIN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let lines = |output: &[u8]| -> Vec<Value> {
        let text = String::from_utf8_lossy(output).into_owned();
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        text.lines().map(line).collect()
    };
    let mut first = start("127.0.0.1:0");
    let mut stdout = BufReader::new(first.stdout.take().unwrap());
    let mut said = String::new();
    stdout.read_line(&mut said).unwrap();
    let banner = &lines(said.as_bytes())[0];
    assert_eq!(banner["level"], "INFO");
    let message = banner["message"].as_str().unwrap();
    assert!(message.ends_with("serves m (server up)"), "{banner}");
    let address = |field: &str| {
        banner[field]
            .as_str()
            .unwrap()
            .strip_prefix("http://")
            .unwrap()
    };
    let (listen, admin) = (address("requests"), address("admin").parse().unwrap());
    assert_eq!(call(admin, "GET", "/healthz", b"").unwrap().status, 200);

    let second = start(listen).wait_with_output().unwrap();
    assert_eq!((second.status.code(), second.stdout.len()), (Some(1), 0));
    let last = lines(&second.stderr).pop().unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["message"].as_str().unwrap().contains("in use"),
        "{last}"
    );

    kill(Pid::from_raw(first.id() as i32), Signal::SIGTERM).unwrap();
    let ended = first.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert!(
        lines(&ended.stderr)
            .iter()
            .any(|line| line["message"] == "stopped")
    );
    stdout.read_line(&mut said).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn help_says_how_to_begin() {
    let output = tailback().arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    for command in ["serve", "check", "config", "health", "environment.md"] {
        assert!(help.contains(command), "{command} in {help}");
    }
    let version = tailback().arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("tailback 0."));
}

#[test]
fn ledgers_are_published_as_their_counts_change() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let mut stream = TcpStream::connect(proxy.admin).unwrap();
    stream
        .write_all(b"GET /ledgers HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    // Between the lines are a head, and the lengths of chunks.
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut lines = lines
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
        .filter(Value::is_object);
    let mut arrived = |count: u64| {
        lines
            .find(|line| line["models"]["m"]["arrived"] == count)
            .unwrap()
    };
    let first = arrived(0);
    let answer = call(proxy.address, "POST", "/v2/models/m/ok", b"x").unwrap();
    assert_eq!(answer.status, 200);
    let then = arrived(1);
    assert_eq!(first["instance"], then["instance"]);
    assert!(first["at"].as_u64() < then["at"].as_u64(), "{first} {then}");
}
