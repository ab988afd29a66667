//! The live page in a real browser, and that its built files are what its source gives.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use tailback_tests::{
    http,
    llm_upstream::LlmUpstream,
    process::{Tailback, tailback},
    upstream::{Upstream, static_manifest},
};

const TOKEN: &str = "0123456789abcdef";
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proxy/page");
const BODY: &[u8] = include_bytes!("../../examples/infer.json");

const CHAT: &[u8] = br#"{"model":"chat","stream":true,"stream_options":{"include_usage":true}}"#;

const MODELS: &str = "\
apiVersion: tailback.dev/v1alpha1
kind: Host
metadata: { name: workstation }
spec: { devices: [{ name: gpu0, memory: 24Gi }, { name: gpu1, memory: 24Gi }] }
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: s }
spec:
  process: { command: [sample-server, --port, '{port}', --model, '{model}', --service-time-ms, '3000'] }
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: broken }
spec:
  process: { command: [/no/such/program, '{port}'] }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: steady }
spec: { server: s, minReplicas: 1 }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: Qwen/Qwen2.5-7B }
spec: { server: broken, minReplicas: 0 }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: shares }
spec: { server: s, memory: 16Gi, minReplicas: 1 }
---
";

fn installed() {
    let there = Path::new(FOLDER).join("node_modules/playwright-core");
    assert!(there.is_dir(), "first: scripts/setup tests");
}

fn many_models() -> String {
    let mut text = String::from(
        "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: { name: s }\n\
         spec: { static: { endpoints: ['http://127.0.0.1:1'] } }\n",
    );
    for n in 0..1_000 {
        let _ = write!(
            text,
            "---\napiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m{n} }}\nspec: {{ server: s }}\n"
        );
    }
    text
}

/// Requests that nobody waits for.
fn send(proxy: &Tailback, path: &'static str, requests: usize) -> Vec<JoinHandle<()>> {
    let address = proxy.address;
    let one = || thread::spawn(move || drop(http::call(address, "POST", path, BODY)));
    std::iter::repeat_with(one).take(requests).collect()
}

/// A request that waits for as long as its caller is there.
fn hold(proxy: &Tailback) -> http::Client {
    let mut caller = http::Client::connect(proxy.address).expect("a connection");
    let path = "/v2/models/Qwen%2FQwen2.5-7B/infer";
    let sent = caller.send(http::request("POST", path, &[], BODY));
    sent.expect("a request");
    caller
}

#[test]
fn the_live_page_shows_what_happens_and_obeys_whoever_has_the_token() {
    installed();
    let token = ("TAILBACK_ADMIN_TOKEN", TOKEN);
    let llm = LlmUpstream::start();
    let models = format!("{MODELS}{}", static_manifest("llm", llm.address, &["chat"]));
    // Nobody takes the traces; decisions name them all the same.
    let traced = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let mut proxy = Tailback::start(&models, &[token, traced]);
    let admin = proxy.admin.to_string();
    let mut browser = Command::new("node")
        .arg("test/page.mjs")
        .args([format!("http://{admin}/"), TOKEN.to_owned()])
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut replies = browser.stdin.take().expect("a pipe");
    let orders = BufReader::new(browser.stdout.take().expect("a pipe"));
    let (mut done, mut held) = (false, Vec::new());
    for order in orders.lines().map_while(Result::ok) {
        match order.as_str() {
            "hold" => held.extend((0..3).map(|_| hold(&proxy))),
            "load" => drop(send(&proxy, "/v2/models/steady/infer", 5)),
            "chat" => {
                let answer = http::call(proxy.address, "POST", "/v1/chat/completions", CHAT);
                assert_eq!(answer.expect("an answer").status, 200);
            }
            "break" => proxy.rewrite("kind: Nothing"),
            "mend" => proxy.rewrite(&models),
            "restart" => {
                held.clear();
                drop(proxy);
                proxy = Tailback::start(&many_models(), &[token, ("TAILBACK_ADMIN", &admin)]);
            }
            other => done = other == "done",
        }
        if writeln!(replies, "done").is_err() {
            break;
        }
    }
    let status = browser.wait().expect("its status");
    assert!(done && status.success(), "{status}");
}

#[test]
fn the_picture_of_a_simulation_can_be_pointed_at() {
    installed();
    let folder = tempfile::tempdir().expect("a folder");
    let mut trace = String::from("timestamp,service_seconds\n");
    for n in 0..600 {
        let _ = writeln!(trace, "{n},{}", 1 + n % 7);
    }
    fs::write(folder.path().join("t.csv"), trace).expect("a trace");
    let arguments = "simulate t.csv --policy lag,hpa --price 2 --plot out.html";
    let drawn = tailback()
        .args(arguments.split(' '))
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .status();
    assert!(drawn.expect("it runs").success());
    let looked = Command::new("node")
        .arg("test/plot.mjs")
        .arg(folder.path().join("out.html"))
        .current_dir(FOLDER)
        .status();
    assert!(looked.expect("it runs").success());
}

#[test]
fn the_built_files_are_those_of_the_source() {
    installed();
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["node", "build.mjs", folder.path().to_str().expect("a path")][..],
        &["node_modules/.bin/tsc", "--noEmit"],
    ] {
        let done = Command::new(arguments[0])
            .args(&arguments[1..])
            .current_dir(FOLDER)
            .status();
        assert!(done.expect("it runs").success(), "{arguments:?}");
    }
    for name in ["index.html", "page.css", "page.js", "plot.css", "plot.js"] {
        let built = fs::read(folder.path().join(name)).expect("it was built");
        let committed = fs::read(Path::new(FOLDER).join("dist").join(name)).expect("it is there");
        assert!(
            built == committed,
            "{name} is not what its source gives: run `npm run build` in proxy/page"
        );
    }
}

#[test]
fn the_admin_address_serves_its_page_alone_and_shows_one_model() {
    let upstream = Upstream::start();
    let manifest = upstream.manifest(&["org/model <1>"]);
    let proxy = Tailback::start(&manifest, &[]);
    let page = http::call(proxy.admin, "GET", "/", b"").unwrap();
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let script = http::call(proxy.admin, "GET", "/page.js", b"").unwrap();
    assert_eq!((script.status, script.body.is_empty()), (200, false));
    let path = "/models/org%2Fmodel%20%3C1%3E";
    let all = proxy.page("/models");
    let one = proxy.page(path);
    assert_eq!(one["name"], "org/model <1>");
    assert_eq!(one["settings"], all["models"][0]["settings"]);
}
